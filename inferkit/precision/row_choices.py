"""Finds rows that a half-precision network chooses by learned values (the best class, the k best boxes), to say so.

Such values are measures, not whole numbers, and every layer before them rounds: no rule keeps a choice exact whose
candidates lie closer than that. But the last rounding, that of the learned layer's own result, makes ties of values
that differ in their fourth digit, and the first of equal ones is chosen. It is avoided by keeping that layer in FP32,
which costs too much to be done unasked where it is a projection to a vocabulary.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator

import onnx
from onnx import TensorProto

from inferkit.errors import some
from inferkit.precision.counting import DECIDING, LEARNED, index_inputs
from inferkit.precision.halves import Half
from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.nodes import subgraphs


def row_choice_notes(graph: Graph, half: Half) -> tuple[str, ...]:
    """A note on the choices of a rewritten graph that hang on learned half values, with what to keep; none without."""
    choices: dict[str, None] = {}
    kept: dict[str, None] = {}
    types = graph.types()
    floats = {name for name, value in types.items() if value.element in (TensorProto.FLOAT, half.element)}
    for node in _deciding(graph, floats):
        layers = _learned_in_half(graph, node, floats, {n for n in floats if types[n].element == half.element})
        if layers:
            choices[f"{node.name} ({node.op_type})"] = None
            kept |= dict.fromkeys(layers)
    if not choices:
        return ()
    patterns = [glob.escape(name) for name in kept]
    flags = " ".join(f"--keep {pattern}" for pattern in patterns)
    chosen = f"{some(list(choices))} {'chooses' if len(choices) == 1 else 'choose'} rows by learned values"
    return (
        f"{chosen} in {half.name}: of values that are equal after rounding the first counts; to choose by fp32 values: "
        f"keep={patterns!r} ({flags})",
    )


def _deciding(graph: Graph, floats: set[str]) -> Iterator[onnx.NodeProto]:
    """The nodes that make integers or truth values of floats, of which indexes are made; each once."""
    stack = [name for node in graph.nodes for name in index_inputs(node) if name not in floats]
    seen: set[str] = set()
    deciding: set[int] = set()
    while stack:
        name = stack.pop()
        producer = graph.producer(name)
        if name in seen or producer is None:
            continue
        seen.add(name)
        if producer.op_type in DECIDING and any(each in floats for each in producer.input):
            if id(producer) not in deciding:
                deciding.add(id(producer))
                yield producer
        elif producer.op_type not in ("Shape", "Size"):
            stack += [each for each in producer.input if each and each not in floats]


def _learned_in_half(graph: Graph, node: onnx.NodeProto, floats: set[str], halves: set[str]) -> list[str]:
    """A node that decides, the learned layers by whose results it does, what is between; none where none is half."""
    layers = {node.name: None}
    is_learned = is_half = False
    stack, seen = [name for name in node.input if name in floats], set[str]()
    while stack:
        name = stack.pop()
        producer = graph.producer(name)
        if name in seen or producer is None or subgraphs(producer):
            continue
        seen.add(name)
        is_half |= name in halves
        if producer.op_type != "Cast":
            layers[producer.name] = None
        if producer.op_type in LEARNED:
            is_learned = True
        else:
            stack += [each for each in producer.input if each in floats and each not in graph.constants]
    return list(layers) if is_learned and is_half else []
