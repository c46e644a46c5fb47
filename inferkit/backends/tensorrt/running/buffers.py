"""One set of buffers: page-locked host arrays and device memory for every input and output, at the largest batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.backends.tensorrt.device import Device
from inferkit.errors import BackendError
from inferkit.network.network import TensorInfo


@dataclass(frozen=True, eq=False)
class Binding:
    """Host and device memory of one input or output. `host` has the shape of the largest batch."""

    info: TensorInfo
    host: NDArray[Any]
    device: Any

    @property
    def address(self) -> int:
        return int(self.device)

    def at(self, batch: int) -> NDArray[Any]:
        """The front of `host` in the shape of this batch."""
        shape = self.info.shape_at(batch)
        return self.host.reshape(-1)[: math.prod(shape)].reshape(shape)


class BufferSet:
    """The bindings of one set. Allocated once; a smaller batch uses the front of each buffer."""

    def __init__(
        self, device: Device, inputs: tuple[TensorInfo, ...], outputs: tuple[TensorInfo, ...], max_batch: int
    ) -> None:
        made: list[Binding] = []
        try:
            for info in (*inputs, *outputs):
                made.append(_binding(device, info, max_batch))
        except BaseException:
            for binding in made:  # out of memory half-way: the next case needs what was taken
                binding.device.free()
            raise
        self.inputs = tuple(made[: len(inputs)])
        self.outputs = tuple(made[len(inputs) :])

    @property
    def bindings(self) -> tuple[Binding, ...]:
        return (*self.inputs, *self.outputs)

    @property
    def device_bytes(self) -> int:
        return sum(binding.host.nbytes for binding in self.bindings)

    def stage(self, arrays: Mapping[str, NDArray[Any]], batch: int) -> None:
        """Copy checked arrays into the page-locked input buffers."""
        for binding in self.inputs:
            np.copyto(binding.at(batch), arrays[binding.info.name])

    def results(self, batch: int) -> dict[str, NDArray[Any]]:
        """Copies of the outputs of `batch` images, by name."""
        return {binding.info.name: binding.at(batch).copy() for binding in self.outputs}

    def poison(self) -> None:
        """Overwrite the outputs, so that a run that writes nothing is not taken for one that did."""
        for binding in self.outputs:
            binding.host.reshape(-1).view(np.uint8).fill(0xFF)

    def free(self) -> None:
        """Release the device memory; the host arrays go with their last user."""
        for binding in self.bindings:
            binding.device.free()


def _binding(device: Device, info: TensorInfo, max_batch: int) -> Binding:
    try:
        dtype = np.dtype(info.dtype)
    except TypeError:
        raise BackendError(
            f"{info.name!r} is {info.dtype}, which numpy does not have; keep inputs and outputs in float32"
        ) from None
    if info.open_axes:
        raise BackendError(
            f"{info.name!r} is {info.text}: its size depends on the data, and TensorRT sessions here take sizes that "
            "follow from the batch; run it with onnxruntime"
        )
    shape = info.shape_at(max_batch)
    size = int(np.prod(shape)) * dtype.itemsize
    memory = device.allocate(size, f"{info.name!r} {list(shape)} {info.dtype}")
    try:
        return Binding(info, device.pinned(shape, dtype), memory)
    except BaseException:
        memory.free()
        raise
