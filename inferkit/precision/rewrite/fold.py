"""Prepares a graph: folds constants, and absorbs normalization into weights.

Scales are only meaningful on the graph that runs: an INT8 convolution whose BatchNormalization is still a node of its
own would be quantized before the normalization that TensorRT fuses into it.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from inferkit.network.random_inputs import DRAWING
from inferkit.precision.rewrite.affine import Affine, affine_of
from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.nodes import attribute, set_attribute, subgraphs
from inferkit.precision.rewrite.running import is_array, run_part
from inferkit.precision.rewrite.value_types import ValueType

LINEAR = ("Conv", "ConvTranspose", "Gemm", "MatMul")

# Not computed ahead: what draws random numbers, and Q/DQ pairs, whose place in the graph is their meaning.
_NEVER_FOLDED = frozenset(
    {
        *DRAWING,
        *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
    }
)
_FOLDED_GROWTH = 1 << 20  # bytes that a constant may grow by when it is computed ahead (Expand, Tile, ConstantOfShape)


def prepare(model: onnx.ModelProto) -> Graph:
    """A graph that computes what `model` computes, with its constants folded and normalization in the weights.

    PrecisionError where the model is not a sound graph.
    """
    graph = Graph(model)
    remove_no_ops(graph)
    fold_constants(graph)
    plain_products(graph)
    absorb_affine(graph)
    graph.prune()
    return graph


def remove_no_ops(graph: Graph) -> None:
    """Remove Identity, and Dropout as inference runs it. One that gives an output its name may have to stay."""
    for node in list(graph.nodes):
        if node.op_type == "Identity" or (node.op_type == "Dropout" and _is_inference_dropout(graph, node)):
            graph.bypass(node, node.input[0])


def _is_inference_dropout(graph: Graph, node: onnx.NodeProto) -> bool:
    mask_read = any(name and (graph.readers(name) or name in graph.output_names) for name in node.output[1:])
    training = graph.array(node.input[2]) if len(node.input) > 2 and node.input[2] else np.False_
    return not mask_read and training is not None and not bool(training)


def fold_constants(graph: Graph) -> None:
    """Replace nodes that depend on constants alone by their values, as ONNX Runtime computes them.

    onnx's own reference differs from it: it gives Softmax of old operator sets the meaning of later ones, and Resize
    other pixels.
    """
    for node in graph.sorted_nodes():
        reads = [name for name in node.input if name]
        if (
            node.op_type in _NEVER_FOLDED
            or node.domain not in ("", "ai.onnx")
            or not reads
            or subgraphs(node)
            or any(name not in graph.constants for name in reads)
            or any(name in graph.output_names for name in node.output)
        ):
            continue
        values = _evaluate(graph, node, reads)
        if values is None:
            continue
        for name, value in zip(node.output, values, strict=True):
            if value is not None:
                graph.constants[name] = onnx.numpy_helper.from_array(value, name)
        graph.remove(node)


def _evaluate(graph: Graph, node: onnx.NodeProto, reads: list[str]) -> list[NDArray | None] | None:
    try:
        results = run_part(graph, [node], {}, [name for name in node.output if name])
    except Exception:  # an operator or type that ONNX Runtime lacks: the node stays, nothing is lost
        return None
    if not all(map(is_array, results.values())):
        return None  # a sequence is no constant
    arrays = {name: np.asarray(value) for name, value in results.items()}
    input_bytes = sum(_bytes(graph.constants[name]) for name in dict.fromkeys(reads))
    grown = sum(value.nbytes for value in arrays.values()) - input_bytes
    return [arrays.get(name) for name in node.output] if grown <= _FOLDED_GROWTH else None


def _bytes(tensor: onnx.TensorProto) -> int:
    itemsize = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
    return int(np.prod(tensor.dims, dtype=np.int64)) * itemsize


def plain_products(graph: Graph) -> None:
    """Bring inner products into one form: MatMul of a matrix by constant weights becomes Gemm, alpha and beta 1."""
    types = graph.types()
    for node in graph.nodes:
        if node.op_type == "MatMul" and _is_matrix_product(graph, node, types):
            node.op_type = "Gemm"
            if graph.opset < 11:  # which know no Gemm without a bias
                weights = graph.array(node.input[1])
                assert weights is not None
                node.input.append(graph.add_constant(f"{node.name}_bias", np.zeros(weights.shape[1], weights.dtype)))
        elif node.op_type == "Gemm":
            _absorb_alpha_beta(graph, node)


def _is_matrix_product(graph: Graph, node: onnx.NodeProto, types: dict[str, ValueType]) -> bool:
    weights = graph.constants.get(node.input[1])
    factor = types.get(node.input[0])
    return weights is not None and len(weights.dims) == 2 and factor is not None and factor.rank == 2


def _absorb_alpha_beta(graph: Graph, node: onnx.NodeProto) -> None:
    for factor_name, index in (("alpha", 1), ("beta", 2)):
        factor = attribute(node, factor_name, 1.0)
        if factor == 1.0:
            continue
        if len(node.input) > index and node.input[index]:
            value = graph.array(node.input[index])
            if value is None:
                continue
            scaled = (value.astype(np.float64) * factor).astype(value.dtype)
            node.input[index] = graph.add_constant(f"{node.input[index]}_scaled", scaled)
        set_attribute(node, factor_name, None)
    graph.touched()


def absorb_affine(graph: Graph) -> None:
    """Fold BatchNormalization, and Mul, Add, Sub and Div by a constant per channel, into the layer before."""
    for node in graph.sorted_nodes():
        if node.op_type not in LINEAR or node.domain not in ("", "ai.onnx"):
            continue
        rank = _output_rank(graph, node)
        if rank is None:
            continue
        chain, step = _affine_chain(graph, node.output[0], rank)
        if chain and _absorb(graph, node, step):
            graph.remove(*chain)
            node.output[0] = chain[-1].output[0]
            graph.touched()


def _affine_chain(graph: Graph, source: str, rank: int) -> tuple[list[onnx.NodeProto], Affine]:
    """The affine steps that follow tensor `source`, each read by the next alone, and all of them as one step."""
    chain: list[onnx.NodeProto] = []
    total = Affine(np.ones(1), np.zeros(1))
    while (reader := graph.sole_reader(source)) is not None:
        step = affine_of(graph, reader, source, rank)
        if step is None or len({total.size, step.size} - {1}) > 1:
            break
        total = total.then(step)
        chain.append(reader)
        source = reader.output[0]
    return chain, total


def split_normalization(graph: Graph) -> None:
    """Turn what BatchNormalization is left (it follows no layer that could absorb it) into one Mul and one Add.

    Multiplied out in double precision: its variances and epsilon may be too small for half precision to hold.
    """
    types = graph.types()
    merged: set[int] = set()
    for node in [node for node in graph.sorted_nodes() if node.op_type == "BatchNormalization"]:
        if id(node) in merged:
            continue  # part of the one before it, and no longer in the graph
        source_type = types.get(node.input[0])
        if source_type is None or source_type.rank is None:
            continue
        first = affine_of(graph, node, node.input[0], source_type.rank)
        if first is None:
            continue
        following, further_step = _affine_chain(graph, node.output[0], source_type.rank)
        if further_step.size not in (1, first.size):
            following, further_step = [], Affine(np.ones(1), np.zeros(1))
        step, chain = first.then(further_step), [node, *following]
        merged.update(map(id, chain))
        shape = (1, -1, *([1] * (source_type.rank - 2)))
        scale = graph.add_constant(f"{node.name}_scale", step.scale.astype(np.float32).reshape(shape))
        shift = graph.add_constant(f"{node.name}_shift", step.shift.astype(np.float32).reshape(shape))
        scaled, source, result = graph.fresh(f"{node.name}_scaled"), node.input[0], chain[-1].output[0]
        graph.remove(*chain)
        graph.add_node("Mul", [source, scale], [scaled], f"{node.name}_mul")
        graph.add_node("Add", [scaled, shift], [result], f"{node.name}_add")


def _output_rank(graph: Graph, node: onnx.NodeProto) -> int | None:
    """Rank of a linear layer's output where its weights are constant (and so can be changed)."""
    weights = graph.constants.get(node.input[1]) if len(node.input) > 1 else None
    if weights is None or weights.data_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
        return None
    if node.op_type in ("Conv", "ConvTranspose"):
        return len(weights.dims)
    return 2 if node.op_type == "Gemm" and not attribute(node, "transA", 0) else None


