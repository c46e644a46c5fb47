"""A case has one verdict, the one that pytest gives its test: headline, counts, colour, badge and annotation agree."""

import json
import re
from itertools import product

import pytest

from inferkit.cli.main import main
from inferkit.gate.comparison import exit_code
from inferkit.gate.outcome import Outcome, Verdict, deciding
from inferkit.report.github import annotation_lines
from inferkit.report.markdown import markdown
from inferkit.report.page.view import cases_of, headline, verdict_counts
from inferkit.report.terminal import render
from inferkit.suite.session.fixtures import decided
from tests.report.report_files import run_json, write_run

FIRST, SECOND = "lenet-fp32-b1-onnxruntime", "lenet-int8-b1-onnxruntime"
SIDES = ("p99", "host memory", "build time", "cold start")


def outcome(case, metric, verdict, reason=""):
    return Outcome(case, metric, Verdict(verdict), 0.01, 0.012, 0.2, 0.1, 0.3, 0.05, 3, 3, reason=reason)


def reports(tmp_path, capsys, outcomes):
    """What each output says of these outcomes: `report --json`, Markdown, HTML and the annotations."""
    content = run_json(batches=(1,))
    content["inferkit"] |= {"outcomes": [each.as_dict() for each in outcomes], "accuracy": {}, "unsupported": {}}
    run = write_run(tmp_path / "run.json", content, traces=False)
    out, comment = tmp_path / "out.html", tmp_path / "comment.md"
    assert main(["report", str(run), "-o", str(out), "--markdown", str(comment), "--no-history", "--json"]) == 0
    page = out.read_text(encoding="utf-8")
    badges = re.findall(r'<button type="button" class="badge (\w+)".*?</span> (\d+) ', page)
    return {
        "json": json.loads(capsys.readouterr().out),
        "markdown": comment.read_text(encoding="utf-8").splitlines(),
        "badges": {verdict: int(count) for verdict, count in badges},
        "tone": re.search(r'<header class="(\w+)">', page)[1],
        "annotations": annotation_lines(cases_of(outcomes)),
    }


def test_a_side_figure_that_is_undecided_leaves_a_case_passed(tmp_path, capsys):
    outcomes = [outcome(case, metric, "PASS") for case in (FIRST, SECOND) for metric in ("latency", *SIDES)]
    outcomes[2] = outcome(FIRST, "host memory", "INCONCLUSIVE")
    found = reports(tmp_path, capsys, outcomes)
    assert found["json"]["counts"] == found["badges"] == {"PASS": 2}
    assert found["json"]["verdict"] == "No regression in 2 cases"
    assert found["markdown"][:3] == ["### No regression in 2 cases", "", "2 PASS"]
    assert found["tone"] == "good"
    assert found["annotations"] == []


def test_a_side_figure_that_regressed_is_the_cases_verdict(tmp_path, capsys):
    outcomes = [outcome(FIRST, "latency", "PASS"), outcome(SECOND, "latency", "PASS")]
    found = reports(tmp_path, capsys, [*outcomes, outcome(FIRST, "p99", "REGRESSED")])
    assert found["json"]["counts"] == found["badges"] == {"REGRESSED": 1, "PASS": 1}
    assert found["markdown"][:3] == ["### 1 case regressed", "", "1 REGRESSED, 1 PASS"]
    assert found["tone"] == "bad"
    assert found["annotations"][0].startswith("::error")


def test_an_invalid_latency_is_the_verdict_whatever_else_of_the_case_regressed(tmp_path, capsys):
    """pytest skips such a test as INVALID and ends with 10."""
    outcomes = [outcome(FIRST, "latency", "INVALID", "the machine moved"), outcome(SECOND, "latency", "PASS")]
    found = reports(tmp_path, capsys, [*outcomes, outcome(FIRST, "host memory", "REGRESSED")])
    assert found["json"]["counts"] == found["badges"] == {"INVALID": 1, "PASS": 1}
    assert found["markdown"][0] == "### 1 case could not be judged: the measurement is invalid"
    assert any("| host memory |" in line and "**REGRESSED**" in line for line in found["markdown"])
    assert found["tone"] == "unsure"
    assert [line.partition(" ")[0] for line in found["annotations"]] == ["::warning"]


