"""What the nodes of one graph see: shapes, types, constants and makers, those of the graphs around it included.

The graph is a network's, the body of an If, Loop or Scan, or that of a function that a model brings with it.
"""

from __future__ import annotations

import contextlib
from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

from inferkit.network.as_written import session_as_written
from inferkit.network.open_dimensions import forget_shapes
from inferkit.precision.rewrite.graph import constant_value
from inferkit.precision.rewrite.nodes import attribute, captured

if TYPE_CHECKING:
    import onnx

    from inferkit.network.network import Network

# Constants of up to so many values may matter to shapes (Reshape); weights only have a shape.
_SMALL = 128
_UNCHANGED = ("Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape", "Flatten")


@dataclass(frozen=True)
class Scope:
    """`nodes` of a graph; by name the inferred types of its tensors, its constants, and the nodes that make tensors."""

    model: onnx.ModelProto
    nodes: Sequence[onnx.NodeProto]
    values: Mapping[str, onnx.ValueInfoProto]
    constants: Mapping[str, onnx.TensorProto]
    made: Mapping[str, onnx.NodeProto]
    bodies: dict[int, Any] = field(default_factory=dict, repr=False)  # those looked at already, by the id of a node

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The shape of a tensor, None where it is not known in full."""
        constant = self.constants.get(name)
        if constant is not None:
            return tuple(constant.dims)
        value = self.values.get(name)
        tensor = None if value is None else value.type.tensor_type
        if tensor is None or not tensor.HasField("shape"):
            return None
        known = all(dim.HasField("dim_value") for dim in tensor.shape.dim)
        return tuple(dim.dim_value for dim in tensor.shape.dim) if known else None

    def element(self, name: str) -> int:
        """The ONNX element type of a tensor, 0 where it is not known."""
        if name in self.constants:
            return self.constants[name].data_type
        return self.values[name].type.tensor_type.elem_type if name in self.values else 0

    def integers(self, name: str) -> list[int] | None:
        """The value of a small tensor of integers that constants and shapes decide; None for any other."""
        from onnx import numpy_helper

        constant = self.constants.get(name)
        if constant is not None:
            return [int(each) for each in numpy_helper.to_array(constant).reshape(-1)] if _is_small(constant) else None
        node = self.made.get(name)
        if node is None:
            return None
        if node.op_type == "Shape":
            shape = self.shape(node.input[0])
            end = attribute(node, "end", None)
            return None if shape is None else list(shape[attribute(node, "start", 0) : end])
        if node.op_type == "Size":
            shape = self.shape(node.input[0])
            return None if shape is None else [prod(shape)]
        source = self.integers(node.input[0]) if node.op_type in (*_UNCHANGED, "Gather") else None
        if source is None or node.op_type != "Gather":
            return source
        places = self.integers(node.input[1])
        if places is None or any(not -len(source) <= place < len(source) for place in places):
            return None
        return [source[place] for place in places]

    def inside(self, graph: onnx.GraphProto, fed: Mapping[str, onnx.ValueInfoProto]) -> Scope:
        """The scope of a body, whose inputs are of the types `fed`; a body sees everything around it."""
        outer = [name for node in graph.node for name in (*node.input, *captured(node))]
        outer += [value.name for value in graph.output]
        inputs = {name: value for name in outer if name and (value := self.values.get(name)) is not None}
        own = {tensor.name: tensor for tensor in graph.initializer} | constant_nodes(graph.node)
        around = {name: self.constants[name] for name in outer if name in self.constants and name not in own}
        for value in graph.input:
            inputs[value.name] = _renamed(fed.get(value.name, value), value.name)
        results = [value.name for value in graph.output]
        values = _inferred(self.model, graph.node, inputs, {**around, **own}, results)
        makers = {output: node for node in graph.node for output in node.output}
        return Scope(
            self.model, list(graph.node), values, ChainMap(own, dict(self.constants)), ChainMap(makers, dict(self.made))
        )

    def function(self, node: onnx.NodeProto) -> Scope | None:
        """The scope of the function that a node calls; None for an operator."""
        function = next((f for f in self.model.functions if (f.domain, f.name) == (node.domain, node.op_type)), None)
        if function is None:
            return None
        pairs = [(inner, name) for inner, name in zip(function.input, node.input, strict=False) if name]
        inputs = {inner: _renamed(self.values[name], inner) for inner, name in pairs if name in self.values}
        constants = {inner: self.constants[name] for inner, name in pairs if name in self.constants}
        constants |= constant_nodes(function.node)
        values = _inferred(self.model, function.node, inputs, constants, function.output)
        made = {output: each for each in function.node for output in each.output}
        made |= {inner: self.made[name] for inner, name in pairs if name in self.made}
        return Scope(self.model, list(function.node), values, ChainMap(constants, dict(self.constants)), made)


def scope_of(network: Network) -> Scope:
    """The scope of a network's own graph for one image, or the batch that it is fixed to; the weights not copied."""
    graph = network.model.graph
    own = {tensor.name: tensor for tensor in graph.initializer}
    axes = {info.name: info.batch_axis for info in network.inputs}
    inputs = {value.name: _renamed(value, value.name) for value in graph.input if value.name not in own}
    for name, value in inputs.items():
        axis = axes.get(name)
        if axis is not None and not value.type.tensor_type.shape.dim[axis].HasField("dim_value"):
            value.type.tensor_type.shape.dim[axis].dim_value = 1
    values = _inferred(network.model, graph.node, inputs, own, [value.name for value in graph.output])
    if any(node.domain not in ("", "ai.onnx") for node in graph.node):
        values |= _by_onnxruntime(network.model, inputs, values)
    made = {output: node for node in graph.node for output in node.output}
    return Scope(network.model, list(graph.node), values, own | constant_nodes(graph.node), made)


