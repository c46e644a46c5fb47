"""Dimensions that an ONNX file leaves open besides the batch (height and width, often) are given their numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from inferkit.errors import UsageError

if TYPE_CHECKING:
    import onnx

Shapes = Sequence[int] | Mapping[str, Sequence[int]]


def fix_open_dimensions(model: onnx.ModelProto, shapes: Shapes, source: str) -> None:
    """Give the inputs of `model`, which is changed, these shapes, batch first; an open batch stays open.

    `shapes` is that of the only input, or of inputs by name. UsageError where they do not fit what the file fixes.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value for value in model.graph.input if value.name not in constants}
    for name, shape in _by_name(shapes, list(inputs), source).items():
        if name not in inputs:
            raise UsageError(f"{source} has no input {name!r}; it has {', '.join(inputs)}")
        dims = inputs[name].type.tensor_type.shape.dim
        stated = [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]
        fits = len(dims) == len(shape) and all(
            have is None or have == want for have, want in zip(stated, shape, strict=True)
        )
        if not fits or any(size < 1 for size in shape):
            shown = ", ".join("?" if size is None else str(size) for size in stated)
            raise UsageError(f"{source}: input {name!r} is [{shown}] in the file and cannot be {list(shape)}")
        for dim, size in zip(list(dims)[1:], list(shape)[1:], strict=True):
            dim.dim_value = size
    _tell_outputs_anew(model)


def _by_name(shapes: Shapes, inputs: list[str], source: str) -> Mapping[str, Sequence[int]]:
    if isinstance(shapes, Mapping):
        return shapes
    if len(inputs) != 1:
        raise UsageError(f"{source} has the inputs {', '.join(inputs)}; give their shapes by name")
    return {inputs[0]: shapes}


def forget_shapes(model: onnx.ModelProto) -> None:
    """Drop the shapes that `model`, which is changed, notes between its nodes.

    The types stay: nobody but the file knows those of operators outside of the ONNX standard.
    """
    for value in model.graph.value_info:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")


def _tell_outputs_anew(model: onnx.ModelProto) -> None:
    """Shapes noted for the open dimensions are dropped, and those of the outputs inferred from the fixed ones."""
    from onnx import shape_inference

    forget_shapes(model)
    blank = type(model)()
    blank.CopyFrom(model)
    for value in blank.graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")
    with contextlib.suppress(Exception):  # what is wrong with the model is the checker's to say
        inferred = shape_inference.infer_shapes(blank, data_prop=True)
        for value, known in zip(model.graph.output, inferred.graph.output, strict=True):
            if known.type.tensor_type.HasField("shape"):
                value.CopyFrom(known)
