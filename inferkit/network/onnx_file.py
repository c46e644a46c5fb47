"""Reads ONNX files, with external data, and checks them; writes them atomically, with external data over 2 GiB."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from inferkit.errors import NetworkError
from inferkit.files import inside, is_engine_file, replacing, write_atomically
from inferkit.network.fixed import require_same_outputs
from inferkit.network.limit import check_bytes, read_file
from inferkit.network.network import Network, without_weights
from inferkit.network.open_dimensions import Shapes, declare_batch, fix_open_dimensions
from inferkit.network.outputs import list_outputs_once, name_batches, state_output_shapes

if TYPE_CHECKING:
    import onnx

# Protobuf messages end at 2 GiB; a margin is left for what is beside the weights' bytes.
PROTOBUF_LIMIT = 2**31 - 2**20

# What exporters write in place of a name: two such dimensions need not be equal.
_NO_NAMES = frozenset({"?", "*", "-1", "None", "none", "unknown", "dynamic"})

# Tensors smaller than this stay in the model file when others leave it.
_STAYS = 1024


def read_onnx(
    path: str | os.PathLike[str],
    name: str | None = None,
    input_shape: Shapes | None = None,
    batch_axis: int | Mapping[str, int] | None = None,
) -> Network:
    """The network in an ONNX file, with its external data (which must lie in the model's folder or below).

    Any opset is taken as it is; the network's precision is that of the file (half weights, Q/DQ pairs). `input_shape`
    gives dimensions besides the batch that the file leaves open their numbers, `batch_axis` says which axis is the
    batch (see `load`; UsageError where they do not fit).
    Raises NetworkError for a file that is missing, damaged or not an ONNX model, for external data that is missing, too
    short or outside of the model's folder, for more bytes than a network may have (limit.py), for an output without a
    shape where none can be inferred, for one that fixed dimensions change, and for a model that onnx.checker refuses.
    """
    source = Path(path)
    model = _parse(source)
    if not is_text(model.graph):
        raise NetworkError(f"{source}: a name in it is not UTF-8 text; the file is damaged")
    _attach_all(model, source)
    open_unknown_dimensions(model)
    if batch_axis is not None:
        declare_batch(model, batch_axis, str(source))
    base = _copy(model) if input_shape is not None else None
    if input_shape is not None:
        fix_open_dimensions(model, input_shape, str(source))
    list_outputs_once(model)
    state_output_shapes(model, str(source))
    name_batches(model)
    _check(model, source)
    if base is not None:
        require_same_outputs(base, model, str(source))
    try:
        name = name or model.graph.name or source.stem
        network = Network.from_model(model, name, precision=stated_precision(model))
    except NetworkError as error:
        raise NetworkError(f"{source}: {error}") from None
    return network


def is_text(graph: onnx.GraphProto) -> bool:
    """Whether all names are text, those of inner graphs too: protobuf gives bytes for what is not UTF-8."""
    values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    names = [graph.name, *(value.name for value in values)]
    for value in (*graph.input, *graph.output, *graph.value_info):
        names += [dim.dim_param for dim in value.type.tensor_type.shape.dim]
    for node in graph.node:
        names += (node.name, node.op_type, node.domain, *node.input, *node.output)
        if not all(is_text(inner.g) for inner in node.attribute if inner.HasField("g")):
            return False
    return all(isinstance(name, str) for name in names)


def write_onnx(model: onnx.ModelProto, path: str | os.PathLike[str], limit: int = PROTOBUF_LIMIT) -> list[Path]:
    """Write `model` whole or not at all; returns the files. Over `limit` bytes its weights go to PATH.data beside it.

    Raises OSError.
    """
    target = Path(path)
    if sum(_stored_bytes(tensor) for tensor in model.graph.initializer) <= limit:
        write_atomically(target, model.SerializeToString())
        return [target]
    data = target.with_name(target.name + ".data")
    small = without_weights(model)
    with replacing(data) as file:
        for tensor in model.graph.initializer:
            _move_out(tensor, small.graph.initializer.add(), data.name, file)
    write_atomically(target, small.SerializeToString())
    return [target, data]


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = type(model)()
    copy.CopyFrom(model)
    return copy


def _parse(source: Path) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        content = read_file(source)
    except FileNotFoundError:
        raise NetworkError(f"{source} does not exist") from None
    except OSError as error:
        raise NetworkError(f"{source} cannot be read: {error}") from None
    refuse_pointer(source, content)
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise no_model(source, len(content), error) from None
    if not model.HasField("graph") or not model.opset_import or not model.graph.output:
        raise no_model(source, len(content), "it has no graph with outputs")
    return model


def refuse_pointer(source: Path, beginning: bytes) -> None:
    """NetworkError where a file, by its first bytes, only says where git-lfs has the model."""
    if beginning.startswith(b"version https://git-lfs"):
        raise NetworkError(f"{source} is a git-lfs pointer, not the model; run `git lfs pull`")


def no_model(source: Path, size: int, reason: object) -> NetworkError:
    """What is raised of a file of `size` bytes that is no ONNX model."""
    if is_engine_file(source):
        return NetworkError(
            f"{source} is an engine file, not a network; use it with `inferkit inspect`, `top`, `ab` or `serve`"
        )
    return NetworkError(f"{source} is damaged, truncated or not an ONNX model ({size:,} bytes): {reason}")


def _check(model: onnx.ModelProto, source: Path) -> None:
    from onnx import checker

    # What protobuf cannot serialize is checked from its file.
    small = sum(map(_stored_bytes, model.graph.initializer)) <= PROTOBUF_LIMIT
    try:
        checker.check_model(model if small else str(source))
    except Exception as error:
        # The checker raises ValidationError, and through its C++ side RuntimeError, ValueError and others.
        raise NetworkError(f"{source} is not a valid ONNX model: {str(error).strip()}") from None


def _external_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor, wherever in the model, whose data is in another file.

    All messages are looked at, not only the places where tensors are common: a backend that met one which was missed
    here (in a sparse initializer, say) would open the file itself, from whatever folder it runs in.
    """
    import onnx

    messages: list[Any] = [model]
    while messages:
        message = messages.pop()
        if isinstance(message, onnx.TensorProto):
            if message.data_location == onnx.TensorProto.EXTERNAL or message.external_data:
                yield message
            continue
        for field, value in message.ListFields():
            if field.message_type is not None:
                messages += [value] if hasattr(value, "ListFields") else value


def _external_file(tensor: onnx.TensorProto, source: Path) -> tuple[Path, int, int]:
    """File, offset and length of external data. NetworkError where it leaves the folder, is missing or too short."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    where = f"{source}: the external data of tensor {tensor.name!r}"
    location = entries.get("location", "")
    if not location:
        raise NetworkError(f"{where} has no location")
    # protobuf hands out text that is not UTF-8 as bytes
    if not all(isinstance(text, str) for text in (*entries, *entries.values())):
        raise NetworkError(f"{where} is named in bytes that are not UTF-8 text")
    folder = source.parent.resolve()
    try:
        file = inside(folder, location)
    except ValueError:  # a zero byte
        file = None
    if Path(location).is_absolute() or file is None:
        raise NetworkError(f"{where} lies outside of the model's folder ({location}); such a path is not followed")
    try:
        offset = int(entries.get("offset") or 0)
        if not os.path.isfile(file):  # a pipe would never end
            raise NetworkError(
                f"{where}, {location}, {'is not a regular file' if os.path.exists(file) else 'does not exist'}"
            )
        size = file.stat().st_size
        length = int(entries["length"]) if entries.get("length") else size - offset
    except ValueError:
        raise NetworkError(f"{where} has an offset or length that is not a number") from None
    except OSError as error:
        raise NetworkError(f"{where} cannot be read: {error}") from None
    if offset < 0 or length < 0 or offset + length > size:
        raise NetworkError(f"{where} ends at byte {offset + length:,} of {file}, which has {size:,}; download it again")
    return file, offset, length


def _attach_all(model: onnx.ModelProto, source: Path) -> None:
    """Bring all external data into the model; what is too much is refused before any is read."""
    parts = [(tensor, *_external_file(tensor, source)) for tensor in _external_tensors(model)]
    check_bytes(sum(length for *_, length in parts), f"{source}: the external data")
    for tensor, file, offset, length in parts:
        with file.open("rb") as opened:
            opened.seek(offset)
            tensor.raw_data = opened.read(length)
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")


def open_unknown_dimensions(model: onnx.ModelProto) -> None:
    """Some exporters write -1 or 0 where a dimension is set at run time, or give it no name but a sign; ONNX says that
    by leaving number and name out."""
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_value") and dim.dim_value <= 0:
                dim.ClearField("dim_value")
            elif dim.dim_param in _NO_NAMES:
                dim.ClearField("dim_param")


def _stored_bytes(tensor: onnx.TensorProto) -> int:
    """About the size of a tensor's numbers, from its shape: asking for raw_data would copy it."""
    import numpy as np
    from onnx import helper

    try:
        itemsize = int(np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize)
    except (KeyError, TypeError, ValueError):
        itemsize = 8  # not an ONNX type; the checker reports it
    return math.prod(tensor.dims) * itemsize


def _move_out(tensor: onnx.TensorProto, kept: onnx.TensorProto, location: str, file: IO[bytes]) -> None:
    """Make `kept` the tensor with its numbers in `file`, or the tensor itself where it is small."""
    content = tensor.raw_data
    if len(content) < _STAYS:
        kept.CopyFrom(tensor)
        return
    kept.name, kept.data_type, kept.data_location = tensor.name, tensor.data_type, tensor.EXTERNAL
    kept.dims.extend(tensor.dims)
    for key, value in (("location", location), ("offset", file.tell()), ("length", len(content))):
        kept.external_data.add(key=key, value=str(value))
    file.write(content)


_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "FusedConv", "FusedMatMul", "LSTM", "GRU", "RNN")
# Of networks that were quantized in the older forms, or whose ranges are measured at run time.
_INTEGER_PRODUCTS = (
    *("QLinearConv", "QLinearMatMul", "QGemm", "ConvInteger", "MatMulInteger", "MatMulIntegerToFloat"),
    *("DynamicQuantizeMatMul", "DynamicQuantizeLSTM"),
)


def stated_precision(model: onnx.ModelProto) -> str:
    """int8 or fp8 where activations are quantized, or most products are of integers; fp16 or bf16 where most weights
    are of that type; else fp32."""
    from onnx import TensorProto

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    constants |= {
        node.output[0]: attribute.t
        for node in model.graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    }
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] not in constants:
            zero = constants.get(node.input[2]) if len(node.input) > 2 else None
            stated = next((entry.i for entry in node.attribute if entry.name == "output_dtype"), 0)
            kind = zero.data_type if zero is not None else stated
            return "fp8" if kind in (TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E5M2) else "int8"
    kinds = Counter(node.op_type for node in model.graph.node)
    if sum(kinds[kind] for kind in _INTEGER_PRODUCTS) > sum(kinds[kind] for kind in _PRODUCTS):
        return "int8"
    sizes: Counter[int] = Counter()
    for tensor in constants.values():
        sizes[tensor.data_type] += math.prod(tensor.dims)
    names = {TensorProto.FLOAT16: "fp16", TensorProto.BFLOAT16: "bf16"}
    kind, _ = max(((kind, sizes[kind]) for kind in (TensorProto.FLOAT, *names)), key=lambda pair: pair[1])
    return names.get(kind, "fp32")