def _absorb(graph: Graph, node: onnx.NodeProto, step: Affine) -> bool:
    """y = W x + b becomes scale * (W x + b) + shift. False where shapes or number range forbid it."""
    weights = graph.array(node.input[1])
    assert weights is not None
    channels = output_channels(node, weights)
    if step.size not in (1, channels):
        return False  # broadcasting against one channel makes a larger tensor
    bias = np.zeros(channels)
    if len(node.input) > 2 and node.input[2]:
        constant = graph.array(node.input[2])
        if constant is None or (constant.size != 1 and constant.size != constant.shape[-1]):
            return False  # a Gemm's bias that differs between rows is no bias per channel
        bias = np.broadcast_to(constant.astype(np.float64).reshape(-1), channels)
    step = step.per_channel(channels)
    with np.errstate(over="ignore", invalid="ignore"):
        new_weights = scale_output_channels(node, weights.astype(np.float64), step.scale).astype(weights.dtype)
        new_bias = (bias * step.scale + step.shift).astype(weights.dtype)
    if not (np.isfinite(new_weights).all() and np.isfinite(new_bias).all()):
        return False
    if not np.all(step.scale == 1.0):
        node.input[1] = graph.add_constant(f"{node.input[1]}_folded", new_weights)
    if len(node.input) > 2 or new_bias.any():
        name = graph.add_constant(f"{node.name}_bias_folded", new_bias)
        if len(node.input) > 2:
            node.input[2] = name
        else:
            node.input.append(name)
    graph.touched()
    return True


