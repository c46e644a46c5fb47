"""A margin is stated as people write it, in a unit that suits its metric, and decides how that metric is judged."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.gate.comparison import compare
from inferkit.gate.files.run_file import read_run
from inferkit.gate.metrics import METRICS
from inferkit.gate.outcome import Verdict
from inferkit.gate.rules.beside_latency import JudgedPair, judge_metrics
from inferkit.gate.stated.margins import Margin, metric_names, metric_of, parse_margin
from inferkit.gate.units import Unit
from tests.gate.run_files import measured, ours, write

TIMES = [0.0100, 0.0101, 0.0102]


@pytest.mark.parametrize(
    "metric, value, margin",
    [
        ("latency", 0.05, Margin(0.05)),
        ("latency", "5 %", Margin(0.05, None, "5 %")),
        ("latency", "5%", Margin(0.05, None, "5%")),
        ("p99", "2 ms", Margin(0.002, Unit.SECONDS, "2 ms")),
        ("cold start", "0.5 s", Margin(0.5, Unit.SECONDS, "0.5 s")),
        ("host memory", "10 MiB", Margin(10 * 2**20, Unit.BYTES, "10 MiB")),
        ("engine size", "1 MB", Margin(1e6, Unit.BYTES, "1 MB")),
        ("engine size", 0, Margin(0.0)),
        ("accuracy", 0.5, Margin(0.5, Unit.PERCENT)),
        ("accuracy", "1 point", Margin(1.0, Unit.PERCENT, "1 point")),
        ("top-1", "0.5 points", Margin(0.5, Unit.PERCENT, "0.5 points")),
    ],
)
def test_a_margin_is_a_number_or_a_text_with_a_unit(metric, value, margin):
    assert parse_margin(value, metric_of(metric)) == margin


@pytest.mark.parametrize(
    "metric, value",
    [
        ("latency", 0), ("latency", -0.1), ("latency", 11), ("latency", "2 ms"), ("latency", "fast"), ("latency", True),
        ("latency", "0.5 points"), ("latency", "5 % 5"), ("accuracy", "5 %"), ("accuracy", "1 MB"), ("accuracy", 101),
        ("host memory", "10 ms"), ("host memory", "10 MiBs"), ("cold start", "1 MB"), ("engine size", "-1 %"),
        ("p99", None), ("p99", [0.1]), ("p99", float("nan")), ("p99", float("inf")), ("host memory", "1e400 MB"),
        ("host memory", "9" * 400 + " MiB"), ("device memory", "9" * 305 + " GiB"), ("latency", int("9" * 400)),
        ("latency", "9" * 400 + " %"), ("accuracy", "9" * 400),
    ],
)  # fmt: skip
def test_what_does_not_suit_the_metric_is_refused_with_what_does(metric, value):
    with pytest.raises(ValueError, match="such as") as refused:
        parse_margin(value, metric_of(metric))
    assert repr(value) in str(refused.value)


@given(name=st.sampled_from(metric_names()), value=st.floats(0.001, 10) | st.sampled_from(["3 %", "0.25%"]))
def test_what_a_file_keeps_of_a_margin_is_read_as_the_same(name, value):
    metric = METRICS[name]
    if isinstance(value, str) and name == "top-1":
        value = "0.25 points"
    margin = parse_margin(value, metric)
    assert parse_margin(margin.written(), metric) == margin


def judged(metric, base, head, stated):
    """The outcome of one metric whose margin is stated as this."""
    datum = METRICS[metric].datum
    pair = JudgedPair(
        measured("c", (), **{datum: base}),
        replace(measured("c", (), **{datum: head}), margins={metric: parse_margin(stated, METRICS[metric])}),
        0.05,
    )
    (outcome,) = judge_metrics([pair])
    return outcome


@pytest.mark.parametrize(
    "metric, base, head, wide, narrow",
    [
        ("engine size", (1000,), (1050,), "10 %", "2 %"),
        ("engine size", (1000,), (1050,), "100 B", "10 B"),
        ("host memory", (100 << 20,) * 3, (106 << 20,) * 3, "10 MiB", "5 MiB"),
        ("cold start", (2.0, 2.01, 1.99), (3.0, 3.01, 2.99), "1500 ms", "20 %"),
        ("build time", (10.0,) * 3, (14.0,) * 3, "50 %", "20 %"),
        ("p99", (-7.0, -7.001, -6.999), (-6.9, -6.901, -6.899), "20 %", "2 %"),
    ],
)
def test_the_stated_margin_decides_and_is_shown(metric, base, head, wide, narrow):
    assert judged(metric, base, head, wide).verdict is Verdict.PASS
    outcome = judged(metric, base, head, narrow)
    assert outcome.verdict is Verdict.REGRESSED
    assert narrow in outcome.line


def test_an_engine_whose_nodes_were_renamed_passes_by_default_whatever_backend_built_it():
    pair = JudgedPair(measured("c", (), engine_bytes=(100_000,)), measured("c", (), engine_bytes=(100_120,)), 0.25)
    (outcome,) = judge_metrics([pair])
    assert (outcome.verdict, outcome.margin, outcome.reason) == (Verdict.PASS, 0.02, "120 bytes more")


def test_a_comparison_of_files_takes_the_margins_of_head(tmp_path):
    base, head = ours({"c": TIMES}), ours({"c": TIMES})
    base["inferkit"]["cases"]["c"] |= {"engine_bytes": 1000, "margins": {"engine size": "1 %"}}
    head["inferkit"]["cases"]["c"] |= {"engine_bytes": 1050, "margins": {"engine size": "10 %", "of tomorrow": "1 %"}}
    runs = [read_run(write(tmp_path / name, content)) for name, content in (("base", base), ("head", head))]
    size = compare([runs[0]], [runs[1]]).of("c", "engine size")
    assert (size.verdict, size.margin) == (Verdict.PASS, 0.1)


def test_a_margin_in_a_file_that_is_none_is_refused_with_its_place(tmp_path):
    content = ours({"c": TIMES})
    content["inferkit"]["cases"]["c"]["margins"] = {"host memory": "much"}
    with pytest.raises(Exception, match="inferkit/cases/c/margins/host memory: a margin of host memory is"):
        read_run(write(tmp_path / "run.json", content))
