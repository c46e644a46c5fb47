"""The table at the end: every verdict visible, reasons grouped, narrow terminals and logs."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.gate.outcome import Outcome, Verdict
from inferkit.measure.case import Case
from inferkit.measure.latency.replicate import Replicate
from inferkit.report.terminal import render
from inferkit.suite.campaign.facts import latency_row
from inferkit.suite.campaign.records import CaseRecord
from inferkit.suite.matrix.definition import NetworkDefinition

ROW = {
    "kind": "latency", "case": "lenet-fp32-b1-onnxruntime", "centre": 1.05e-4, "spread": 0.012, "p50": 1.05e-4,
    "p90": 1.2e-4, "p95": 1.3e-4, "p99": None, "images_per_second": 9523.8, "memory": 50 << 20, "base": 1.0e-4,
    "change": 0.05, "verdict": "PASS", "reason": "",
}  # fmt: skip


def result(**changes):
    row = {**ROW, **changes}
    return {"verdict": row["verdict"], "line": f"{row['case']} says it all", "row": row}


def unsupported(number):
    row = {"kind": "unsupported", "case": f"net{number}", "reason": "no GPU", "hint": "buy one"}
    return {"verdict": "UNSUPPORTED", "line": "", "row": row}


def test_a_log_shows_every_column_and_no_colour():
    text = "\n".join(render([result()]))
    for word in ("lenet-fp32-b1-onnxruntime", "105 µs", "±1.2%", "9,524", "52.43 MB", "100 µs", "+5.0%", "PASS"):
        assert word in text
    assert "\x1b" not in text


def test_a_percentile_without_enough_samples_is_a_dash_beside_one_with():
    lines = render([result(), result(case="other", p99=2e-4)])
    assert "–" in next(line for line in lines if line.startswith("lenet"))
    assert "200 µs" in next(line for line in lines if line.startswith("other"))


def test_throughput_is_of_items_where_a_network_takes_anything_but_images():
    heads = [render([result(unit=unit), result(unit="images")])[0] for unit in ("images", "items")]
    assert ["images/s" in head for head in heads] == [True, False]
    assert "items/s" in heads[1]


def test_memory_is_what_the_line_of_its_verdict_says():
    outcome = Outcome("a", "host memory", Verdict.REGRESSED, head=100 << 20)
    assert "104.9 MB" in outcome.line
    assert "104.9 MB" in "\n".join(render([result(memory=100 << 20)]))


@pytest.mark.parametrize("mode, known", [("latency", ["p50", "p90", "p95", "p99"]), ("throughput", ["p50"])])
def test_the_means_of_rounds_have_no_tail(mode, known):
    """In throughput mode an iteration is a round of 32 batches or more: a percentile of these is of no batch."""
    walls = np.random.default_rng(5).normal(1e-3, 1e-5, 700)
    trace = np.full((len(walls), 6), np.nan)
    trace[:, 4] = walls
    nothing = (None,) * 6
    replicates = [Replicate(trace, float(np.log(np.median(walls))), 1 << 20, *nothing, {}, {}) for _ in range(3)]
    case = Case("lenet", "fp32", 64, "tensorrt", mode)
    row = latency_row(CaseRecord(case, NetworkDefinition("lenet", "lenet"), 0.05, replicates=replicates))
    assert [name for name in ("p50", "p90", "p95", "p99") if row[name] is not None] == known
    assert len(row["log_p99"]) == (3 if mode == "latency" else 0)
    heads, _, line, *_ = render([{"verdict": "PASS", "line": "", "row": {**row, "verdict": "PASS"}}])
    assert line.startswith(f"{case.id} ")
    assert ("p99" in heads) == (mode == "latency")


def test_a_narrow_terminal_keeps_case_median_change_and_verdict():
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in render([result()], width=80, color=True)]
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    for word in ("lenet-fp32-b1-onnxruntime", "105 µs", "+5.0%", "PASS"):
        assert word in text


def test_forty_eight_cases_without_a_gpu_are_one_line():
    lines = render([unsupported(number) for number in range(48)])
    assert lines == ["UNSUPPORTED 48 cases (net0 to net47): no GPU; buy one"]


def test_what_needs_a_look_is_told_below_the_table():
    lines = render([result(verdict="REGRESSED"), result(case="fine")])
    assert lines[-1] == "lenet-fp32-b1-onnxruntime says it all"
    assert not any("fine says" in line for line in lines)


def test_the_absence_of_a_baseline_is_told_once():
    results = [result(case=f"c{n}", verdict="NO_BASELINE", base=None, change=None, reason="none") for n in range(9)]
    told = [line for line in render(results) if line.startswith("NO_BASELINE")]
    assert told == ["NO_BASELINE 9 cases: none; `inferkit baseline promote RUN.json` makes one"]


def test_a_failure_of_several_cases_for_one_reason_is_told_once():
    def failed(case, reason):
        outcome = Outcome(case, "latency", Verdict.FAILED, reason=reason)
        row = {"kind": "failed", "case": case, "reason": outcome.reason}
        return {"verdict": "FAILED", "line": outcome.line, "row": row}

    lines = render([failed(f"c{n}", "no file") for n in range(3)] + [failed("d", "cut short")])
    assert lines == ["FAILED 3 cases (c0 to c2): no file", "FAILED d: cut short"]


@given(st.text(max_size=30), st.integers(20, 200), st.booleans())
def test_any_name_is_shown_and_never_interpreted(name, width, color):
    """A case called [bold red] is shown as that: rich's markup is for us."""
    printable = "".join(letter for letter in name if letter.isprintable())
    text = "\n".join(render([result(case=f"[bold]{printable}[/bold]")], width=width, color=color))
    assert "[bold]" in text


def test_nothing_measured_is_nothing_shown():
    assert render([]) == []
