"""The share of a network's work that a precision reaches: a body of an If, Loop or Scan stays in FP32, for one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferkit.errors import some
from inferkit.precision.work.operations import bodies_of, is_counted, operations_of, precision_of
from inferkit.precision.work.scope import Scope, scope_of

if TYPE_CHECKING:
    import onnx

    from inferkit.network.network import Network

# Below this share of the work a precision says what it leaves out: less is lost in what is measured.
_WHOLE = 0.99
_REDUCED = ("fp16", "bf16", "int8", "fp8")
_MOVING = frozenset({"Cast", "QuantizeLinear", "DequantizeLinear", "Constant", "Identity", "Shape", "Reshape"})


@dataclass(frozen=True)
class Coverage:
    """`share` of the work at the network's precision, 0 to 1; `left` names the layers that are not, the largest first.

    The work is operations, or layers where shapes are not known. `changed`: whether anything is at the precision.
    """

    precision: str
    share: float
    left: tuple[str, ...]
    unit: str = "operations"
    changed: bool = True

    @property
    def sentence(self) -> str:
        """What a user should know; empty where the precision reaches all that matters."""
        if self.changed and self.share >= _WHOLE:
            return ""
        shown = some(self.left)
        if not self.changed:
            return f"{self.precision} changed nothing: {shown or 'every layer'} stayed as it was"
        return f"{self.precision} reaches {self.share:.0%} of the {self.unit}; not {shown}"


def coverage_of(network: Network) -> Coverage | None:
    """How much of a rewritten network is at its precision; None for fp32 and tf32, which leave the graph as it is."""
    if network.precision not in _REDUCED:
        return None
    scope = scope_of(network)
    works, unit = _sized(scope)
    left: dict[str, int] = {}
    total = 0
    for node, size, inside in works:
        total += size
        if precision_of(node, inside) != network.precision:
            where = "" if inside is scope else ", inside a body"
            name = f"{node.name or node.output[0]} ({node.op_type}{where})"
            left[name] = left.get(name, 0) + size
    share = 1 - sum(left.values()) / total if total else 1.0
    changed = share > 0 and total > 0
    changed = changed or any(precision_of(node, scope) == network.precision for node in _computing(scope))
    return Coverage(network.precision, share, tuple(sorted(left, key=lambda name: -left[name])), unit, changed)


def asked_work(network: Network) -> dict[str, int]:
    """The work of each layer that the graph asks to be computed at the network's precision, by the layer's name.

    Layers that were excluded, and that the precision leaves, are not asked for. Units as in `Coverage`; of fp32 and
    tf32, which leave the graph as it is, the layers that are fed float32.
    """
    wanted = network.precision if network.precision in _REDUCED else "fp32"
    asked: dict[str, int] = {}
    for node, size, scope in _sized(scope_of(network))[0]:
        if precision_of(node, scope) == wanted:
            name = node.name or node.output[0]
            asked[name] = asked.get(name, 0) + size
    return asked


def _sized(scope: Scope) -> tuple[list[tuple[onnx.NodeProto, int, Scope]], str]:
    """The counted nodes with their work and the scope of each, and its unit: layers where a shape is not known."""
    works = list(_works(scope, 1))
    unit = "layers" if any(operations is None for _, operations, _ in works) else "operations"
    return [
        (node, 1 if operations is None or unit == "layers" else operations, inside)
        for node, operations, inside in works
    ], unit


def _works(scope: Scope, times: int) -> Iterator[tuple[onnx.NodeProto, int | None, Scope]]:
    """The counted nodes of a graph and its bodies, with their operations over all runs, and the scope each is in."""
    for node in scope.nodes:
        if is_counted(node):
            operations = operations_of(node, scope)
            yield node, None if operations is None else operations * times, scope
            continue
        for body, trips in bodies_of(node, scope):
            yield from _works(body, times * (1 if trips is None else trips))


def _computing(scope: Scope) -> list[onnx.NodeProto]:
    """The nodes that do more than to move and to convert values."""
    return [node for node in scope.nodes if node.op_type not in _MOVING]
