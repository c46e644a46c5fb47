"""INT8 graphs for ONNX Runtime's integer kernels on x86: Q/DQ pairs become operators on codes, with equal results.

A graph quantized as TensorRT wants it (symmetric INT8, pairs on the inputs of layers only) is slower than FP32 in ONNX
Runtime: it fuses DQ-Conv-Q, but a ReLU between Conv and Q stops it, for a symmetric code does not clip at zero.
Rounding is monotone, so Q commutes with ReLU, clipping, max pooling and with all that only moves values; moved up
through these to the layer, it meets it:

    DQ, Conv, Relu, MaxPool, Q   becomes   QLinearConv, Clip, MaxPool   on codes

Codes are unsigned here, zero point 128 for a signed 0: the fast instructions multiply unsigned by signed. The results
are the graph's own up to the rounding of biases (to 1/(input scale · weight scale)) and of ties. A layer whose output
is also read unquantized (before a residual addition, by average pooling) stays in floating point.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.nodes import attribute

_MOVES = (
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Identity",
    "Slice",
    "DepthToSpace",
    "SpaceToDepth",
)
_DEFAULT = ("", "ai.onnx")
_MICROSOFT = "com.microsoft"
# The type of codes by QuantizeLinear's output_dtype, which decides where there is no zero point (0: not given).
_CODE_TYPES = {0: np.uint8, TensorProto.UINT8: np.uint8, TensorProto.INT8: np.int8}
_LIMIT = np.iinfo(np.int32)


@dataclass(frozen=True)
class Code:
    """How a tensor is coded: real = (code - zero) * scale, code in 0…255. float32 scale as a Python number."""

    scale: float
    zero: int


@dataclass(frozen=True)
class Lowered:
    """The rewritten model, and how many of its weighted layers compute on codes and in floating point."""

    model: onnx.ModelProto
    integer_layers: int
    float_layers: int


def worth_lowering(model: onnx.ModelProto) -> bool:
    """Whether there is something quantized to INT8, on a machine whose kernels this form is for."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    return any(node.op_type == "QuantizeLinear" for node in model.graph.node)


def lower(model: onnx.ModelProto) -> Lowered:
    """Rewrite what can be; a graph without anything to rewrite comes back as it is. `model` is not changed."""
    lowering = _Lowering(Graph(model))
    return lowering.run(model)


@dataclass(frozen=True, eq=False)
class _Layer:
    """A Conv or Gemm on codes: its input's quantized tensor and code, its weights' codes, scales [channels], bias."""

    node: onnx.NodeProto
    source: str
    code: Code
    weights: str
    scales: NDArray[np.float32]
    bias: NDArray[np.float32] | None


