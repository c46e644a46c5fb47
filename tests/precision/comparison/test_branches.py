"""Every branch of an If is compared, be it taken or not, at any depth, where it runs with the values at hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import numpy_helper, parser

import inferkit
from inferkit.errors import PrecisionError
from inferkit.network.network import Network
from inferkit.precision import opset
from inferkit.precision.comparison.branches import forced, ways
from inferkit.precision.comparison.check import require_same
from inferkit.precision.rewrite.graph import Graph

RANDOM = np.random.default_rng(5)
KERNEL = (RANDOM.standard_normal((4, 2, 3, 3)) / 4).astype(np.float32)
FEEDS = {"x": RANDOM.standard_normal((2, 2, 10, 10)).astype(np.float32)}
# Conv is learned, and the condition holds for every image: its square is above zero.
HEAD = """<ir_version: 8, opset_import: ["" : {}]>
g (float[N, 2, 10, 10] x) => (float[N, C, H, W] y)
<float zero = {{0.0}}, float[4] s = {{1.0, 1.0, 0.6, 1.7}}, float two = {{2.0}}>
{{ a = Conv<pads = [1, 1, 1, 1]>(x, kernel)
   square = Mul(a, a) mean = ReduceMean<keepdims = 0>(square) {} = Greater(mean, zero) no = Not({})
   y = {} }}"""
RESIZED = 'Resize<mode = "nearest">(a, s)'
# Where Resize stands, beside what takes its place in the other branches.
PLACES = {
    "else": "If (yes) <then_branch = t () => (float[N, 4, H, W] p) { p = Relu(a) }, "
    f"else_branch = e () => (float[N, 4, I, J] q) {{ q = {RESIZED} }}>",
    "then": f"If (no) <then_branch = t () => (float[N, 4, H, W] p) {{ p = {RESIZED} }}, "
    "else_branch = e () => (float[N, 4, I, J] q) { q = Relu(a) }>",
    "else of then": "If (yes) <then_branch = t () => (float[N, 4, H, W] p) { p = If (yes) <"
    "then_branch = tt () => (float[N, 4, K, L] u) { u = Relu(a) }, "
    f"else_branch = te () => (float[N, 4, M, O] v) {{ v = {RESIZED} }}> }}, "
    "else_branch = e () => (float[N, 4, I, J] q) { q = Neg(a) }>",
}


def network(of: str, version: int = 10) -> Network:
    model = parser.parse_model(HEAD.format(version, "yes", "yes", of))
    model.graph.initializer.append(numpy_helper.from_array(KERNEL, "kernel"))
    return Network.from_model(model, "branches")


@pytest.mark.parametrize("place", PLACES)
def test_a_branch_that_is_not_taken_is_refused_where_its_operator_set_changes_it(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = network(PLACES[place])
    inferkit.at_precision(of, "bf16")
    monkeypatch.setattr(opset, "_restore_coordinates", lambda graph: None)
    with pytest.raises(PrecisionError, match=r"conversion from operator set 10 .* in `(then|else)_branch`"):
        inferkit.at_precision(of, "bf16")


def test_a_branch_that_is_not_taken_is_refused_where_half_precision_changes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from inferkit.precision import apply

    of = network(
        "If (yes) <then_branch = t () => (float[N, 4, H, W] p) { p = Relu(a) }, "
        "else_branch = e () => (float[N, 4, I, J] q) { q = Mul(a, two) }>",
        17,
    )

    def swapped(graph: Graph, *arguments: object) -> object:
        losses = original(graph, *arguments)
        node = next(node for node in graph.nodes if node.op_type == "If")
        for entry in node.attribute:
            if entry.name == "else_branch":
                entry.g.node[-1].input[1] = entry.g.node[-1].input[0]  # a square instead of twice
        return losses

    original: Callable[..., object] = apply.to_half
    inferkit.at_precision(of, "fp16")
    monkeypatch.setattr(apply, "to_half", swapped)
    with pytest.raises(PrecisionError, match="in `else_branch`"):
        inferkit.at_precision(of, "fp16")


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8", "fp8"])
def test_a_branch_that_does_not_run_with_these_values_is_no_fault(precision: str) -> None:
    """As exporters write it: the branch that squeezes an axis is there for inputs whose axis is 1 long."""
    of = network(
        "If (no) <then_branch = t () => (float[N, 4, H] p) { axes = Constant<value_ints = [2]>() "
        "p = Squeeze(a, axes) }, else_branch = e () => (float[N, 4, I, J] q) { q = Identity(a) }>",
        17,
    )
    calibration = FEEDS["x"] if precision in ("int8", "fp8") else None
    notes = inferkit.at_precision(of, precision, calibration).notes
    assert [note for note in notes if "compared" in note] == []


def test_every_way_through_branches_in_branches_is_taken() -> None:
    [node] = [node for node in network(PLACES["else of then"]).model.graph.node if node.op_type == "If"]
    assert [tuple(map(bool, way.values())) for way in ways(node)] == [
        (True, True),
        (True, False),
        (False, True),
        (False, False),
    ]
    copy = forced(node)
    inner = copy.attribute[0].g.node[0]
    assert (copy.input[0], inner.input[0]) == ("condition/0", "condition/1")
    assert node.input[0] == "yes"


def test_a_node_without_branches_has_no_ways() -> None:
    assert list(ways(network("Relu(a)").model.graph.node[0])) == []


def test_the_way_is_named() -> None:
    base, head = (Graph(network(PLACES["else"]).model) for _ in range(2))
    for node in head.nodes:
        for entry in node.attribute:
            if entry.name == "else_branch":
                entry.g.node[0].input[1] = "t"
    head.add_constant("t", np.array([1, 1, 0.6, 1.6], np.float32))
    head.touched()
    with pytest.raises(PrecisionError, match=r"'y' has the shape .* in `else_branch`; report it"):
        require_same(base, head, FEEDS, "a rewriting", "report it")
