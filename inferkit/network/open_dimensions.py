"""Fixes dimensions that an ONNX file leaves open besides the batch, often height and width."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from inferkit.errors import UsageError

if TYPE_CHECKING:
    import onnx

Shapes = Sequence[int] | Mapping[str, Sequence[int]]


def fix_open_dimensions(model: onnx.ModelProto, shapes: Shapes, source: str) -> None:
    """Give the inputs of `model` (changed in place) these shapes, batch first; an open batch stays open.

    `shapes`: the shape of the only input, or shapes by input name. UsageError where they contradict fixed dimensions.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value for value in model.graph.input if value.name not in constants}
    for name, shape in _by_name(shapes, list(inputs), source).items():
        if name not in inputs:
            raise UsageError(f"{source} has no input {name!r}; its inputs: {', '.join(inputs)}")
        dims = inputs[name].type.tensor_type.shape.dim
        stated = [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]
        fits = len(dims) == len(shape) and all(
            have is None or have == want for have, want in zip(stated, shape, strict=True)
        )
        if not fits or any(size < 1 for size in shape):
            shown = ", ".join("?" if size is None else str(size) for size in stated)
            raise UsageError(
                f"{source}: input {name!r} has the shape [{shown}] in the file and cannot take {list(shape)}"
            )
        for dim, size in zip(list(dims)[1:], list(shape)[1:], strict=True):
            dim.dim_value = size
    _infer_output_shapes(model)


def _by_name(shapes: Shapes, inputs: list[str], source: str) -> Mapping[str, Sequence[int]]:
    if isinstance(shapes, Mapping):
        return shapes
    if len(inputs) != 1:
        raise UsageError(f"{source} has the inputs {', '.join(inputs)}; give their shapes by name")
    return {inputs[0]: shapes}


def forget_shapes(model: onnx.ModelProto, *, outputs: bool = False) -> None:
    """Drop the shapes that `model` (changed in place) stores for tensors between its nodes, and for its `outputs`.

    The types stay: only the file states those of operators outside the ONNX standard.
    """
    for value in (*model.graph.value_info, *(model.graph.output if outputs else ())):
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")


def _infer_output_shapes(model: onnx.ModelProto) -> None:
    """Drop the stored shapes, and infer those of the outputs from the fixed inputs."""
    from onnx import shape_inference

    forget_shapes(model)
    blank = type(model)()
    blank.CopyFrom(model)
    forget_shapes(blank, outputs=True)
    with contextlib.suppress(Exception):  # the checker reports what is wrong with the model
        inferred = shape_inference.infer_shapes(blank, data_prop=True)
        for value, typed in zip(model.graph.output, inferred.graph.output, strict=True):
            if typed.type.tensor_type.HasField("shape"):
                value.CopyFrom(typed)
