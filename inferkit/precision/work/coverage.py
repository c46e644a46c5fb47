"""The share of a network's work that a precision reaches: a body of an If, Loop or Scan stays in FP32, for one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

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

    The work are operations, layers where their shapes are not known. Where nothing multiplies, `share` is 0 or 1: whether
    the precision changed anything.
    """

    precision: str
    share: float
    left: tuple[str, ...]
    unit: str = "operations"

    @property
    def sentence(self) -> str:
        """What a user should know; empty where the precision reaches all that matters."""
        if self.share >= _WHOLE:
            return ""
        shown = ", ".join(self.left[:3]) + (f" and {len(self.left) - 3} more" if len(self.left) > 3 else "")
        if self.share == 0:
            return f"{self.precision} changed nothing: all {self.unit} stay as they were ({shown})"
        return f"{self.precision} reaches {self.share:.0%} of the {self.unit}; not {shown}"


def coverage_of(network: Network) -> Coverage | None:
    """How much of a rewritten network is at its precision; None for fp32 and tf32, which leave the graph as it is."""
    if network.precision not in _REDUCED:
        return None
    scope = scope_of(network)
    works = list(_works(scope, 1))
    unit = "operations"
    if not works or any(operations is None for _, operations, _ in works):
        unit = "layers"
        works = works or [(node, 1, scope) for node in scope.nodes if _computes(node, scope)]
    sizes = [(node, (operations or 0) if unit == "operations" else 1, inside) for node, operations, inside in works]
    if not any(is_counted(node) for node, _, _ in sizes):  # layers differ too much in cost for a share of them
        sizes = [each for each in sizes if precision_of(each[0], each[2]) == network.precision][:1] or sizes
    total = sum(size for _, size, _ in sizes)
    if not total:
        return None
    left: dict[str, int] = {}
    for node, size, inside in sizes:
        if precision_of(node, inside) != network.precision:
            where = "" if inside is scope else ", inside a body"
            name = f"{node.name or node.output[0]} ({node.op_type}{where})"
            left[name] = left.get(name, 0) + size
    names = sorted(left, key=lambda name: -left[name])
    return Coverage(network.precision, 1 - sum(left.values()) / total, tuple(names), unit)


def _works(scope: Scope, times: int) -> Iterator[tuple[onnx.NodeProto, int | None, Scope]]:
    """The counted nodes of a graph and its bodies, with their operations over all runs, and the scope each is in."""
    for node in scope.nodes:
        if is_counted(node):
            operations = operations_of(node, scope)
            yield node, None if operations is None else operations * times, scope
            continue
        for body, trips in bodies_of(node, scope):
            yield from _works(body, times * (1 if trips is None else trips))


def _computes(node: onnx.NodeProto, scope: Scope) -> bool:
    """Whether a node computes with floating point."""
    return node.op_type not in _MOVING and any(scope.element(name) in (1, 10, 16) for name in node.input if name)
