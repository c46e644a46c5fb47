"""Makes the outputs of an ONNX model definite: listed once, with a shape, the batch named where that is sure."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from inferkit.errors import NetworkError
from inferkit.network.as_written import session_as_written
from inferkit.network.network import without_weights
from inferkit.network.open_dimensions import forget_shapes

if TYPE_CHECKING:
    import onnx

# Names the batch in shape inference where the file leaves the inputs' first dimension open without a name.
_BATCH = "inferkit_batch"
# Primes: no size that a network holds in a constant divides them by chance.
_BATCH_SIZES = (10007, 10009)


def list_outputs_once(model: onnx.ModelProto) -> None:
    """Drop repeated listings of an output (`model` is changed in place): results go by name, so nothing is lost."""
    seen: set[str] = set()
    kept = []
    for value in model.graph.output:
        if value.name not in seen:
            kept.append(value)
        seen.add(value.name)
    if len(kept) < len(model.graph.output):
        copies = [type(value).FromString(value.SerializeToString()) for value in kept]
        del model.graph.output[:]
        model.graph.output.extend(copies)


def state_output_shapes(model: onnx.ModelProto, source: str) -> None:
    """Give outputs without a shape the inferred one: by onnx, else by ONNX Runtime, which knows more operators.

    `model` is changed in place. NetworkError with the output's name where neither knows how many dimensions it has.
    """
    missing = [value for value in model.graph.output if _lacks_shape(value)]
    if missing:
        _take_shapes(missing, _inferred(model))
    missing = [value for value in missing if _lacks_shape(value)]
    if missing:
        _ask_onnxruntime(model, missing, source)


def name_batches(model: onnx.ModelProto) -> None:
    """Name the first dimension of outputs as that of the inputs where shape inference shows that it is the same.

    `model` is changed in place: inputs whose open first dimension has no name get one, if all inputs lack it. An
    exporter may name the batch of each output differently, or not at all; it is the batch if inference with two sizes
    of it gives these sizes (a reshape to -1 needs numbers). A name that outputs and inputs share stays.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    firsts = [_first(value) for value in model.graph.input if value.name not in constants]
    opened = [dim for dim in firsts if _is_open(dim)]
    if opened and not any(dim.dim_param for dim in opened):
        for dim in opened:
            dim.dim_param = _BATCH
    names = {dim.dim_param for dim in opened}
    unsure = {
        value.name: dim for value in model.graph.output if _is_open(dim := _first(value)) and dim.dim_param not in names
    }
    if not unsure or len(names) > 1:
        return
    smaller, larger = ({value.name: _first(value) for value in _inferred(model, size)} for size in _BATCH_SIZES)
    for name, dim in unsure.items():
        sizes = tuple(first.dim_value if (first := found.get(name)) is not None else 0 for found in (smaller, larger))
        if names and sizes == _BATCH_SIZES:
            dim.dim_param = next(iter(names))
        elif sizes[0] == sizes[1] > 0:  # fixed, whatever the file says
            dim.dim_value = sizes[0]


def _is_open(dim: Any) -> bool:
    return dim is not None and not dim.HasField("dim_value")


def _first(value: onnx.ValueInfoProto) -> Any:
    dims = value.type.tensor_type.shape.dim
    return dims[0] if len(dims) else None


def _lacks_shape(value: onnx.ValueInfoProto) -> bool:
    return value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape")


def _inferred(model: onnx.ModelProto, batch: int | None = None) -> list[onnx.ValueInfoProto]:
    """The outputs as shape inference gives them, not as the file states them; none where inference fails.

    `batch` is the size of the inputs' open first dimensions, where it is to be a number.
    """
    from onnx import helper, shape_inference

    skeleton = without_weights(model)
    forget_shapes(skeleton, outputs=True)
    if batch is not None:
        for value in skeleton.graph.input:
            if _is_open(dim := _first(value)):
                dim.dim_value = batch
    declared = {value.name for value in skeleton.graph.input}
    for tensor in model.graph.initializer:
        if tensor.data_type in (6, 7) and len(tensor.dims) <= 1:  # int32, int64: shapes and axes, which are read
            skeleton.graph.initializer.append(tensor)
        elif tensor.name not in declared:
            skeleton.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    with contextlib.suppress(Exception):  # the checker reports what is wrong with the model
        return list(shape_inference.infer_shapes(skeleton, data_prop=True).graph.output)
    return []


def _take_shapes(missing: list[onnx.ValueInfoProto], inferred: list[onnx.ValueInfoProto]) -> None:
    typed = {value.name: value for value in inferred if not _lacks_shape(value)}
    for value in missing:
        if value.name in typed:
            value.CopyFrom(typed[value.name])


def _ask_onnxruntime(model: onnx.ModelProto, missing: list[onnx.ValueInfoProto], source: str) -> None:
    names = ", ".join(repr(value.name) for value in missing)
    hint = "state its shape in the file (open dimensions need no number)"
    try:
        session = session_as_written(model)
    except Exception as error:  # its exceptions have no common class below Exception
        raise NetworkError(
            f"{source}: output {names} has no shape, and none can be inferred: {error}; {hint}"
        ) from None
    shapes = {entry.name: entry.shape for entry in session.get_outputs()}
    for value in missing:
        if not shapes[value.name]:  # ONNX Runtime gives no dimensions for a scalar and for an unknown shape alike
            raise NetworkError(f"{source}: output {value.name!r} has no shape, and none can be inferred; {hint}")
        dims = value.type.tensor_type.shape.dim
        for size in shapes[value.name]:
            dim = dims.add()
            if isinstance(size, int):
                dim.dim_value = size
            elif size:
                dim.dim_param = size
