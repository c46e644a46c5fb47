"""How fast a network could run at best: its operations over the card's peak, its bytes over the card's bandwidth.

No engine runs faster than the larger of the two times. Only what every execution must do is counted: multiplications
and additions of convolutions and inner products, each weight, input and output once. Activations may stay in caches,
and copies between host and device are no part of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

    from inferkit.network.network import Network

_BYTES = {"fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2, "int8": 1, "fp8": 1}
_SMALL = 1024  # values of constants up to this many bytes may matter to shapes (Reshape); weights only have a shape


@dataclass(frozen=True)
class Work:
    """What one image costs: operations (2 per multiply-accumulate), and the number of weights, inputs and outputs."""

    operations: int
    weights: int
    inputs: int
    outputs: int


@dataclass(frozen=True)
class Card:
    """Peak rates of a GPU by its data sheet: dense operations per second by precision, and bytes per second."""

    operations: Mapping[str, float]
    bandwidth: float


@dataclass(frozen=True)
class Limit:
    """The floor of one batch in seconds: the larger of `operations` and `bytes`, and which it is."""

    operations: float
    bytes: float
    seconds: float
    bound_by: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _card(bandwidth: float, fp32: float, tf32: float | None, half: float, int8: float, fp8: float | None) -> Card:
    """Rates in 10^12 and bandwidth in 10^9 bytes per second. A precision without units of its own runs in the next."""
    rates = {"fp32": fp32, "tf32": tf32 or fp32, "fp16": half, "bf16": half, "int8": int8, "fp8": fp8 or half}
    return Card({name: rate * 1e12 for name, rate in rates.items()}, bandwidth * 1e9)


# NVIDIA's data sheets, dense (no sparsity), boost clock. INT8 of V100 is DP4A; it has no tensor cores for it.
CARDS: tuple[tuple[str, Card], ...] = (
    (r"H200", _card(4800, 66.9, 494.7, 989.4, 1978.9, 1978.9)),
    (r"H100 (80GB HBM3|SXM).*", _card(3350, 66.9, 494.7, 989.4, 1978.9, 1978.9)),
    (r"H100 PCIe", _card(2000, 51.2, 378.0, 756.0, 1513.0, 1513.0)),
    (r"A100-SXM4-80GB", _card(2039, 19.5, 156.0, 312.0, 624.0, None)),
    (r"A100 80GB PCIe", _card(1935, 19.5, 156.0, 312.0, 624.0, None)),
    (r"A100-(SXM4|PCIE)-40GB", _card(1555, 19.5, 156.0, 312.0, 624.0, None)),
    (r"L40S", _card(864, 91.6, 183.0, 362.0, 733.0, 733.0)),
    (r"L4", _card(300, 30.3, 60.0, 121.0, 242.0, 242.0)),
    (r"A10", _card(600, 31.2, 62.5, 125.0, 250.0, None)),
    (r"T4", _card(320, 8.1, None, 65.0, 130.0, None)),
    (r"V100-SXM2.*", _card(900, 15.7, None, 125.0, 62.8, None)),
    (r"GeForce RTX 4090", _card(1008, 82.6, 82.6, 165.2, 660.6, 330.3)),
)


def card_of(gpu_name: str | None) -> Card | None:
    """The peak rates of a GPU by the name that NVML gives; None for one that is not in the table."""
    bare = re.sub(r"^(NVIDIA|Tesla)\s+", "", gpu_name or "").removeprefix("Tesla ")
    return next((card for pattern, card in CARDS if re.fullmatch(pattern, bare)), None)


def limit_of(work: Work, precision: str, batch: int, card: Card) -> Limit:
    """The floor of one batch on a card. Inputs and outputs count as float32, which they are by default."""
    operations = work.operations * batch / card.operations[precision]
    moved = work.weights * _BYTES[precision] + (work.inputs + work.outputs) * batch * 4
    seconds = moved / card.bandwidth
    bound_by = "operations" if operations >= seconds else "bytes"
    return Limit(operations, seconds, max(operations, seconds), bound_by)


def work_of(network: Network) -> Work:
    """Count the work of one image. Layers whose shapes cannot be inferred are not counted; none of the zoo's is."""
    shapes = {name: shape for name, (shape, _) in tensors_of(network).items() if shape is not None}
    batch = fixed_batch(network)
    operations = weights = 0
    for node in network.model.graph.node:
        counted = operations_of(node, shapes)
        if counted is not None:
            operations += counted // batch
            weights += prod(shapes[node.input[1]])
    inputs = sum(prod(dim or 1 for dim in info.shape[1:]) for info in network.inputs)
    outputs = sum(prod(dim or 1 for dim in info.shape[1:]) for info in network.outputs)
    return Work(operations, weights, inputs, outputs)


