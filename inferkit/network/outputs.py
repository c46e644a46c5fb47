"""Makes the outputs of an ONNX model definite: listed once, with a shape, the batch named where that is sure."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Set
from typing import TYPE_CHECKING

from inferkit.errors import NetworkError
from inferkit.network.as_written import session_as_written
from inferkit.network.batch_axis import DECLARED, batch_names, is_unnamed_batch
from inferkit.network.network import dims_of, without_weights
from inferkit.network.open_dimensions import forget_shapes

if TYPE_CHECKING:
    import onnx

# Primes: no size that a network holds in a constant divides them by chance.
_BATCH_SIZES = (10007, 10009)
# Names a dimension while it is tried whether it is the batch.
_TRIED = "inferkit_tried"


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
    """Name the batch of the inputs where the file does not, and that of outputs where shape inference shows it.

    `model` is changed in place. An exporter may name the batch of each output differently, or not at all; an axis is
    the batch if inference with two sizes of it gives these sizes (a reshape to -1 needs numbers). A name that outputs
    and inputs share stays.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    names = batch_names([dims_of(value) for value in inputs])
    name = min(names - {""}, default=DECLARED)
    unnamed = [value for value in inputs if is_unnamed_batch(dims_of(value), names)]
    if unnamed and len(names - {""}) <= 1:
        for value in unnamed:
            if name not in dims_of(value):
                value.type.tensor_type.shape.dim[0].dim_param = name
        names = names - {""} | {name}
    for value in inputs:
        _name_if_it_must_be(model, value, names - {""}, name)
    names -= {""}
    shared = names.union(*map(dims_of, inputs)) - {""}
    unsure = {
        value.name: value.type.tensor_type.shape.dim
        for value in model.graph.output
        if any(isinstance(dim, str) and dim not in shared for dim in dims_of(value))
    }
    if not unsure:
        return
    smaller, larger = (
        {value.name: dims_of(value) for value in _inferred(model, dict.fromkeys(names, size))} for size in _BATCH_SIZES
    )
    for output, dims in unsure.items():
        inferred = smaller.get(output, ()), larger.get(output, ())
        if any(len(each) != len(dims) for each in inferred):
            continue
        for dim, *sizes in zip(dims, *inferred, strict=True):
            if dim.HasField("dim_value") or dim.dim_param in shared:
                continue
            if names and tuple(sizes) == _BATCH_SIZES:
                dim.dim_param = name
            elif isinstance(size := sizes[0], int) and sizes[1] == size > 0:  # fixed, whatever the file says
                dim.dim_value = size


def _name_if_it_must_be(model: onnx.ModelProto, value: onnx.ValueInfoProto, names: Set[str], name: str) -> None:
    """Name the only open dimension of an input, where the file does not, if no other size of it fits the batch."""
    dims = dims_of(value)
    if dims.count("") != 1 or any(isinstance(dim, str) and dim for dim in dims) or not names:
        return
    dim = value.type.tensor_type.shape.dim[dims.index("")]
    dim.dim_param = _TRIED
    batch, other = _BATCH_SIZES
    stated = dict.fromkeys(names, batch)
    must_be = _fits(model, {**stated, _TRIED: batch}) and not _fits(model, {**stated, _TRIED: other})
    dim.dim_param = name if must_be else ""


def _fits(model: onnx.ModelProto, sizes: Mapping[str, int]) -> bool:
    """Whether shape inference finds no contradiction in a model of these sizes."""
    from onnx import shape_inference

    try:
        shape_inference.infer_shapes(_skeleton(model, sizes), data_prop=True, strict_mode=True)
    except Exception:  # of no common class
        return False
    return True


def _lacks_shape(value: onnx.ValueInfoProto) -> bool:
    return value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape")


def _inferred(model: onnx.ModelProto, sizes: Mapping[str, int] | None = None) -> list[onnx.ValueInfoProto]:
    """The outputs as shape inference gives them, not as the file states them; none where inference fails.

    `sizes` are those of open dimensions by name, where these are to be numbers.
    """
    from onnx import shape_inference

    with contextlib.suppress(Exception):  # the checker reports what is wrong with the model
        return list(shape_inference.infer_shapes(_skeleton(model, sizes), data_prop=True).graph.output)
    return []


def _skeleton(model: onnx.ModelProto, sizes: Mapping[str, int] | None) -> onnx.ModelProto:
    """The model without weights and stored shapes, open dimensions of these names with these sizes."""
    from onnx import helper

    skeleton = without_weights(model)
    forget_shapes(skeleton, outputs=True)
    for value in skeleton.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if sizes and dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]
    declared = {value.name for value in skeleton.graph.input}
    for tensor in model.graph.initializer:
        if tensor.data_type in (6, 7) and len(tensor.dims) <= 1:  # int32, int64: shapes and axes, which are read
            skeleton.graph.initializer.append(tensor)
        elif tensor.name not in declared:
            skeleton.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return skeleton


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
