"""Rewrites a graph to FP16 or BF16: weights and tensors become half, with casts at the borders of FP32.

The graph says every type itself (TensorRT calls that strongly typed), so that any backend computes the same: FP32 at
the inputs and outputs, FP32 islands where half precision would overflow, half everywhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import onnx
from onnx import TensorProto

from inferkit.errors import PrecisionError, UsageError
from inferkit.precision.halves import Half, Loss
from inferkit.precision.islands import SATURATING, Islands, find_islands, is_float, slots
from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.nodes import captured, rename_reads

_SHAPE_ONLY = frozenset({"Shape", "Size"})  # read no values: whatever type a tensor has will do


@dataclass(frozen=True)
class CastOptions:
    """Options of fp16 and bf16.

    `keep`: layers that stay FP32, by name or pattern. `overflow`: what happens to a layer whose weights half precision
    cannot hold: "fp32" keeps it in FP32 and says so in the network's notes, "error" raises PrecisionError.
    `half_inputs`, `half_outputs`: whether the network's inputs and outputs themselves are half (default: float32, cast
    at the edge).
    """

    keep: Sequence[str] = ()
    overflow: str = "fp32"
    half_inputs: bool = False
    half_outputs: bool = False

    def __post_init__(self) -> None:
        if self.overflow not in ("fp32", "error"):
            raise UsageError(f"overflow must be 'fp32' or 'error', not {self.overflow!r}")


def to_half(graph: Graph, half: Half, options: CastOptions) -> tuple[Loss, ...]:
    """Rewrite a prepared graph in place; returns the constants for whose sake a layer stays FP32.

    PrecisionError for layers that do not fit half precision where `options` say so, for a name in `keep` that no layer
    has, and for tensors of unknown type.
    """
    patterns = [options.keep] if isinstance(options.keep, str) else list(options.keep)
    for pattern in patterns:
        if not any(fnmatchcase(node.name, pattern) for node in graph.nodes):
            raise PrecisionError(f"keep: no layer is named {pattern!r}")
    types = graph.types()
    islands = find_islands(graph, types, half, lambda node: any(fnmatchcase(node.name, p) for p in patterns))
    if islands.losses and options.overflow == "error":
        raise PrecisionError(
            f"{half.name} cannot hold the weights of this network: {'; '.join(map(str, islands.losses))}; "
            f"overflow='fp32' keeps these layers in FP32"
        )
    _Rewrite(graph, half, options, islands).run()
    return islands.losses


class _Rewrite:
    """One rewrite: the native type of each float tensor is decided, then casts are put where a reader wants another."""

    def __init__(self, graph: Graph, half: Half, options: CastOptions, islands: Islands) -> None:
        self.graph, self.half, self.options, self.islands = graph, half, options, islands
        self.types = graph.types()
        self.native: dict[str, int] = {}  # float tensors that are not constants: FLOAT or the half type
        self.converted: dict[tuple[str, int], str] = {}
        self.constants: dict[tuple[str, bool], str] = {}

    def run(self) -> None:
        nodes = list(self.graph.nodes)
        plans = {
            id(node): None if id(node) in self.islands.nodes else slots(self.graph, self.types, node, self.half)
            for node in nodes
        }
        self._inputs()
        for node in nodes:
            plan = plans[id(node)]
            for index, name in enumerate(node.output):
                if is_float(self.types, name):
                    self.native[name] = self.half.element if plan and plan.outputs[index] else TensorProto.FLOAT
        self._outputs(nodes)
        for node in nodes:
            plan = plans[id(node)]
            for index, name in enumerate(node.input):
                if is_float(self.types, name) and node.op_type not in _SHAPE_ONLY:
                    wanted = self.half.element if plan and plan.inputs[index] else TensorProto.FLOAT
                    node.input[index] = self._as(name, wanted, node)
            for name in captured(node):
                if is_float(self.types, name):
                    rename_reads(node, name, self._as(name, TensorProto.FLOAT, node))
        self.graph.touched()

    def _inputs(self) -> None:
        for value in self.graph.inputs:
            if is_float(self.types, value.name):
                if self.options.half_inputs:
                    value.type.tensor_type.elem_type = self.half.element
                self.native[value.name] = value.type.tensor_type.elem_type

    def _outputs(self, nodes: list[onnx.NodeProto]) -> None:
        """An output keeps its name and gets its type: what computes it is renamed where a cast has to follow."""
        for value in self.graph.outputs:
            name = value.name
            if not is_float(self.types, name):
                continue
            wanted = self.half.element if self.options.half_outputs else TensorProto.FLOAT
            value.type.tensor_type.elem_type = wanted
            producer = self.graph.producer(name)
            if producer is None or self.native[name] == wanted:
                value.type.tensor_type.elem_type = self.native.get(name, TensorProto.FLOAT)
                continue
            inner = self.graph.fresh(f"{name}_inner")
            self.types[inner] = self.types[name]
            self.native[inner] = self.native.pop(name)
            for index, output in enumerate(producer.output):
                if output == name:
                    producer.output[index] = inner
            for node in nodes:
                rename_reads(node, name, inner)
            self.graph.add_node("Cast", [inner], [name], f"{name}_cast", to=wanted)
            self.converted[inner, wanted] = name

    def _as(self, name: str, wanted: int, reader: onnx.NodeProto) -> str:
        """The name under which `name` can be read as the type `wanted`."""
        if name in self.graph.constants:
            return name if wanted == TensorProto.FLOAT else self._constant(name, reader)
        if self.native[name] == wanted:
            return name
        if (name, wanted) not in self.converted:
            suffix = "fp32" if wanted == TensorProto.FLOAT else self.half.name
            result = self.graph.fresh(f"{name}_{suffix}")
            self.graph.add_node("Cast", [name], [result], result, to=wanted)
            self.converted[name, wanted] = result
        return self.converted[name, wanted]

    def _constant(self, name: str, reader: onnx.NodeProto) -> str:
        saturated = reader.op_type in SATURATING
        if (name, saturated) not in self.constants:
            values = self.graph.array(name)
            assert values is not None
            if saturated:
                values = np.clip(values, -self.half.largest, self.half.largest)
            self.constants[name, saturated] = self.graph.add_tensor(
                f"{name}_{self.half.name}", self.half.tensor(values)
            )
        return self.constants[name, saturated]
