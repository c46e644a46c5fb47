"""Builds an ONNX model node by node: constants, the shape of every tensor, unique names, and the final check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import NetworkError
from inferkit.network.caffe.dims import BatchDim, Dim, Shape, concrete_shape, show
from inferkit.network.limit import check_bytes
from inferkit.version import __version__

if TYPE_CHECKING:
    import onnx

# Opset 19 is the newest whose parts TensorRT 10.0, ONNX Runtime 1.20 and onnx 1.17 all know; its QuantizeLinear has
# FP8, so the precision rewrites need no other. IR version 9 came with it.
OPSET = 19
IR_VERSION = 9

BATCH_NAME = "batch"

# Constants up to this many elements stay in the model that is checked (shape inference reads Reshape's and Slice's).
_SMALL = 64

# Caffe counts a blob's numbers in an int.
_MOST_NUMBERS = 2**31 - 1

_TYPES = {"float32": 1, "int64": 7, "bool": 9}


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph: its name, its shape with the batch as a symbol, its type (a key of ONNX's types)."""

    name: str
    shape: Shape
    dtype: str = "float32"


@dataclass
class Node:
    """One ONNX node; inputs and outputs can still be renamed."""

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


@dataclass
class OnnxBuilder:
    """The nodes so far, their constants and the tensors they compute. `reserved`: names kept for Caffe's blobs."""

    reserved: set[str]
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)
    _weights: dict[tuple[object, ...], str] = field(default_factory=dict)
    _bytes: int = 0

    def unique(self, wanted: str) -> str:
        """`wanted`, or `wanted` with a number, so that no other tensor or blob has the name."""
        name, number = wanted, 1
        while name in self._taken or name in self.reserved:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        return name

    def constant(self, value: NDArray[Any], wanted: str) -> Tensor:
        """A constant; a weight that two layers share (the same memory in the same shape) is stored once.

        NetworkError where all constants together exceed the size limit of a network.
        """
        key = (value.__array_interface__["data"][0], value.shape, value.strides)
        name = self._weights.get(key) if value.size > _SMALL else None
        if name is None:
            self._bytes += value.nbytes
            check_bytes(self._bytes, "the constants of this network together")
            name = self.unique(wanted)
            self.constants[name] = value
            self._weights[key] = name
        return Tensor(name, tuple(value.shape), str(value.dtype))

    def node(
        self,
        op: str,
        prefix: str,
        inputs: Sequence[Tensor],
        outputs: Sequence[tuple[Shape, str]],
        attributes: Mapping[str, Any],
    ) -> list[Tensor]:
        """Append a node; its outputs are named `prefix/op` until the conversion gives them the names of blobs.

        NetworkError for an output with more elements than Caffe allows a blob.
        """
        name = f"{prefix}/{op}"
        for shape, _ in outputs:
            check_count(shape, name)
        made = [Tensor(self.unique(name), shape, dtype) for shape, dtype in outputs]
        self.tensors.update((tensor.name, tensor) for tensor in made)
        used = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(Node(op, name, [tensor.name for tensor in inputs], [tensor.name for tensor in made], used))
        return made

    def rename(self, names: Mapping[str, str]) -> None:
        """Give tensors other names, in nodes and in the table of tensors."""
        for node in self.nodes:
            node.inputs = [names.get(name, name) for name in node.inputs]
            node.outputs = [names.get(name, name) for name in node.outputs]
        self.tensors = {
            names.get(name, name): Tensor(names.get(name, name), tensor.shape, tensor.dtype)
            for name, tensor in self.tensors.items()
        }

    def prune(self, outputs: Iterable[str]) -> None:
        """Drop the nodes and constants that no output needs (branches that end in Silence)."""
        needed = set(outputs)
        kept = []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                needed.update(node.inputs)
                kept.append(node)
                if node.op == "MaxPool":  # the mask is optional, and TensorRT has none
                    node.outputs = node.outputs[: 2 if node.outputs[-1] in needed else 1]
        self.nodes = kept[::-1]
        self.constants = {name: value for name, value in self.constants.items() if name in needed}
        made = {name for node in self.nodes for name in node.outputs}
        self.tensors = {name: tensor for name, tensor in self.tensors.items() if name in made}

    def model(self, name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> onnx.ModelProto:
        """The model, checked by onnx.checker with strict shape inference against the shapes inferred here.

        The check runs before the large weights are attached: inputs of the same type and shape stand in for them, since
        the checker serializes the model and would copy the weights three times. Raises NetworkError where the
        conversion itself is at fault.
        """
        from onnx import checker, helper, shape_inference

        large = [key for key, value in self.constants.items() if value.size > _SMALL]
        stand_ins = [_value(Tensor(key, self.constants[key].shape, str(self.constants[key].dtype))) for key in large]
        final = {tensor.name for tensor in outputs}
        graph = helper.make_graph(
            [_node(node) for node in _uniquely_named(self.nodes)],
            name,
            [_value(tensor) for tensor in inputs] + stand_ins,
            [_value(tensor) for tensor in outputs],
            [_constant(key, value) for key, value in self.constants.items() if value.size <= _SMALL],
            value_info=[_value(tensor) for key, tensor in self.tensors.items() if key not in final],
        )
        model: onnx.ModelProto = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="inferkit",
            producer_version=__version__,
        )
        try:
            checker.check_model(model, full_check=True)
        except (checker.ValidationError, shape_inference.InferenceError) as error:
            raise NetworkError(
                f"{name}: the import produced an invalid ONNX model; please report this network: {error}"
            ) from error
        if large:
            del model.graph.input[len(inputs) :]
        _attach(model, {key: self.constants[key] for key in large})
        return model