class _Lowering:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.outputs = set(graph.output_names)
        self.quantizers = {node.output[0]: code for node in graph.nodes if (code := self._code_of(node)) is not None}
        layers = [layer for node in graph.nodes if (layer := self._layer(node)) is not None]
        self.layers = {layer.node.output[0]: layer for layer in layers}
        self._demands: dict[str, frozenset[Code | None]] = {}
        self._reaching: dict[str, bool] = {}
        self._codes: dict[tuple[str, Code], str] = {}
        self._floats: dict[str, str] = {}
        self._constants: dict[tuple[float, int], tuple[str, str]] = {}

    def run(self, model: onnx.ModelProto) -> Lowered:
        graph = self.graph
        order = graph.sorted_nodes()
        weighted = sum(node.op_type in ("Conv", "Gemm", "MatMul", "ConvTranspose") for node in order)
        chosen = {name for name in self.layers if self._is_integer(name)}
        if not chosen:
            return Lowered(model, 0, weighted)
        self.layers = {name: layer for name, layer in self.layers.items() if name in chosen}
        for node in order:
            if node.output[0] in self.quantizers:
                self._replace_pair(node)
            elif node.output[0] in self.layers and self._demand(node.output[0]) == {None}:
                self._emit(self.layers[node.output[0]], None, node.output[0])
        graph.prune()
        lowered = graph.model()
        if not any(entry.domain == _MICROSOFT for entry in lowered.opset_import):
            lowered.opset_import.append(helper.make_opsetid(_MICROSOFT, 1))
        return Lowered(lowered, len(chosen), weighted - len(chosen))

    # What the graph says

    def _code_of(self, node: onnx.NodeProto) -> Code | None:
        """The code of a QuantizeLinear with one constant scale and 8-bit zero point; its DequantizeLinears share it."""
        if node.op_type != "QuantizeLinear" or node.domain not in _DEFAULT:
            return None
        element = _CODE_TYPES.get(attribute(node, "output_dtype", 0))
        if element is None:
            return None
        scale, zero = self._scale_and_zero(node, np.zeros((), element))
        if scale is None or scale.size != 1 or scale.dtype != np.float32:
            return None
        if zero is None or zero.size != 1 or zero.dtype not in (np.int8, np.uint8):
            return None
        for reader in self.graph.readers(node.output[0]):
            if reader.op_type == "DequantizeLinear":
                other_scale, other_zero = self._scale_and_zero(reader, np.zeros_like(zero))
                if not (_is_same(scale, other_scale) and _is_same(zero, other_zero)):
                    return None
        return Code(float(scale.reshape(())), int(zero.reshape(())) + (128 if zero.dtype == np.int8 else 0))

    def _scale_and_zero(self, node: onnx.NodeProto, unstated: NDArray) -> tuple[NDArray | None, NDArray | None]:
        """The constants of a Q or DQ, None for what is computed; `unstated` is the zero point of one that has none."""
        stated = len(node.input) > 2 and node.input[2]
        return self.graph.array(node.input[1]), self.graph.array(node.input[2]) if stated else unstated

    def _layer(self, node: onnx.NodeProto) -> _Layer | None:
        """The node as a layer on codes; None where its kind, its input or its weights do not allow it."""
        if node.domain not in _DEFAULT or node.op_type not in ("Conv", "Gemm"):
            return None
        pair, weights = (self.graph.producer(name) for name in node.input[:2])
        if pair is None or weights is None or {pair.op_type, weights.op_type} != {"DequantizeLinear"}:
            return None
        code = self.quantizers.get(pair.input[0])
        codes, scales = self.graph.array(weights.input[0]), self.graph.array(weights.input[1])
        if code is None or codes is None or scales is None or codes.dtype != np.int8 or scales.dtype != np.float32:
            return None
        zeros = self.graph.array(weights.input[2]) if len(weights.input) > 2 and weights.input[2] else np.zeros(1)
        channels = self._channels(node, codes)
        if zeros is None or zeros.any() or channels is None or scales.size not in (1, channels):
            return None
        axis = int(attribute(weights, "axis", 1)) % codes.ndim
        if scales.size > 1 and codes.shape[axis] != channels:
            return None
        bias = None
        if len(node.input) > 2 and node.input[2]:
            bias = self.graph.array(node.input[2])
            if bias is None or bias.dtype != np.float32 or bias.size != channels or bias.shape[-1:] != (channels,):
                return None  # a Gemm's [M, 1] differs between images, not channels
        everywhere = np.broadcast_to(scales.reshape(-1), channels).astype(np.float32)
        source = self.graph.producer(pair.input[0])
        assert source is not None
        return _Layer(node, source.input[0], code, weights.input[0], everywhere, bias)

    @staticmethod
    def _channels(node: onnx.NodeProto, codes: NDArray[np.int8]) -> int | None:
        """How many output channels a layer has, along the axis of its weights that kernels want scales for."""
        if node.op_type == "Conv":
            return codes.shape[0] if codes.ndim == 4 else None
        plain = attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1.0 and not attribute(
            node, "transA", 0
        )
        if codes.ndim != 2 or not plain:
            return None
        return codes.shape[0 if attribute(node, "transB", 0) else 1]

    def _is_integer(self, name: str) -> bool:
        """Whether a layer's output is wanted in one code only; a Gemm kernel also writes floats from codes."""
        demand = self._demand(name)
        if self.layers[name].node.op_type == "Gemm" and demand == {None}:
            return True
        return len(demand) == 1 and None not in demand

    def _demand(self, name: str) -> frozenset[Code | None]:
        """The codes that readers of a tensor want it in, with None for those that want it in floating point."""
        if name not in self._demands:
            wanted: set[Code | None] = {None} if name in self.outputs else set()
            for reader in self.graph.readers(name):
                if reader.output[0] in self.quantizers and reader.input[0] == name:
                    wanted.add(self.quantizers[reader.output[0]])
                elif self._commutes(reader) and name in _moved(reader):
                    wanted |= self._demand(reader.output[0])
                else:
                    wanted.add(None)
            self._demands[name] = frozenset(wanted)
        return self._demands[name]

    def _commutes(self, node: onnx.NodeProto) -> bool:
        """Whether quantizing what a node returns equals the node on quantized values."""
        if node.domain not in _DEFAULT:
            return False
        if node.op_type == "MaxPool":
            return len([name for name in node.output if name]) == 1
        if node.op_type == "Clip":
            return all(self.graph.array(name) is not None for name in node.input[1:] if name)
        return node.op_type in ("Relu", "Concat", *_MOVES)

    def _reaches_layer(self, name: str) -> bool:
        """Whether the way up from a tensor, through what commutes with quantizing, ends at a layer on codes.

        Where it does not, the tensor is quantized as late as its readers allow: pooling floats is faster than codes.
        """
        if name not in self._reaching:
            node = self.graph.producer(name)
            self._reaching[name] = name in self.layers or (
                node is not None
                and self._commutes(node)
                and any(
                    self._demand(source) == self._demand(name) and self._reaches_layer(source)
                    for source in _moved(node)
                )
            )
        return self._reaching[name]

    # What is written instead

    def _replace_pair(self, quantizer: onnx.NodeProto) -> None:
        """Give those who read a quantized tensor its codes; whoever is no layer on codes gets them dequantized."""
        graph, code = self.graph, self.quantizers[quantizer.output[0]]
        codes = self._quantized(quantizer.input[0], code)
        for reader in graph.readers(quantizer.output[0]):
            if reader.op_type != "DequantizeLinear" or reader.output[0] in self.outputs:
                return  # someone wants the graph's own codes, or the pair's very name
        for pair in list(graph.readers(quantizer.output[0])):
            others = [node for node in graph.readers(pair.output[0]) if node.output[0] not in self.layers]
            if others:
                graph.redirect(pair.output[0], self._dequantized(codes, code), others)

    def _quantized(self, name: str, code: Code) -> str:
        """The tensor of codes for the float tensor `name`, computed on codes as far up as that goes."""
        if (name, code) not in self._codes:
            self._codes[name, code] = self._make_codes(name, code)
        return self._codes[name, code]

    def _make_codes(self, name: str, code: Code) -> str:
        graph, node = self.graph, self.graph.producer(name)
        result = graph.fresh(f"{name}_codes")
        scale, zero = self._code_constants(code)
        if node is None or self._demand(name) != {code} or not self._reaches_layer(name):
            graph.add_node("QuantizeLinear", [name, scale, zero], [result], result)
        elif name in self.layers:
            self._emit(self.layers[name], code, result)
        elif node.op_type == "Relu":
            source = self._quantized(node.input[0], code)
            graph.add_node("Clip", [source, zero], [result], result)
        elif self._commutes(node):
            moved = [self._quantized(source, code) for source in _moved(node)]
            rest = [self._clip_bound(bound, code) for bound in node.input[1:]] if node.op_type == "Clip" else []
            if node.op_type not in ("Clip", "Concat"):
                rest = list(node.input[1:])
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.ClearField("input")
            copy.input.extend([*moved, *rest])
            copy.output[0] = copy.name = result
            graph.nodes.append(copy)
            graph.touched()
        else:
            graph.add_node("QuantizeLinear", [name, scale, zero], [result], result)
        return result

    def _clip_bound(self, name: str, code: Code) -> str:
        bound = self.graph.array(name) if name else None
        if bound is None:
            return ""
        with np.errstate(over="ignore"):
            value = np.rint(bound.reshape(()).astype(np.float32) / np.float32(code.scale)) + code.zero
        return self.graph.add_constant(f"{name}_code", np.array(np.clip(value, 0, 255), np.uint8))

    def _dequantized(self, codes: str, code: Code) -> str:
        if codes not in self._floats:
            result = self._floats[codes] = self.graph.fresh(f"{codes}_real")
            self.graph.add_node("DequantizeLinear", [codes, *self._code_constants(code)], [result], result)
        return self._floats[codes]

    def _emit(self, layer: _Layer, output: Code | None, result: str) -> None:
        """Write a layer on codes; `output` None (Gemm only) lets it return floats."""
        graph, node = self.graph, layer.node
        source = self._quantized(layer.source, layer.code)
        scale, zero = self._code_constants(layer.code)
        scales = graph.add_constant(f"{node.name}_scales", layer.scales)
        zeros = graph.add_constant(f"{node.name}_zeros", np.zeros(len(layer.scales), np.int8))
        inputs = [source, scale, zero, layer.weights, scales, zeros]
        target = list(self._code_constants(output)) if output is not None else []
        bias = [graph.add_constant(f"{node.name}_bias", self._integer_bias(layer))] if layer.bias is not None else []
        if output is None:
            graph.remove(node)
        if node.op_type == "Conv":
            made = helper.make_node("QLinearConv", [*inputs, *target, *bias], [result], name=result)
            made.attribute.extend(node.attribute)
        else:
            both = [*inputs, *(bias or [""]), *target] if bias or target else inputs
            made = helper.make_node("QGemm", both, [result], name=result, domain=_MICROSOFT)
            made.attribute.extend(entry for entry in node.attribute if entry.name == "transB")
        graph.nodes.append(made)
        graph.touched()

    @staticmethod
    def _integer_bias(layer: _Layer) -> NDArray[np.int32]:
        assert layer.bias is not None
        steps = layer.bias.reshape(-1).astype(np.float64) / (layer.code.scale * layer.scales.astype(np.float64))
        return np.clip(np.rint(steps), _LIMIT.min, _LIMIT.max).astype(np.int32)

    def _code_constants(self, code: Code) -> tuple[str, str]:
        key = (code.scale, code.zero)
        if key not in self._constants:
            scale = self.graph.add_constant("code_scale", np.array(code.scale, np.float32))
            self._constants[key] = (scale, self.graph.add_constant("code_zero", np.array(code.zero, np.uint8)))
        return self._constants[key]


def _is_same(one: NDArray, other: NDArray | None) -> bool:
    """Whether two constants are one scalar, as [] or as [1], of one type."""
    return other is not None and one.dtype == other.dtype and np.array_equal(one.reshape(-1), other.reshape(-1))


def _moved(node: onnx.NodeProto) -> list[str]:
    """The inputs of a node that its output's values come from."""
    return list(node.input) if node.op_type == "Concat" else [node.input[0]]
