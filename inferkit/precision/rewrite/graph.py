"""An ONNX graph for rewriting: its nodes and constants, and the producer and readers of each tensor.

Works on onnx's own messages. The model it was made from is never changed; weights are shared with it until they are
replaced, so that rewriting a network of 500 MB does not copy 500 MB at every step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from inferkit.errors import PrecisionError
from inferkit.precision.rewrite.nodes import captured, rename_reads
from inferkit.precision.rewrite.value_types import ValueType, by_definition, value_type

_Message = TypeVar("_Message")

# Weights above this many elements are declared as inputs when shapes are inferred: only their shape matters there.
_SHAPE_DATA = 1024


class Graph:
    """The main graph of a model. Nodes of subgraphs (If, Loop, Scan) are left alone; what they read counts as read."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """Take `model` apart. Constant nodes become constants, local functions are inlined, every node gets a name."""
        if model.functions:
            from onnx import inliner

            model = inliner.inline_local_functions(model)
        self._frame = _without_graph(model)
        self.constants: dict[str, onnx.TensorProto] = {tensor.name: tensor for tensor in model.graph.initializer}
        self.inputs = [_copy(value) for value in model.graph.input if value.name not in self.constants]
        self.outputs = [_copy(value) for value in model.graph.output]
        self._sparse = [_copy(tensor) for tensor in model.graph.sparse_initializer]
        self._noted = {value.name: value_type(value) for value in model.graph.value_info}
        self._name = model.graph.name or "graph"
        self.nodes: list[onnx.NodeProto] = []
        for node in model.graph.node:
            if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
                constant = constant_value(node)
                if constant is not None:
                    self.constants[constant.name] = constant
                    continue
            self.nodes.append(_copy(node))
        self._producers: dict[str, onnx.NodeProto] | None = None
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        self._names = {name for node in self.nodes for name in (*node.input, *node.output, *captured(node))}
        self._names.update(self.constants, (value.name for value in (*self.inputs, *self.outputs)))
        self._name_nodes()

    def _name_nodes(self) -> None:
        seen: set[str] = set()
        for node in self.nodes:
            wanted = node.name or next((name for name in node.output if name), node.op_type)
            name, count = wanted, 1
            while name in seen:
                count += 1
                name = f"{wanted}_{count}"
            node.name = name
            seen.add(name)

    @property
    def opset(self) -> int:
        """The version of the default operator set."""
        return next((entry.version for entry in self._frame.opset_import if entry.domain in ("", "ai.onnx")), 1)

    @property
    def input_names(self) -> list[str]:
        return [value.name for value in self.inputs]

    @property
    def output_names(self) -> list[str]:
        return [value.name for value in self.outputs]

    # Reading

    def _index(self) -> dict[str, onnx.NodeProto]:
        if self._producers is None:
            self._producers = {name: node for node in self.nodes for name in node.output if name}
            readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
            for node in self.nodes:
                for name in dict.fromkeys((*node.input, *captured(node))):
                    if name:
                        readers[name].append(node)
            self._readers = dict(readers)
        return self._producers

    def producer(self, name: str) -> onnx.NodeProto | None:
        """The node that computes `name`; None for an input or a constant."""
        return self._index().get(name)

    def readers(self, name: str) -> list[onnx.NodeProto]:
        """The nodes that read `name`, those that read it from inside a subgraph included; each once."""
        self._index()
        return self._readers.get(name, [])

    def sole_reader(self, name: str) -> onnx.NodeProto | None:
        """The one node that reads `name`, where nothing else sees the tensor (it is no output of the graph)."""
        readers = self.readers(name)
        if len(readers) != 1 or name in self.output_names or name in captured(readers[0]):
            return None
        return readers[0]

    def array(self, name: str) -> NDArray[Any] | None:
        """The value of the constant `name`; None where it is not a constant."""
        tensor = self.constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def types(self) -> dict[str, ValueType]:
        """Type and shape of every tensor, as far as inferred. PrecisionError where the graph is not sound."""
        skeleton = self._skeleton()
        types = self._inferred(skeleton)
        defined = by_definition(self.sorted_nodes(), types, self._noted, self.opset)
        if defined:  # shape inference continues from these
            for name, value in defined.items():
                skeleton.graph.value_info.append(helper.make_tensor_value_info(name, value.element, value.shape))
            types = {**defined, **self._inferred(skeleton)}
        return types

    def _inferred(self, skeleton: onnx.ModelProto) -> dict[str, ValueType]:
        try:
            inferred = onnx.shape_inference.infer_shapes(skeleton, data_prop=True)
        except Exception as error:  # onnx raises several unrelated types
            raise PrecisionError(f"graph {self._name!r}: shapes cannot be inferred: {error}") from error
        types = {tensor.name: ValueType(tensor.data_type, tuple(tensor.dims)) for tensor in self.constants.values()}
        for value in (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output):
            types[value.name] = value_type(value)
        return types

    def _skeleton(self) -> onnx.ModelProto:
        """The model without the values of large constants, which are declared as inputs."""
        small = [tensor for tensor in self.constants.values() if _elements(tensor) <= _SHAPE_DATA]
        skeleton = self._assemble(small)
        for name, tensor in self.constants.items():
            if _elements(tensor) > _SHAPE_DATA:
                skeleton.graph.input.append(helper.make_tensor_value_info(name, tensor.data_type, tensor.dims))
        return skeleton

    # Changing

    def touched(self) -> None:
        """Say that nodes were changed directly, so that producers and readers are looked up again."""
        self._producers = None

    def fresh(self, wanted: str) -> str:
        """A tensor name not yet used: `wanted`, or `wanted` with a number."""
        name, count = wanted, 1
        while name in self._names:
            count += 1
            name = f"{wanted}_{count}"
        self._names.add(name)
        return name

    def add_constant(self, wanted: str, value: NDArray[Any]) -> str:
        """Add a constant (numpy array, or TensorProto-able); returns the name it got."""
        return self.add_tensor(wanted, numpy_helper.from_array(np.asarray(value, order="C")))

    def add_tensor(self, wanted: str, tensor: onnx.TensorProto) -> str:
        """Add a constant given as a message; returns the name it got."""
        tensor.name = self.fresh(wanted)
        self.constants[tensor.name] = tensor
        return tensor.name

    def add_node(self, op_type: str, inputs: Iterable[str], outputs: Iterable[str], name: str, **attrs: Any) -> None:
        """Append a node of the default domain; `model` puts the nodes in order."""
        self.nodes.append(helper.make_node(op_type, list(inputs), list(outputs), name=name, **attrs))
        self.touched()

    def remove(self, *nodes: onnx.NodeProto) -> None:
        gone = {id(node) for node in nodes}
        self.nodes = [node for node in self.nodes if id(node) not in gone]
        self.touched()

    def redirect(self, old: str, new: str, readers: Iterable[onnx.NodeProto] | None = None) -> None:
        """Let `readers` (default: all, subgraphs included) read `new` where they read `old`."""
        for node in list(self.readers(old) if readers is None else readers):
            rename_reads(node, old, new)
        self.touched()

    def bypass(self, node: onnx.NodeProto, source: str) -> bool:
        """Remove `node`, whose first output equals the tensor `source`. False (nothing done) where names forbid it."""
        result = node.output[0]
        if result not in self.output_names:
            self.redirect(result, source)
            self.remove(node)
            return True
        producer = self.producer(source)
        if producer is None or source in self.output_names or source in self.input_names:
            return False  # an output that is an input or a constant, or one tensor under two output names
        self.remove(node)
        self.redirect(source, result)
        for index, name in enumerate(producer.output):
            if name == source:
                producer.output[index] = result
        self.touched()
        return True

    def prune(self) -> None:
        """Drop nodes and constants that no output depends on."""
        needed = set(self.output_names)
        kept = []
        for node in reversed(self.sorted_nodes()):
            if any(name in needed for name in node.output):
                kept.append(node)
                needed.update(name for name in (*node.input, *captured(node)) if name)
        self.nodes = kept[::-1]
        self.constants = {name: tensor for name, tensor in self.constants.items() if name in needed}
        self.touched()

    def cut(self, outputs: Iterable[str]) -> Graph:
        """A graph of its own that computes the tensors `outputs` and nothing else; it shares this one's constants.

        PrecisionError for a tensor that the graph does not compute.
        """
        types = self.types()
        part = self.copy()
        part.outputs = []
        for name in outputs:
            value = types.get(name)
            if self.producer(name) is None:
                raise PrecisionError(f"graph {self._name!r} does not compute a tensor {name!r}")
            element = value.element if value and value.element else onnx.TensorProto.FLOAT
            part.outputs.append(helper.make_tensor_value_info(name, element, None))
        part.prune()
        return part

    def copy(self) -> Graph:
        """A graph of its own that is equal to this one; it shares its constants."""
        copy = self.part(self.nodes, self.inputs, [])
        copy.outputs = [_copy(value) for value in self.outputs]
        copy.constants = dict(self.constants)
        copy._names = set(self._names)
        return copy

    def part(
        self, nodes: Iterable[onnx.NodeProto], inputs: Iterable[onnx.ValueInfoProto], outputs: Iterable[str]
    ) -> Graph:
        """A graph of copies of `nodes` with the constants that they read; the outputs' types are left to inference."""
        part = Graph(self._frame)
        part._name, part._sparse, part._noted = self._name, self._sparse, self._noted
        part.inputs = [_copy(value) for value in inputs]
        part.nodes = [_copy(node) for node in nodes]
        part.outputs = [helper.make_empty_tensor_value_info(name) for name in outputs]
        reads = {name for node in part.nodes for name in (*node.input, *captured(node))}
        fed = set(part.input_names)
        part.constants = {name: self.constants[name] for name in reads - fed if name in self.constants}
        part._names = reads | fed | {name for node in part.nodes for name in node.output} | set(part.output_names)
        return part

    # Putting together

    def sorted_nodes(self) -> list[onnx.NodeProto]:
        """The nodes, each after those it depends on, else in their present order. PrecisionError for a cycle."""
        producers = self._index()
        done: set[int] = set()
        order: list[onnx.NodeProto] = []
        for start in self.nodes:
            stack: list[tuple[onnx.NodeProto, Iterator[str]]] = [(start, iter((*start.input, *captured(start))))]
            open_nodes = {id(start)}
            while stack:
                node, reads = stack[-1]
                if id(node) in done:
                    stack.pop()
                    continue
                pending = next((p for name in reads if (p := producers.get(name)) and id(p) not in done), None)
                if pending is None:
                    done.add(id(node))
                    order.append(node)
                    open_nodes.discard(id(node))
                    stack.pop()
                elif id(pending) in open_nodes:
                    raise PrecisionError(f"graph {self._name!r}: node {pending.name!r} depends on its own output")
                else:
                    open_nodes.add(id(pending))
                    stack.append((pending, iter((*pending.input, *captured(pending)))))
        return order

    def model(self, holds: Callable[[onnx.TensorProto], bool] = lambda tensor: True) -> onnx.ModelProto:
        """A new model of this graph, with the constants that it `holds` (default: all)."""
        return self._assemble([tensor for tensor in self.constants.values() if holds(tensor)])

    def with_opset(self, version: int) -> Graph:
        """This graph in operator set `version`; unchanged if it is that or newer. PrecisionError if not possible."""
        if self.opset >= version:
            return self
        try:
            converted = Graph(onnx.version_converter.convert_version(self._skeleton(), version))
        except Exception as error:  # the converter raises RuntimeError and others, by operator
            raise PrecisionError(
                f"graph {self._name!r} cannot be converted from operator set {self.opset} to {version}: {error}; "
                f"export the model again with opset_version={version}"
            ) from error
        converted.inputs = [value for value in converted.inputs if value.name not in self.constants]
        converted.constants = {**self.constants, **converted.constants}
        converted._noted = {**self._noted, **converted._noted}
        converted.prune()
        return converted

    def _assemble(self, constants: list[onnx.TensorProto]) -> onnx.ModelProto:
        model = _copy(self._frame)
        model.ir_version = max(model.ir_version, 8)
        graph = model.graph
        graph.name = self._name
        graph.node.extend(self.sorted_nodes())
        graph.initializer.extend(constants)
        graph.sparse_initializer.extend(self._sparse)
        graph.input.extend(self.inputs)
        graph.output.extend(self.outputs)
        return model


def constant_value(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """The tensor of a Constant node, named as its output; None for forms that stay nodes (sparse, text)."""
    (entry,) = node.attribute
    if entry.name == "value":
        tensor = _copy(entry.t)
    elif entry.name in ("value_float", "value_floats"):
        tensor = numpy_helper.from_array(np.asarray(helper.get_attribute_value(entry), dtype=np.float32))
    elif entry.name in ("value_int", "value_ints"):
        tensor = numpy_helper.from_array(np.asarray(helper.get_attribute_value(entry), dtype=np.int64))
    else:
        return None
    tensor.name = node.output[0]
    return tensor


def _without_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    frame = onnx.ModelProto()
    for descriptor, value in model.ListFields():
        if descriptor.name in ("graph", "functions"):
            continue
        if isinstance(value, (int, str, bytes)):
            setattr(frame, descriptor.name, value)
        else:
            getattr(frame, descriptor.name).extend(value)
    return frame


def _elements(tensor: onnx.TensorProto) -> int:
    return int(np.prod(tensor.dims, dtype=np.int64))


def _copy(message: _Message) -> _Message:
    fresh = type(message)()
    fresh.CopyFrom(message)  # type: ignore[attr-defined]
    return fresh