def check_count(shape: Shape, subject: str) -> None:
    """NetworkError where a blob would have more elements than Caffe allows."""
    if prod(concrete_shape(shape)) > _MOST_NUMBERS:
        raise NetworkError(
            f"{subject} would have the shape {show(shape)}: Caffe allows a blob at most {_MOST_NUMBERS:,} elements"
        )


def _uniquely_named(nodes: Sequence[Node]) -> Sequence[Node]:
    used: set[str] = set()
    for node in nodes:
        name, number = node.name, 1
        while name in used:
            number += 1
            name = f"{node.name}_{number}"
        used.add(name)
        node.name = name
    return nodes


def _node(node: Node) -> onnx.NodeProto:
    from onnx import helper

    return helper.make_node(node.op, node.inputs, node.outputs, name=node.name, **node.attributes)


def _value(tensor: Tensor) -> onnx.ValueInfoProto:
    from onnx import helper

    return helper.make_tensor_value_info(tensor.name, _TYPES[tensor.dtype], [_dim(dim) for dim in tensor.shape])


def _dim(dim: Dim) -> int | str | None:
    """A number; the batch by its name; another expression of it has no name that shape inference would agree with."""
    if not isinstance(dim, BatchDim):
        return dim
    return BATCH_NAME if (dim.factor, dim.offset) == (1, 0) else None


def _attach(model: onnx.ModelProto, weights: Mapping[str, NDArray[Any]]) -> None:
    """Add the weights as initializers. The largest are copied first, while the rest of the copies is not there yet."""
    tensors = {name: model.graph.initializer.add(name=name) for name in weights}
    for name in sorted(weights, key=lambda name: -weights[name].size):
        _fill_constant(tensors[name], name, weights[name])


def _constant(name: str, value: NDArray[Any]) -> onnx.TensorProto:
    import onnx

    tensor = onnx.TensorProto()
    _fill_constant(tensor, name, value)
    return tensor


def _fill_constant(tensor: onnx.TensorProto, name: str, value: NDArray[Any]) -> None:
    """The fields of TensorProto, raw little-endian data."""
    little = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
    tensor.name = name
    tensor.data_type = _TYPES[str(value.dtype)]
    tensor.dims.extend(value.shape)
    tensor.raw_data = little.tobytes()
