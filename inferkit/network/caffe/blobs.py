"""Tracks which tensor each Caffe blob holds during conversion, including blobs that share memory (in-place layers)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from inferkit.network.caffe.layer import reshaped
from inferkit.network.caffe.onnx_builder import OnnxBuilder, Tensor


@dataclass
class _Memory:
    """The tensor that a blob's memory holds; blobs that share it may give its elements different shapes.

    `lasting`: no forward pass computes it again, so overwriting it would change the next pass.
    """

    tensor: Tensor
    lasting: bool
    version: int = 0


@dataclass
class _Blob:
    memory: _Memory
    tensor: Tensor
    version: int


class Blobs:
    """The tensor of every blob, updated layer by layer. A write in place shows in every blob that shares the memory."""

    def __init__(self, builder: OnnxBuilder) -> None:
        self._builder = builder
        self._blobs: dict[str, _Blob] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._blobs)

    def read(self, name: str) -> Tensor:
        """The blob's tensor, reshaped again if its memory was written under another name."""
        blob = self._blobs[name]
        if blob.version != blob.memory.version:
            blob.tensor = reshaped(self._builder, blob.memory.tensor, blob.tensor.shape, name)
            blob.version = blob.memory.version
        return blob.tensor

    def memory(self, name: str) -> int:
        """A number that is equal for blobs that share memory, and only for them."""
        return id(self._blobs[name].memory)

    def is_lasting(self, name: str) -> bool:
        """Whether the blob's memory keeps its values from one forward pass to the next."""
        return self._blobs[name].memory.lasting

    def write(self, name: str, tensor: Tensor, shares: str | None = None, lasting: bool = False) -> None:
        """A new blob, in the memory of blob `shares` or in its own."""
        memory = self._blobs[shares].memory if shares is not None else _Memory(tensor, lasting)
        self._blobs[name] = _Blob(memory, tensor, memory.version)

    def overwrite(self, name: str, tensor: Tensor) -> None:
        """The result of a layer in place."""
        blob = self._blobs[name]
        if tensor == blob.tensor:
            return
        blob.memory.tensor = tensor
        blob.memory.version += 1
        blob.tensor, blob.version = tensor, blob.memory.version