def output_channels(node: onnx.NodeProto, weights: NDArray) -> int:
    """How many output channels (columns, for an inner product) a linear layer has."""
    if node.op_type == "ConvTranspose":
        return int(weights.shape[1]) * int(attribute(node, "group", 1))
    if node.op_type == "Conv":
        return int(weights.shape[0])
    return int(weights.shape[channel_axis(node)])


def channel_axis(node: onnx.NodeProto) -> int:
    """The axis of a linear layer's weights along which output channels lie.

    Conv [out, in/group, …]: 0. ConvTranspose [in, out/group, …]: 1. Gemm: 1 as [in, out], 0 as [out, in] (transB).
    MatMul [in, out]: 1.
    """
    if node.op_type == "Conv":
        return 0
    return 0 if node.op_type == "Gemm" and attribute(node, "transB", 0) else 1


def scale_output_channels(node: onnx.NodeProto, weights: NDArray, scale: NDArray) -> NDArray:
    """`weights` with output channel c multiplied by scale[c]; ConvTranspose's channels run group by group."""
    if node.op_type == "ConvTranspose":
        groups = int(attribute(node, "group", 1))
        inputs, outputs, *kernel = weights.shape
        grouped = weights.reshape(groups, inputs // groups, outputs, *kernel)
        return (grouped * scale.reshape(groups, 1, outputs, *([1] * len(kernel)))).reshape(weights.shape)
    shape = [1] * weights.ndim
    shape[channel_axis(node)] = -1
    return weights * scale.reshape(shape)
