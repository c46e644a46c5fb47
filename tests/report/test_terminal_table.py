"""The table at the end: every verdict visible, reasons grouped, narrow terminals and logs."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.gate.layer_diff import diff_layers
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.measure.case import Case
from inferkit.measure.latency.replicate import Replicate
from inferkit.measure.layers.table import LayerRow
from inferkit.report.layers import culprits
from inferkit.report.outcomes import outcome_lines
from inferkit.report.table import shortened
from inferkit.report.terminal import render
from inferkit.suite.campaign.facts import latency_row
from inferkit.suite.campaign.records import CaseRecord, once_each
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


@pytest.mark.parametrize("unit", ["images", "items", "queries", "tokens"])
def test_throughput_is_of_what_a_network_is_fed(unit):
    head, _, row, *_ = render([result(unit=unit)])
    assert f" {unit}/s " in head
    assert " 9,524 " in row
    # Where units differ each row states its own.
    head, _, *rows = render([result(unit=unit), result(unit="other things"), result()])
    assert " throughput " in head
    for row, its in zip(rows, (unit, "other things", "images"), strict=True):
        assert f" 9,524 {its}/s " in row


def test_a_p99_says_how_many_samples_it_rests_on():
    head, _, row, *_ = render([result(p99=2e-4, samples=1234)])
    assert " p99 (samples) " in head
    assert " 200 µs (1,234) " in row


def test_the_margin_stands_with_the_change_of_latencies_and_of_accuracies():
    head, _, row, *_ = render([result(margin=0.25)])
    assert " change / margin " in head
    assert " +5.0% / 25 % " in row
    accuracy = {"kind": "accuracy", "images": 10, "top1": 90.0, "base": 90.2, "change": 0.2, "tolerance": 0.5}
    head, _, row, *_ = render([result(**accuracy)])
    assert " points / tolerance " in head
    assert " -0.20 / 0.5 " in row


NAMED = "a latency: REGRESSED: 1 ms -> 2 ms; layers: conv1 +0.8 ms (+80%); all layers together +0.9 ms of +1 ms"
NOT_NAMED = "a latency: REGRESSED: 1 ms -> 2 ms; the layers' own times do not show it (±0 of +1 ms)"


def change(name, base, head, **more):
    return {"layers": [name], "base_us": base, "head_us": head, "delta_us": head - base, "what": "", **more}


WHY = {"changes": [change("conv1", 1000.0, 1800.0, what="fp16 -> fp32"), change("fc", 100.0, 200.0)]}
WHY["changes"] += [change("pool", 400.0, 395.0), change("relu", 10.0, 12.0)]


def test_below_the_headline_of_what_got_worse_stand_the_layers_that_did_it():
    slower = {**result(verdict="REGRESSED", why=WHY), "line": NAMED}
    *_, headline, head, _, first, second = render([slower, result(case="fine")])
    assert headline == "a latency: REGRESSED: 1 ms -> 2 ms; all layers together +0.9 ms of +1 ms"
    assert head.split() == ["layer", "base", "head", "change", "of", "head", "what"]
    assert first.split() == ["conv1", "1", "ms", "1.8", "ms", "+800", "µs", "(+80%)", "74.8%", "fp16", "->", "fp32"]
    assert second.split()[0] == "fc"
    assert first.startswith("    conv1")
    # What explains a twentieth or less, or got faster, did not do it.
    assert not any("pool" in line or "relu" in line for line in render([slower]))


def test_layers_whose_times_do_not_show_the_change_are_not_blamed():
    *_, last = render([{**result(verdict="REGRESSED", why=WHY), "line": NOT_NAMED}])
    assert last == NOT_NAMED


@pytest.mark.parametrize("width", [80, 100, 160])
def test_no_line_is_wider_than_the_terminal(width):
    case = "fashion_resnet-fp32-b64-onnxruntime"
    slower = {**result(case=case, verdict="REGRESSED", margin=0.25, why=WHY), "line": f"{case} {NAMED}"}
    served = result(case=case, kind="service", verdict="INCONCLUSIVE", loadgen="VALID, short (1 s)", margin=0.25)
    figures = {"top1": 91.2, "top5": 99.1, "images": 10_000, "lost": 3, "gained": 4, "upper": 0.2}
    lines = render([slower, served, result(case=case, kind="accuracy", **figures), unsupported(1)], width=width)
    assert max(map(len, lines)) <= width
    assert sum(case in line for line in lines) >= 3


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


def test_overlapped_batches_and_pixels_are_told_beside_executions_alone():
    """64 images in 1.3 ms with copies and in 1.28 ms without them: 98.5 % of the rate is left."""
    details = {"execution_only_seconds": 1.28e-3, "share_of_execution_only_rate": 1.28 / 1.3}
    trace = np.full((3, 6), np.nan)
    trace[:, 4] = 1.3e-3
    first = Replicate(trace, float(np.log(1.3e-3)), 1 << 20, *(None,) * 6, {}, {}, details=details)
    network = NetworkDefinition("resnet50", "resnet50", uint8_input=True)
    rows = {}
    for mode in ("throughput", "latency"):
        case = Case("resnet50", "int8", 64, "tensorrt", mode)
        replicates = [first, replace(first, details={})]
        rows[mode] = latency_row(CaseRecord(case, network, 0.05, replicates=replicates))
    row = rows["throughput"]
    assert row["execution_only_per_second"] == pytest.approx(50_000)
    assert row["images_per_second"] == pytest.approx(49_231, rel=1e-4)
    assert "share_of_execution_only" not in rows["latency"]
    head, _, line, *_ = render([{"verdict": "PASS", "line": "", "row": {**row, "verdict": "PASS"}}])
    for word in (" of executions alone ", " input "):
        assert word in head
    for word in (" 49,231 ", " 98.5% ", " uint8 "):
        assert word in line
    plain = CaseRecord(replace(case, mode="latency"), replace(network, uint8_input=False), 0.05, replicates=[first])
    assert "input" not in latency_row(plain)


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


def failed(case, reason, table="latency"):
    outcome = Outcome(case, "latency", Verdict.FAILED, reason=reason)
    row = {"kind": "failed", "table": table, "verdict": "FAILED", "case": case, "reason": outcome.reason}
    return {"verdict": "FAILED", "line": outcome.line, "row": row}


LONG = (
    "ONNX Runtime 1.32.0 cannot build 'detector': node 'nms' (NonMaxSuppression): boxes must have three dimensions\n"
    '  File "a.py", line 12, in build\n'
)


@pytest.mark.parametrize("width", [80, 100, 0])
def test_a_case_that_failed_has_its_row_with_the_cause(width):
    lines = render([result(), failed("detector-fp32-b1-onnxruntime", LONG)], width=width)
    (row,) = [line for line in lines if line.startswith("detector")]
    assert re.search(r"FAILED +… boxes must have three dimensions", row)
    assert not width or all(len(line) <= width for line in lines[:6])
    assert "line 12" in "\n".join(lines)


def test_a_cause_that_differs_in_numbers_only_is_told_once():
    lines = render([failed(f"c{n}", f"shape {{{n},3}} at 0x7f{n}1") for n in range(1, 5)])
    assert [line for line in lines if line.startswith("FAILED")] == ["FAILED 4 cases (c1 to c4): shape {1,3} at 0x7f11"]


def test_failures_stand_in_the_table_of_their_kind():
    lines = render([failed("a", "x", "accuracy"), failed("b", "x", "latency"), failed("s", "x", "service")])
    heads = [line.partition(",")[0] for line in lines if "verdict" in line]
    assert heads == ["case", "service", "case"]


def test_a_reason_that_every_process_has_in_other_figures_is_said_once():
    busy = [f"other processes used {used} of the 2 CPUs" for used in (1.2, 0.9, 1.4)]
    said = once_each([busy[0], "the GPU was throttled", *busy[1:]])
    assert said == "other processes used 1.2 of the 2 CPUs (and 2 more like it), the GPU was throttled"


def test_a_change_beyond_the_margin_that_passes_says_why():
    small = Outcome("a", "cold start", Verdict.PASS, 0.1, 0.2, 1.0, margin=0.5, reason="less than 500 ms either way")
    assert any("less than 500 ms either way" in line for line in outcome_lines([small]))
    within = Outcome("a", "latency", Verdict.PASS, 0.1, 0.101, 0.01, margin=0.05, reason="a reason")
    assert not any("a reason" in line for line in outcome_lines([within]))


def test_the_share_of_head_is_that_of_all_its_layers_however_few_are_listed():
    base = [LayerRow(f"l{n}", seconds=1e-6, origins=(f"l{n}",)) for n in range(20)]
    head = [LayerRow(f"l{n}", seconds=(21e-6 if n == 0 else 1e-6), origins=(f"l{n}",)) for n in range(20)]
    diff = diff_layers(base, head)
    shares = {culprits({"why": diff.as_dict(most=most)}, "line")[1][0].share for most in (None, 8, 1)}
    assert shares == {"52.5%"}  # 21 of 40 µs


def test_a_reason_is_shortened_to_its_cause():
    assert shortened("a: b", 10) == "a: b"
    assert shortened("the network of somebody: no such file", 20) == "… no such file"
    assert shortened("building failed: Gemm ip1: 32 rows: 16 wanted", 34) == "… Gemm ip1: 32 rows: 16 wanted"
    assert shortened("x" * 30, 10) == "x" * 9 + "…"
    assert shortened("the process died:\n  words", 40) == "the process died"


@given(st.text(max_size=30), st.integers(20, 200), st.booleans())
def test_any_name_is_shown_and_never_interpreted(name, width, color):
    """A case called [bold red] is shown as that: rich's markup is for us."""
    printable = "".join(letter for letter in name if letter.isprintable())
    text = "\n".join(render([result(case=f"[bold]{printable}[/bold]")], width=width, color=color))
    assert "[bold]" in text


def test_nothing_measured_is_nothing_shown():
    assert render([]) == []