def _by_onnxruntime(
    model: onnx.ModelProto, inputs: Mapping[str, onnx.ValueInfoProto], values: Mapping[str, onnx.ValueInfoProto]
) -> dict[str, onnx.ValueInfoProto]:
    """Types of what onnx cannot infer: ONNX Runtime knows operators of its own; none where it cannot load the model."""
    from onnx import helper

    unknown = [
        name
        for node in model.graph.node
        for name in node.output
        if name and (name not in values or _is_open(values[name]))
    ]
    asked = type(model)()
    asked.CopyFrom(model)
    del asked.graph.output[:]
    asked.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in unknown)
    for value in asked.graph.input:
        value.CopyFrom(inputs.get(value.name, value))
    forget_shapes(asked)
    found = {}
    with contextlib.suppress(Exception):  # of no common class; what is not inferred is not known
        for entry in session_as_written(asked).get_outputs() if unknown else ():
            element = _ELEMENTS.get(entry.type, 0)
            if entry.shape and element and all(isinstance(size, int) for size in entry.shape):
                found[entry.name] = helper.make_tensor_value_info(entry.name, element, entry.shape)
    return found


# As ONNX Runtime writes them.
_ELEMENTS = {
    "tensor(float)": 1,
    "tensor(uint8)": 2,
    "tensor(int8)": 3,
    "tensor(int32)": 6,
    "tensor(int64)": 7,
    "tensor(bool)": 9,
    "tensor(float16)": 10,
    "tensor(double)": 11,
}


def _is_open(value: onnx.ValueInfoProto) -> bool:
    tensor = value.type.tensor_type
    return not tensor.HasField("shape") or not all(dim.HasField("dim_value") for dim in tensor.shape.dim)


def constant_nodes(nodes: Iterable[onnx.NodeProto]) -> dict[str, onnx.TensorProto]:
    """The tensors of Constant nodes, under the name of what they make."""
    stated = (constant_value(node) for node in nodes if node.op_type == "Constant" and len(node.attribute) == 1)
    return {tensor.name: tensor for tensor in stated if tensor is not None}


def _inferred(
    model: onnx.ModelProto,
    nodes: Iterable[onnx.NodeProto],
    inputs: Mapping[str, onnx.ValueInfoProto],
    constants: Mapping[str, onnx.TensorProto],
    outputs: Iterable[str],
) -> dict[str, onnx.ValueInfoProto]:
    """The types of all tensors of a graph, as far as shape inference gives them; of its inputs at least."""
    import onnx
    from onnx import helper, shape_inference

    bare = onnx.ModelProto()
    bare.ir_version = model.ir_version
    bare.opset_import.extend(model.opset_import)
    bare.functions.extend(model.functions)
    bare.graph.name = model.graph.name or "bare"
    bare.graph.node.extend(nodes)
    bare.graph.input.extend(value for name, value in inputs.items() if name not in constants)
    made = {output for node in bare.graph.node for output in node.output}
    for name, tensor in constants.items():
        if name in made:  # by a Constant node
            continue
        if _is_small(tensor):
            bare.graph.initializer.add().CopyFrom(tensor)
            bare.graph.initializer[-1].name = name
        bare.graph.input.append(helper.make_tensor_value_info(name, tensor.data_type, tensor.dims))
    bare.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in outputs)
    inferred = bare.graph
    with contextlib.suppress(Exception):  # of no common class; what is not inferred is not known
        inferred = shape_inference.infer_shapes(bare, data_prop=True).graph
    return {value.name: value for value in (*inferred.input, *inferred.value_info, *inferred.output)}


def _is_small(tensor: onnx.TensorProto) -> bool:
    return prod(tensor.dims) <= _SMALL


def _renamed(value: onnx.ValueInfoProto, name: str) -> onnx.ValueInfoProto:
    copy = type(value)()
    copy.CopyFrom(value)
    copy.name = name
    return copy
