"""Decides where to quantize: which layers, which of their inputs, and which tensors may share a scale.

The rules are TensorRT's for explicit quantization (NVIDIA, "Working with Quantized Types"): a pair of QuantizeLinear
and DequantizeLinear on the input of each weighted layer, none on outputs; on the skip branch of a residual addition,
so that convolution, addition and ReLU become one INT8 kernel; one scale for tensors of nearly one range that meet in a
concatenation.
Before an average pooling too: without it the last block of a ResNet leaves its sum in FP32, as a kernel of its own. And
before a response normalization (LRN), which is computed in FP32: what it reads is then written in INT8.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

import onnx

from inferkit.errors import PrecisionError
from inferkit.precision.rewrite.fold import LINEAR
from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.nodes import attribute
from inferkit.precision.rewrite.value_types import ValueType

# Their outputs hold values of their inputs, so both have the same range.
SAME_RANGE = frozenset(
    {
        *("MaxPool", "GlobalMaxPool", "Concat", "Identity", "Dropout", "Reshape", "Flatten", "Squeeze", "Unsqueeze"),
        *("Transpose", "Split", "Slice", "Tile", "Expand", "DepthToSpace", "SpaceToDepth"),
    }
)


# TensorRT's FP8 convolutions read and write channels by 16 (as NVIDIA's ModelOpt has it, which leaves others out too,
# modelopt/onnx/quantization/fp8.py). And pixels lose most: of the 128 values from 128 to 255 E4M3 has 8.
FEWEST_CHANNELS = 16
# Each part has a range of its own, and its readers can have their own scale.
_PARTING = frozenset({"Split", "Slice"})
# Worth a quantized source between quantized layers, though they have no weights.
_BETWEEN = frozenset({"AveragePool", "GlobalAveragePool", "LRN"})
# What INT8 kernels of layers take along, or pass through.
_FUSED = SAME_RANGE | {"Relu", "Clip", "Add", "Sum"}


@dataclass(frozen=True)
class Choices:
    """The user's choices: layers to exclude by name or pattern (`conv5_*`); the first, the last; residual branches;
    what lies between quantized layers: averages and response normalizations; `images`: first layers that are
    convolutions of fewer than 16 channels."""

    exclude: Sequence[str] = field(default=())
    first_layer: bool = True
    last_layer: bool = True
    residual: bool = True
    between: bool = True
    images: bool = True


@dataclass(frozen=True)
class QuantizedLayer:
    """A layer to be quantized: its node, and the axis of its weights along which each channel has a scale."""

    node: onnx.NodeProto

    @property
    def source(self) -> str:
        return str(self.node.input[0])

    @property
    def weights(self) -> str:
        return str(self.node.input[1])


@dataclass(frozen=True)
class Placement:
    """`layers` to quantize; `reads`: (node, input index) that shall read the dequantized tensor; `groups`: tensor to
    the name of its group, whose tensors hold the same values and share a scale where their ranges are nearly the same.

    What lies between layers can do without: its reads are left out by `within` where a calibration lacks their ranges.
    """

    layers: tuple[QuantizedLayer, ...]
    reads: tuple[tuple[onnx.NodeProto, int], ...]
    groups: dict[str, str]

    @property
    def tensors(self) -> list[str]:
        """The tensors that get a Q/DQ pair, in the graph's order, each once."""
        return list(dict.fromkeys(node.input[index] for node, index in self.reads))

    def within(self, calibrated: Collection[str]) -> Placement:
        """Without what reads tensors that are not `calibrated`, between layers: caches of other tools may lack them."""
        needed = {node.input[index] for node, index in self.reads if node.op_type not in _BETWEEN}
        kept = needed | set(calibrated)
        return replace(self, reads=tuple((node, index) for node, index in self.reads if node.input[index] in kept))


def place(graph: Graph, choices: Choices = Choices()) -> Placement:
    """Decide what is quantized in a prepared graph. PrecisionError if a name excludes nothing or nothing is left."""
    nodes = graph.sorted_nodes()
    candidates = [node for node in nodes if _is_weighted(graph, node)]
    kept = _without_excluded(candidates, choices.exclude)
    if not choices.first_layer:
        kept = [node for node in kept if _has_relative(graph, node, candidates, upwards=True)]
    if not choices.last_layer:
        kept = [node for node in kept if _has_relative(graph, node, candidates, upwards=False)]
    if not choices.images:
        kept = [node for node in kept if not _convolves_image(graph, node, candidates)] or kept
    if not kept:
        reason = f"all {len(candidates)} are excluded" if candidates else "none has constant float32 weights"
        raise PrecisionError(f"no convolution or inner product to quantize: {reason}")
    types = graph.types()
    reads = [(node, 0) for node in kept]
    if choices.residual:
        reads += _residual_reads(graph, nodes, kept, types)
    if choices.between:
        quantized = {id(node) for node in kept}
        between = [n for n in nodes if n.op_type in _BETWEEN and n.domain in ("", "ai.onnx")]
        reads += [(n, 0) for n in between if _comes_from(graph, n, quantized) and _leads_to(graph, n, quantized)]
    return Placement(tuple(QuantizedLayer(node) for node in kept), tuple(reads), _groups(graph, nodes, types))


