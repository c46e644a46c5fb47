"""A network: an ONNX model with the metadata of its inputs and outputs, and where it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.errors import NetworkError
from inferkit.network.batch_axis import DECLARED, batch_axes

if TYPE_CHECKING:
    import onnx

PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "int8", "fp8")


@dataclass(frozen=True)
class TensorInfo:
    """Name, numpy dtype name and shape of an input or output; None is an open dimension, set at run time.

    `axes` are the model's names of open dimensions, "" for fixed ones and where there is no name (there may be fewer
    than dimensions). `batch_axis` is the axis of the batch, open or fixed; None where there is none, as in a scalar.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    axes: tuple[str, ...] = field(default=(), compare=False)
    batch_axis: int | None = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if not self.shape:
            object.__setattr__(self, "batch_axis", None)

    def axis_name(self, axis: int) -> str:
        """The model's name of an open dimension, "" where it has none."""
        return self.axes[axis] if axis < len(self.axes) else ""

    @property
    def batch(self) -> int | None:
        """The size of the batch where it is fixed; None where it is open, and where there is no batch."""
        return None if self.batch_axis is None else self.shape[self.batch_axis]

    @property
    def open_axes(self) -> tuple[int, ...]:
        """Axes besides the batch whose size the model leaves open."""
        return tuple(axis for axis, size in enumerate(self.shape) if size is None and axis != self.batch_axis)

    @property
    def text(self) -> str:
        """The shape for people, open dimensions by their names: `[2, N, 16]`."""
        words = ["?" if size is None else str(size) for size in self.shape]
        for axis, name in enumerate(self.axes):
            words[axis] = name or words[axis]
        if self.batch_axis is not None and words[self.batch_axis] in ("?", DECLARED):
            words[self.batch_axis] = "N"
        return f"[{', '.join(words)}]"

    def shape_at(self, batch: int) -> tuple[int, ...]:
        """The shape at a batch, where that is open. ValueError where another dimension is."""
        if self.open_axes:
            raise ValueError(f"{self.name!r} is {self.text}: the size of axis {self.open_axes[0]} is not stated")
        return tuple(batch if size is None else size for size in self.shape)


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
        """Wrap `model`, reading inputs and outputs from its graph (initializers are not inputs).

        NetworkError, which does not say of which file, for one that is no tensor of a numpy type.
        """
        constants = {tensor.name for tensor in model.graph.initializer}
        fed = [value for value in model.graph.input if value.name not in constants]
        inputs, outputs = _tensor_infos(fed, model.graph.output)
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


def dims_of(value: onnx.ValueInfoProto) -> tuple[int | str, ...]:
    """The shape that a file states: numbers, and the names of open dimensions ("" where it gives none)."""
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") else dim.dim_param for dim in dims)


def _tensor_infos(
    inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    of_inputs, of_outputs = batch_axes([dims_of(value) for value in inputs], [dims_of(value) for value in outputs])
    return (
        tuple(_tensor_info(value, axis) for value, axis in zip(inputs, of_inputs, strict=True)),
        tuple(_tensor_info(value, axis) for value, axis in zip(outputs, of_outputs, strict=True)),
    )


def _tensor_info(value: onnx.ValueInfoProto, batch_axis: int | None) -> TensorInfo:
    from onnx import helper

    dims = dims_of(value)
    shape = tuple(dim if isinstance(dim, int) else None for dim in dims)
    axes = tuple(dim if isinstance(dim, str) else "" for dim in dims)
    try:
        dtype = str(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    except (KeyError, TypeError, ValueError):
        raise NetworkError(
            f"{value.name!r} is no tensor of a numpy type (but a sequence, a map, or without a type); export the model "
            "so that all of its inputs and outputs are tensors (of scikit-learn: with zipmap=False)"
        ) from None
    return TensorInfo(value.name, dtype, shape, axes, batch_axis)
