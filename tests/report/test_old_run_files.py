"""Run files of schema 1, which inferkit 0.1.0 wrote, and of schema 2 make the same reports."""

import json
import re

import numpy as np
import pytest

from inferkit.cli.main import main
from inferkit.gate.files.run_file import read_run
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.report.page.confusion import Pair, confusion_of
from inferkit.report.write import view_of_files
from tests.report.report_files import COLUMNS, run_json, write_run

NAME = "lenet-fp32-b1-onnxruntime"
FORMER = {"base": "baseline", "head": "now", "hint": "way_out", "head_replicates": "replicates",
          "base_replicates": "baseline_replicates"}  # fmt: skip


def run_of(tmp_path, schema, *outcomes, **more):
    """A run of one case with these outcomes, as a version of that schema wrote it."""
    content = run_json(batches=(1,))
    ours = content["inferkit"]
    ours["cases"] = {NAME: ours["cases"][NAME]}
    told = [outcome.as_dict() for outcome in outcomes]
    if schema == 1:
        # 0.1.0 had no outcome of what failed.
        told = [{FORMER.get(key, key): value for key, value in each.items()} for each in told]
        told = [each for each in told if each["verdict"] != "FAILED"]
    ours |= {"schema": schema, "accuracy": {}, "unsupported": {}, "outcomes": told, **more}
    return write_run(tmp_path / "run.json", content, traces=False)


@pytest.mark.parametrize("schema", [1, 2])
def test_a_verdict_is_shown_with_its_figures(tmp_path, schema):
    outcome = Outcome(NAME, "latency", Verdict.REGRESSED, 1e-3, 2e-3, 1.0, 0.9, 1.1, 0.05, 3, 4, hint="look again")
    (found,) = read_run(run_of(tmp_path, schema, outcome)).outcomes
    assert found == outcome


@pytest.mark.parametrize("schema", [1, 2])
def test_cases_that_failed_are_listed_once_with_their_reason(tmp_path, capsys, schema):
    failures = {"lost-fp32-b1-onnxruntime": "no such file", "lost-int8-onnxruntime": "no images"}
    failed = [
        Outcome(name, metric, Verdict.FAILED, reason=failures[name])
        for name, metric in zip(failures, ("latency", "top-1"), strict=True)
    ]
    path = run_of(tmp_path, schema, Outcome(NAME, "latency", Verdict.PASS), *failed, failures=failures)
    view = view_of_files(read_run(path), [], path)
    shown = [(case.case, case.metric, case.reason) for case in view.cases if case.verdict is Verdict.FAILED]
    assert shown == [(each.case, each.metric, each.reason) for each in failed]
    comment = tmp_path / "comment.md"
    arguments = ["report", str(path), "-o", str(tmp_path / "out.html"), "--markdown", str(comment), "--no-history"]
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == {"FAILED": 2, "PASS": 1}
    rows = [line for line in comment.read_text().splitlines() if line.startswith("|") and "**FAILED**" in line]
    assert len(rows) == 2
    # A comparison names them too, though base has neither.
    base = run_json(batches=(1,))
    base["inferkit"] |= {"accuracy": {}, "cases": {NAME: base["inferkit"]["cases"][NAME]}}
    against = write_run(tmp_path / "base.json", base, traces=False)
    view = view_of_files(read_run(path), [read_run(against)], path, [against])
    assert [(case.case, case.metric) for case in view.cases if case.verdict is Verdict.FAILED] == [
        (each.case, each.metric) for each in failed
    ]


@pytest.mark.parametrize("schema, prefix", [(1, "before"), (2, "base")])
def test_the_base_of_an_interleaved_run_is_shown_with_its_spread(tmp_path, schema, prefix):
    path = run_of(tmp_path, schema, Outcome(NAME, "latency", Verdict.PASS, 1e-3, 1e-3, 0.0))
    content = json.loads(path.read_text())
    content["inferkit"]["cases"][NAME]["against"] = {"ref": "main", "log_medians": [-6.9, -6.91]}
    path.write_text(json.dumps(content))
    rows = np.random.default_rng(1).normal(1e-3, 1e-5, (100, len(COLUMNS)))
    arrays = {f"{NAME}/{prefix}{number}": rows for number in range(2)}
    np.savez(path.with_suffix(".traces.npz"), columns=np.array(COLUMNS), **arrays)
    (case,) = view_of_files(read_run(path), [], path).cases
    assert len(case.base) == 2
    assert all(strip.quantiles for strip in case.base)


@pytest.mark.parametrize("schema, words", [(1, ("before_us", "now_us")), (2, ("base_us", "head_us"))])
def test_the_layers_that_explain_a_change_have_their_times(tmp_path, schema, words):
    path = run_of(tmp_path, schema, Outcome(NAME, "latency", Verdict.REGRESSED, 1e-3, 2e-3, 1.0))
    content = json.loads(path.read_text())
    times = dict(zip(words, (120.0, 240.0), strict=True))
    change = {"layers": ["conv1"], "delta_us": 120.0, "what": "", **times}
    content["inferkit"]["cases"][NAME]["why"] = {"groups": 1, "changes": [change]}
    path.write_text(json.dumps(content))
    assert main(["report", str(path), "--markdown", str(tmp_path / "c.md"), "--no-history"]) == 0
    (line,) = [line for line in (tmp_path / "c.md").read_text().splitlines() if "conv1" in line]
    assert re.sub("&#..;", "", line) == "  - conv1 120 µs - 240 µs, +120 µs (+100%)"


@pytest.mark.parametrize("words", [("before", "now"), ("base", "head")])
def test_images_that_changed_their_class_are_told_by_the_classes_in_base_and_in_head(words):
    pair = {"label": 0, "count": 12, **dict(zip(words, (0, 6), strict=True))}
    changes = confusion_of({"confusion": {"classes": {"0": "T-shirt/top", "6": "Shirt"}, "pairs": [pair]}})
    assert changes is not None
    assert changes.pairs == (Pair("T-shirt/top", "T-shirt/top", "Shirt", 12),)
