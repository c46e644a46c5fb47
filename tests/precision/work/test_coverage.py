"""A precision that reaches only a part of the work, or none, says so."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper, parser

import inferkit
from inferkit.network.network import Network
from inferkit.precision.work.coverage import coverage_of

WEIGHTS = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
BODY = """y = If (c) <then_branch = a () => (float[N, 8] p) { p = MatMul(h, w) },
                      else_branch = b () => (float[N, 8] q) { q = Relu(h) }>"""


def network(text: str) -> Network:
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{text}')
    model.graph.initializer.append(numpy_helper.from_array(WEIGHTS, "w"))
    return Network.from_model(model, "covered")


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_work_that_is_in_a_body_alone_stays_as_it_was(precision: str) -> None:
    base = network(f"g (float[N, 8] h, bool c) => (float[N, 8] y) {{ {BODY} }}")
    (note,) = inferkit.at_precision(base, precision).notes
    assert note == f"{precision} changed nothing: p (MatMul, inside a body) stayed as it was"


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_the_share_outside_of_bodies_is_told(precision: str) -> None:
    text = (
        f"g (float[N, 8] x, bool c) => (float[N, 8] y) {{ f = MatMul(x, w) g = MatMul(f, w) h = MatMul(g, w) {BODY} }}"
    )
    feeds = {"x": np.ones((2, 8), np.float32), "c": np.array(True)}
    options = {"calibration": [feeds]} if precision == "int8" else {}
    (note,) = inferkit.at_precision(network(text), precision, **options).notes
    assert note == f"{precision} reaches 75% of the operations; not p (MatMul, inside a body)"


def test_where_sizes_are_open_layers_are_counted() -> None:
    text = "g (float[N, T, 8] x, bool c) => (float[N, U, 8] y) { h = MatMul(x, w) " + BODY + " }"
    text = text.replace("float[N, 8]", "float[N, T, 8]")
    (note,) = inferkit.at_precision(network(text), "fp16").notes
    assert note == "fp16 reaches 50% of the layers; not p (MatMul, inside a body)"


def test_a_precision_that_reaches_everything_says_nothing() -> None:
    reduced = inferkit.at_precision(network("g (float[N, 8] x) => (float[N, 8] y) { y = MatMul(x, w) }"), "fp16")
    coverage = coverage_of(reduced)
    assert reduced.notes == ()
    assert coverage is not None
    assert (coverage.share, coverage.left, coverage.sentence) == (1.0, (), "")
    assert coverage_of(network("g (float[N, 8] x) => (float[N, 8] y) { y = MatMul(x, w) }")) is None


@pytest.mark.parametrize(("op", "changes"), [("Relu(x)", True), ("Softmax(x)", False)])
def test_a_network_that_multiplies_nothing_says_whether_anything_changed(op: str, changes: bool) -> None:
    notes = inferkit.at_precision(network(f"g (float[N, 8] x) => (float[N, 8] y) {{ y = {op} }}"), "fp16").notes
    assert notes == (() if changes else ("fp16 changed nothing: every layer stayed as it was",))
