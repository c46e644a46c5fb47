"""Types of tensors: from shape inference, or from the operator's definition where inference has no rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx
from onnx import TensorProto

NO_TENSOR = -1


@dataclass(frozen=True)
class ValueType:
    """Element type (an onnx.TensorProto number) and shape of a tensor; None where unknown, also for a single axis.

    What is no tensor (a sequence, an optional value) has the element type NO_TENSOR.
    """

    element: int
    shape: tuple[int | None, ...] | None

    @property
    def rank(self) -> int | None:
        return None if self.shape is None else len(self.shape)


def value_type(value: onnx.ValueInfoProto) -> ValueType:
    """The type in a ValueInfoProto."""
    if value.type.WhichOneof("value") not in ("tensor_type", None):
        return ValueType(NO_TENSOR, None)
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return ValueType(tensor.elem_type, None)
    shape = tuple(axis.dim_value if axis.HasField("dim_value") else None for axis in tensor.shape.dim)
    return ValueType(tensor.elem_type, shape)


def by_definition(
    nodes: Iterable[onnx.NodeProto], inferred: Mapping[str, ValueType], noted: Mapping[str, ValueType], opset: int
) -> dict[str, ValueType]:
    """Types of outputs of `nodes` (in order of execution) that are not among `inferred`, where they can be determined.

    onnx's inference skips operators that it has no rule for (GroupNormalization from operator set 21 on) and all that
    follows them. `noted` are the types in the model's file; else an output has the element type of an input whose type
    its definition names by the same letter, or the only one that it may have.
    """
    defined: dict[str, ValueType] = {}
    for node in nodes:
        missing = [(i, name) for i, name in enumerate(node.output) if name and not _is_defined(inferred.get(name))]
        for index, name in missing:
            candidate = noted.get(name)
            if not _is_defined(candidate):
                candidate = _from_schema(node, index, {**inferred, **defined}, opset)
            if candidate is not None and _is_defined(candidate):
                defined[name] = candidate
    return defined


def _is_defined(value: ValueType | None) -> bool:
    return value is not None and value.element != TensorProto.UNDEFINED


def _from_schema(node: onnx.NodeProto, index: int, types: Mapping[str, ValueType], opset: int) -> ValueType | None:
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    except onnx.defs.SchemaError:
        return None
    inputs, outputs = list(schema.inputs), list(schema.outputs)
    if not outputs:
        return None
    letter = outputs[min(index, len(outputs) - 1)].type_str
    for position, name in enumerate(node.input):
        same = name and inputs and inputs[min(position, len(inputs) - 1)].type_str == letter
        if same and (read := types.get(name)) is not None and read.element > 0:
            return ValueType(read.element, None)
    allowed = [list(entry.allowed_type_strs) for entry in schema.type_constraints if entry.type_param_str == letter]
    only = allowed[0] if len(allowed) == 1 else [letter]
    number = _ELEMENTS.get(only[0]) if len(only) == 1 else None
    return None if number is None else ValueType(number, None)


# As schemas write them.
_ELEMENTS = {
    "tensor(float)": TensorProto.FLOAT,
    "tensor(int64)": TensorProto.INT64,
    "tensor(int32)": TensorProto.INT32,
    "tensor(bool)": TensorProto.BOOL,
}