@pytest.mark.parametrize("metric", ["engine size", "top-1"])
def test_what_no_machine_changes_is_the_verdict_of_a_case_whose_latency_is_invalid(metric):
    outcomes = [outcome(FIRST, "latency", "INVALID", "the machine moved"), outcome(FIRST, metric, "REGRESSED")]
    said, row = decided(outcomes[0], outcomes[1:], {})
    assert (said.metric, said.verdict) == (metric, "REGRESSED")
    assert row["also"] == [outcomes[0].line]
    assert exit_code(outcomes) == 1
    assert verdict_counts(cases_of(outcomes)) == {"REGRESSED": 1}


@pytest.mark.parametrize("latency", [verdict for verdict in Verdict if verdict != "UNSUPPORTED"])
def test_it_is_what_pytest_says_of_the_test(latency):
    main_outcome = outcome(FIRST, "latency", latency)
    for one, other in product(("PASS", "IMPROVED", "INCONCLUSIVE", "INVALID", "REGRESSED"), repeat=2):
        sides = [outcome(FIRST, "top-1", one), outcome(FIRST, "host memory", other)]
        said, _ = decided(main_outcome, sides, {})
        cases = cases_of([*sides, main_outcome])
        assert deciding(cases).verdict == said.verdict, (one, other)
        assert verdict_counts(cases) == {said.verdict: 1}
        assert ("regressed" in headline(cases)) == (said.verdict == "REGRESSED")
        assert markdown(cases).splitlines()[2] == f"1 {said.verdict}"
        code = {"REGRESSED": 1, "INVALID": 10, "FAILED": 10}.get(said.verdict, 0)
        assert exit_code((main_outcome, *sides)) == code, (one, other)


def test_a_table_says_which_other_figure_a_case_failed_by():
    faster = outcome(FIRST, "latency", "IMPROVED")
    larger = outcome(FIRST, "host memory", "REGRESSED")
    said, row = decided(faster, [larger], {"kind": "latency", "case": FIRST, "centre": 0.01, "change": -0.6})
    lines = render([{"verdict": said.verdict, "line": said.line, "row": row}])
    assert lines[0].split()[-2:] == ["deciding", "metric"]
    assert lines[2].split()[-3:] == ["REGRESSED", "host", "memory"]
    plain = {"kind": "latency", "case": FIRST, "centre": 0.01, "verdict": "PASS"}
    assert "deciding metric" not in render([{"verdict": "PASS", "line": "", "row": plain}])[0]


@pytest.mark.parametrize("strict", [(), (Verdict.INCONCLUSIVE,)])
def test_an_undecided_case_is_an_error_where_it_fails_the_build(strict):
    cases = cases_of([outcome(FIRST, "latency", "INCONCLUSIVE"), outcome(SECOND, "latency", "INVALID")])
    kinds = {line.split()[2].partition("::")[0]: line.split()[0] for line in annotation_lines(cases, strict=strict)}
    assert kinds == {FIRST: "::error" if strict else "::warning", SECOND: "::warning"}


@pytest.mark.parametrize("latency", ["INVALID", "REGRESSED"])
def test_what_else_became_worse_is_told_beside_the_verdict(latency):
    larger, same = outcome(FIRST, "host memory", "REGRESSED"), outcome(FIRST, "build time", "PASS")
    said, row = decided(outcome(FIRST, "latency", latency), [larger, same], {"kind": "latency", "case": FIRST})
    lines = "\n".join(render([{"verdict": said.verdict, "line": said.line, "row": {**row, "verdict": latency}}]))
    assert said.verdict == latency
    assert larger.line in lines
    assert same.line not in lines