def _is_weighted(graph: Graph, node: onnx.NodeProto) -> bool:
    if node.op_type not in LINEAR or node.domain not in ("", "ai.onnx") or len(node.input) < 2:
        return False
    weights = graph.constants.get(node.input[1])
    if weights is None or weights.data_type != onnx.TensorProto.FLOAT or node.input[0] in graph.constants:
        return False
    return len(weights.dims) == 2 if node.op_type in ("Gemm", "MatMul") else len(weights.dims) >= 3


def _convolves_image(graph: Graph, node: onnx.NodeProto, candidates: list[onnx.NodeProto]) -> bool:
    """Whether it is a convolution of fewer channels than FP8 kernels take, with no weighted layer before it."""
    if node.op_type not in ("Conv", "ConvTranspose"):
        return False
    dims = graph.constants[node.input[1]].dims
    channels = dims[0] if node.op_type == "ConvTranspose" else dims[1] * int(attribute(node, "group", 1))
    return channels < FEWEST_CHANNELS and not _has_relative(graph, node, candidates, upwards=True)


def _without_excluded(candidates: list[onnx.NodeProto], exclude: Sequence[str]) -> list[onnx.NodeProto]:
    patterns = [exclude] if isinstance(exclude, str) else list(exclude)
    for pattern in patterns:
        if not any(fnmatchcase(node.name, pattern) for node in candidates):
            raise PrecisionError(
                f"exclude: no layer is named {pattern!r}; layers with weights: "
                f"{', '.join(node.name for node in candidates)}"
            )
    return [node for node in candidates if not any(fnmatchcase(node.name, pattern) for pattern in patterns)]


def _has_relative(graph: Graph, node: onnx.NodeProto, candidates: list[onnx.NodeProto], *, upwards: bool) -> bool:
    """Whether another weighted layer lies before (`upwards`) or after `node`."""
    wanted = {id(candidate) for candidate in candidates} - {id(node)}
    seen: set[int] = set()
    stack = [node]
    while stack:
        current = stack.pop()
        if id(current) in wanted:
            return True
        if upwards:
            neighbours: list[onnx.NodeProto | None] = [graph.producer(name) for name in current.input if name]
        else:
            neighbours = [reader for name in current.output if name for reader in graph.readers(name)]
        for neighbour in neighbours:
            if neighbour is not None and id(neighbour) not in seen:
                seen.add(id(neighbour))
                stack.append(neighbour)
    return False


def _residual_reads(
    graph: Graph, nodes: list[onnx.NodeProto], kept: list[onnx.NodeProto], types: dict[str, ValueType]
) -> list[tuple[onnx.NodeProto, int]]:
    """The skip branch of each addition whose other branch is a quantized layer that only the addition reads."""
    quantized = {id(node) for node in kept}
    depth = _depths(graph, nodes, quantized)
    reads = []
    for node in nodes:
        if node.op_type not in ("Add", "Sum") or len(node.input) != 2 or node.domain not in ("", "ai.onnx"):
            continue
        left, right = node.input
        shapes = [types[name].shape if name in types else None for name in (left, right)]
        if left == right or left in graph.constants or right in graph.constants or shapes[0] != shapes[1]:
            continue
        fusable = []
        for index, name in enumerate((left, right)):
            producer = graph.producer(name)
            if producer is not None and id(producer) in quantized and graph.sole_reader(name) is not None:
                fusable.append((depth[id(producer)], -index))
        if fusable:
            reads.append((node, 1 + max(fusable)[1]))  # the deeper layer is fused; its index i is -i here
    return reads


def _comes_from(graph: Graph, node: onnx.NodeProto, quantized: set[int]) -> bool:
    """Whether what `node` reads are the results of quantized layers, with nothing in between that needs FP32."""
    producer = graph.producer(node.input[0])
    if producer is None:
        return False
    return id(producer) in quantized or (producer.op_type in _FUSED and _comes_from(graph, producer, quantized))


def _leads_to(graph: Graph, node: onnx.NodeProto, quantized: set[int]) -> bool:
    """Whether a quantized layer reads what `node` computes: else the average is a result, which stays exact."""
    seen, stack = {id(node)}, [node]
    while stack:
        readers = [reader for name in stack.pop().output for reader in graph.readers(name)]
        if any(id(reader) in quantized for reader in readers):
            return True
        following = [reader for reader in readers if reader.op_type in _FUSED and id(reader) not in seen]
        seen.update(map(id, following))
        stack += following
    return False


def _depths(graph: Graph, nodes: list[onnx.NodeProto], quantized: set[int]) -> dict[int, int]:
    """How many quantized layers lie on the longest path from an input to each node, itself included."""
    depth: dict[int, int] = {}
    for node in nodes:
        producers = (graph.producer(name) for name in node.input if name)
        longest = max((depth[id(producer)] for producer in producers if producer is not None), default=0)
        depth[id(node)] = longest + (id(node) in quantized)
    return depth


def _groups(graph: Graph, nodes: list[onnx.NodeProto], types: dict[str, ValueType]) -> dict[str, str]:
    """Tensors joined by operators that only move values: each name to the name that stands for its group."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    def joined(name: str) -> bool:
        value = types.get(name)
        return bool(name) and name not in graph.constants and (value is None or value.element == onnx.TensorProto.FLOAT)

    for node in nodes:
        if node.op_type not in SAME_RANGE - _PARTING or node.domain not in ("", "ai.onnx"):
            continue
        sources = list(node.input) if node.op_type == "Concat" else node.input[:1]
        names = [name for name in (*sources, node.output[0]) if joined(name)]
        for name in names[1:]:
            parent[root(name)] = root(names[0])
    return {name: root(name) for name in parent}
