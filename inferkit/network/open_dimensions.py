"""States what an ONNX file leaves open: which axis is the batch, and the sizes of other dimensions (height, length)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inferkit.errors import UsageError
from inferkit.network.batch_axis import DECLARED, batch_axes, is_automatic, usual_name
from inferkit.network.network import TensorInfo, dims_of

if TYPE_CHECKING:
    import onnx

# The shape of the only input; or by name: shapes of inputs, and sizes of open dimensions.
Shapes = Sequence[int] | Mapping[str, int | Sequence[int]]

# Sizes in a message, for what the user has to choose: of an image, and of anything else.
_IMAGE, _LENGTH = 224, 128
_IMAGE_AXES = re.compile(r"h|w|\w*(height|width)\w*", re.IGNORECASE)


def fix_open_dimensions(model: onnx.ModelProto, shapes: Shapes, source: str) -> None:
    """Give open dimensions of `model` (changed in place) these sizes.

    `shapes`: the shape of the only input, or by name shapes of inputs, in which an open batch stays open, and sizes of
    named dimensions, wherever they are. UsageError where they contradict the file.
    """
    inputs = _inputs(model)
    axes, _ = batch_axes([dims_of(value) for value in inputs.values()], [])
    batch_of = dict(zip(inputs, axes, strict=True))
    names = dict.fromkeys(dim for value in inputs.values() for dim in dims_of(value) if isinstance(dim, str) and dim)
    for name, given in _by_name(shapes, inputs, source).items():
        if name not in inputs and (isinstance(given, int) or len(given) == 1):
            if name not in names:
                raise UsageError(
                    f"{source} has no open dimension {name!r}: its inputs {', '.join(inputs)} have "
                    f"{', '.join(names) or 'none that has a name'}"
                )
            _fix_named(model, inputs, name, given if isinstance(given, int) else given[0], source)
            continue
        if name not in inputs:
            raise UsageError(f"{source} has no input {name!r}; its inputs: {', '.join(inputs)}")
        shape = [given] if isinstance(given, int) else list(given)
        dims = inputs[name].type.tensor_type.shape.dim
        stated = [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]
        fits = len(dims) == len(shape) and all(
            have is None or have == want for have, want in zip(stated, shape, strict=True)
        )
        if not fits or any(size < 1 for size in shape):
            shown = ", ".join("?" if size is None else str(size) for size in stated)
            raise UsageError(f"{source}: input {name!r} has the shape [{shown}] in the file and cannot take {shape}")
        for axis, (dim, size) in enumerate(zip(dims, shape, strict=True)):
            if axis != batch_of[name]:
                dim.dim_value = size
    _infer_output_shapes(model)


def declare_batch(model: onnx.ModelProto, axes: int | Mapping[str, int], source: str) -> None:
    """Name a dimension of `model` (changed in place) the batch: an axis of the only input, or axes by input or output.

    Dimensions of the same name are the batch too, and those that other inputs name as batches are. UsageError for an
    axis that there is not, or that is not open.
    """
    inputs = _inputs(model)
    values = inputs | {value.name: value for value in model.graph.output}
    by_name = axes if isinstance(axes, Mapping) else {_only(inputs, source, "the batch's axes"): axes}
    for name, axis in by_name.items():
        if name not in values:
            raise UsageError(f"{source} has no input or output {name!r}; it has {', '.join(values)}")
        dims = dims_of(values[name])
        if not 0 <= axis < len(dims) or isinstance(dims[axis], int):
            shown = ", ".join(str(dim or "?") for dim in dims)
            raise UsageError(
                f"{source}: {name!r} is [{shown}], so its axis {axis} cannot be the batch: only an open dimension can"
            )
        _rename(values.values(), str(dims[axis]))
        values[name].type.tensor_type.shape.dim[axis].dim_param = DECLARED
    stated = {dim for name in by_name for dim in dims_of(values[name])}
    for name, value in inputs.items():
        usual = usual_name(dims_of(value))
        if name not in by_name and DECLARED not in dims_of(value) and usual not in stated:
            _rename(values.values(), usual)
    forget_shapes(model)


def _rename(values: Iterable[onnx.ValueInfoProto], name: str) -> None:
    """Declare all dimensions of a name to be the batch."""
    for value in values:
        for dim in value.type.tensor_type.shape.dim:
            if name and dim.dim_param == name:
                dim.dim_param = DECLARED


def require_sizes(inputs: Sequence[TensorInfo]) -> None:
    """UsageError with the lines that state them, where inputs have dimensions besides the batch whose size is open."""
    unsized = [info for info in inputs if info.open_axes]
    if not unsized:
        return
    named: dict[str, Any] = {}
    shapes: dict[str, list[int]] = {}
    for info in unsized:
        sizes = {axis: _example(info, axis) for axis in info.open_axes}
        if all(map(info.axis_name, sizes)):
            named |= {info.axis_name(axis): size for axis, size in sizes.items()}
        else:
            shapes[info.name] = [sizes.get(axis, size or 1) for axis, size in enumerate(info.shape)]
    toml = [f"{toml_key(name)} = {size}" for name, size in {**named, **shapes}.items()]
    words = [f"{name}={size}" for name, size in named.items()]
    options = [",".join(words)] if words else []
    options += [f"{name}={','.join(map(str, shape))}" for name, shape in shapes.items()]
    shown = "; ".join(f"input {info.name!r} is {info.text}" for info in unsized)
    what = _listed(dict.fromkeys(word for info in unsized for word in _open_words(info)))
    message = (
        f"{shown}, and nothing states {what}; state the sizes: `shape = {{{', '.join(toml)}}}` in the "
        f"network's table of the matrix, `{' '.join(f'--input-shape {option}' for option in options)}` on the command "
        f"line, or inferkit.load(MODEL, input_shape={named | {name: tuple(shape) for name, shape in shapes.items()}})"
    )
    unbatched = next((info for info in unsized if info.batch_axis is None), None)
    if unbatched is not None:
        name, axis = unbatched.name, unbatched.open_axes[0]
        message += (
            f"; where one of them is the batch, say which axis: `batch_axis = {{{toml_key(name)} = {axis}}}`, "
            f"`--batch-axis {name}={axis}`"
        )
    raise UsageError(message)


def _open_words(info: TensorInfo) -> list[str]:
    return [info.axis_name(axis) or f"dimension {axis} of {info.name!r}" for axis in info.open_axes]


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _example(info: TensorInfo, axis: int) -> int:
    name = info.axis_name(axis)
    is_side = len(info.shape) == 4 if is_automatic(name) else bool(_IMAGE_AXES.fullmatch(name))
    return _IMAGE if is_side else _LENGTH


def toml_key(name: str) -> str:
    """A key of TOML, in quotes where it needs them."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{name}"'


def _inputs(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    constants = {tensor.name for tensor in model.graph.initializer}
    return {value.name: value for value in model.graph.input if value.name not in constants}


def _fix_named(
    model: onnx.ModelProto, inputs: Mapping[str, onnx.ValueInfoProto], name: str, size: int, source: str
) -> None:
    """Give the open dimensions of this name, of inputs and outputs, their size."""
    if size < 1:
        raise UsageError(f"{source}: dimension {name!r} cannot be {size}: a size is at least 1")
    for value in (*inputs.values(), *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == name:
                dim.dim_value = size


def _by_name(
    shapes: Shapes, inputs: Mapping[str, onnx.ValueInfoProto], source: str
) -> Mapping[str, int | Sequence[int]]:
    if isinstance(shapes, Mapping):
        return shapes
    return {_only(inputs, source, "their shapes"): shapes}


def _only(inputs: Mapping[str, onnx.ValueInfoProto], source: str, what: str) -> str:
    if len(inputs) != 1:
        raise UsageError(f"{source} has the inputs {', '.join(inputs)}; give {what} by name")
    return next(iter(inputs))


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
