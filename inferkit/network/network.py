"""A network: an ONNX model with the metadata of its inputs and outputs, and where it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "int8", "fp8")


@dataclass(frozen=True)
class TensorInfo:
    """Name, numpy dtype name and shape of an input or output; None is a dimension set at run time (the batch).

    `first` is what the model calls an open first dimension: inputs and outputs that share it have as many rows. It is
    empty where the model gives no name.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    first: str = field(default="", compare=False)


def unit_of(inputs: Sequence[TensorInfo]) -> str:
    """What a batch consists of: `images` where the only input is [N, C, H, W] or [N, H, W, C] of 1, 3 or 4 channels,
    else `items`."""
    shape = inputs[0].shape if len(inputs) == 1 else ()
    return "images" if len(shape) == 4 and {shape[1], shape[3]} & {1, 3, 4} else "items"


@dataclass(frozen=True)
class CaffeSource:
    """The Caffe files that a network was imported from; the `caffe` backend runs these instead of the ONNX model.

    `phase`, `level` and `stages` are the net state that chose among the prototxt's layers.
    """

    prototxt: Path
    caffemodel: Path | None
    phase: str = "TEST"
    level: int = 0
    stages: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Network:
    """An ONNX model (never changed once it is in a Network), its precision and its origin.

    `precision` is one of PRECISIONS: what the graph was rewritten to. `calibration` says where INT8 or FP8 scales
    came from. `source` is set for networks that came from Caffe.
    """

    name: str
    model: onnx.ModelProto
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    precision: str = "fp32"
    source: CaffeSource | None = None
    calibration: str | None = None
    notes: tuple[str, ...] = field(default=())

    @classmethod
    def from_model(
        cls, model: onnx.ModelProto, name: str, *, precision: str = "fp32", source: CaffeSource | None = None
    ) -> Network:
        """Wrap `model`, reading inputs and outputs from its graph (initializers are not inputs)."""
        constants = {tensor.name for tensor in model.graph.initializer}
        inputs = tuple(_tensor_info(value) for value in model.graph.input if value.name not in constants)
        outputs = tuple(_tensor_info(value) for value in model.graph.output)
        return cls(name, model, inputs, outputs, precision=precision, source=source)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hexadecimal) of the serialized model and its precision: the key of engine caches.

        The weights are hashed one by one, so that no copy of them all is made; protobuf could not even serialize a
        model of 2 GiB at once.
        """
        content = hashlib.sha256(without_weights(self.model).SerializeToString(deterministic=True))
        for tensor in self.model.graph.initializer:
            content.update(tensor.SerializeToString(deterministic=True))
        content.update(self.precision.encode())
        return content.hexdigest()

    def with_model(self, model: onnx.ModelProto, **changes: object) -> Network:
        """The same network with another graph: inputs and outputs are read from it, `changes` replace other fields."""
        fresh = Network.from_model(model, self.name)
        return replace(self, model=model, inputs=fresh.inputs, outputs=fresh.outputs, **changes)  # type: ignore[arg-type]


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model that lacks its initializers."""
    copy = type(model)()
    for part, value in model.ListFields():
        if part.name == "graph":
            for inner, content in value.ListFields():
                if inner.name != "initializer":
                    _copy_field(copy.graph, inner.name, content)
        else:
            _copy_field(copy, part.name, value)
    return copy


def _copy_field(target: Any, name: str, value: Any) -> None:
    if hasattr(value, "CopyFrom"):
        getattr(target, name).CopyFrom(value)
    elif isinstance(value, bytes):  # protobuf gives a text that is no UTF-8 as bytes, and does not take it back
        try:
            setattr(target, name, value)
        except UnicodeDecodeError:
            setattr(target, name, value.decode("utf-8", "replace"))
    elif isinstance(value, str | int | float):
        setattr(target, name, value)
    else:
        getattr(target, name).extend(value)


def _tensor_info(value: onnx.ValueInfoProto) -> TensorInfo:
    from onnx import helper

    tensor = value.type.tensor_type
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim)
    first = next((dim.dim_param for dim in tensor.shape.dim), "")
    return TensorInfo(value.name, str(helper.tensor_dtype_to_np_dtype(tensor.elem_type)), shape, first)
