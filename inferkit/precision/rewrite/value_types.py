"""Types of tensors: what shape inference tells, and what an operator's definition says where it tells nothing."""

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
    """The type that a message of a model states."""
    if value.type.WhichOneof("value") not in ("tensor_type", None):
        return ValueType(NO_TENSOR, None)
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return ValueType(tensor.elem_type, None)
    shape = tuple(axis.dim_value if axis.HasField("dim_value") else None for axis in tensor.shape.dim)
    return ValueType(tensor.elem_type, shape)


def by_definition(
    nodes: Iterable[onnx.NodeProto], known: Mapping[str, ValueType], noted: Mapping[str, ValueType], opset: int
) -> dict[str, ValueType]:
    """Types of outputs of `nodes` (in order of execution) that are not among `known`, as far as they can be told.

    onnx's inference passes over operators that it has no rule for (GroupNormalization from operator set 21 on) and over
    all that follows them. `noted` is what the model's file says; else an output has the element type of an input whose
    type its definition names by the same letter, or the only one that it may have.
    """
    found: dict[str, ValueType] = {}
    for node in nodes:
        missing = [(i, name) for i, name in enumerate(node.output) if name and not _is_known(known.get(name))]
        for index, name in missing:
            told = noted.get(name)
            if not _is_known(told):
                told = _from_schema(node, index, {**known, **found}, opset)
            if told is not None and _is_known(told):
                found[name] = told
    return found


def _is_known(found: ValueType | None) -> bool:
    return found is not None and found.element != TensorProto.UNDEFINED


def _from_schema(node: onnx.NodeProto, index: int, known: Mapping[str, ValueType], opset: int) -> ValueType | None:
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
        if same and (read := known.get(name)) is not None and read.element > 0:
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