def fixed_batch(network: Network) -> int:
    """The batch that the network's first input is fixed to; 1 where it is open. What is counted is of that many."""
    shape = network.inputs[0].shape if network.inputs else ()
    return shape[0] or 1 if shape else 1


def operations_of(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """Operations of one node (2 per multiply-accumulate); None for kinds not counted and where a shape is unknown."""
    count = _COUNTED.get(node.op_type)
    if count is None or not all(shapes.get(name) for name in (*node.input[:2], node.output[0])):
        return None
    return 2 * count(node, shapes)


_Shapes = Mapping[str, tuple[int, ...]]


def _convolution(node: onnx.NodeProto, shapes: _Shapes) -> int:
    """Every output is a sum over the channels of a group and the kernel: the weight's shape without its first axis."""
    return prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])


def _deconvolution(node: onnx.NodeProto, shapes: _Shapes) -> int:
    """Every input is multiplied with the weight's shape without its first axis."""
    return prod(shapes[node.input[0]]) * prod(shapes[node.input[1]][1:])


def _gemm(node: onnx.NodeProto, shapes: _Shapes) -> int:
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    inner = shapes[node.input[0]][0 if transposed else 1]
    return prod(shapes[node.output[0]]) * inner


def _matmul(node: onnx.NodeProto, shapes: _Shapes) -> int:
    return prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


_COUNTED: Mapping[str, Callable[[onnx.NodeProto, _Shapes], int]] = {
    "Conv": _convolution,
    "ConvTranspose": _deconvolution,
    "Gemm": _gemm,
    "MatMul": _matmul,
}


def tensors_of(network: Network) -> dict[str, tuple[tuple[int, ...] | None, int]]:
    """Shape (None: not inferred) and ONNX element type of every tensor at `fixed_batch`, the weights not copied."""
    import onnx
    from onnx import helper, shape_inference

    original = network.model.graph
    bare = onnx.ModelProto()
    bare.ir_version = network.model.ir_version
    bare.opset_import.extend(network.model.opset_import)
    bare.functions.extend(network.model.functions)
    bare.graph.name = original.name or "bare"
    bare.graph.node.extend(original.node)
    constants = {tensor.name: tensor for tensor in original.initializer}
    for value in original.input:
        if value.name in constants:
            continue
        copy = bare.graph.input.add()
        copy.CopyFrom(value)
        dims = copy.type.tensor_type.shape.dim
        if dims and not dims[0].HasField("dim_value"):
            dims[0].dim_value = 1
    for tensor in constants.values():
        if tensor.ByteSize() <= _SMALL:
            bare.graph.initializer.add().CopyFrom(tensor)
        bare.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    for value in original.output:
        bare.graph.output.append(helper.make_empty_tensor_value_info(value.name))
    inferred = shape_inference.infer_shapes(bare, data_prop=True).graph
    tensors: dict[str, tuple[tuple[int, ...] | None, int]] = {}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        tensor = value.type.tensor_type
        has_shape = tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim)
        tensors[value.name] = (
            tuple(dim.dim_value for dim in tensor.shape.dim) if has_shape else None,
            tensor.elem_type,
        )
    return tensors
