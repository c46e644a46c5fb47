"""Markdown for a pull request, GitHub's annotations and summary: regressions first, under the limit, no injection."""

from dataclasses import replace

import pytest

from inferkit.cli.main import main
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.report.github import annotation_lines, write_summary
from inferkit.report.markdown import LIMIT, markdown, plain
from inferkit.report.page.view import cases_of
from tests.gate.run_files import ours, write
from tests.report.report_files import run_json, write_run


def outcome(case, verdict, **more):
    return Outcome(case, "latency", Verdict(verdict), 0.01, 0.012, 0.2, 0.1, 0.3, 0.05, 3, 3, **more)


def test_what_regressed_stands_before_all_else():
    text = markdown(cases_of([outcome("a", "PASS"), outcome("b", "INCONCLUSIVE"), outcome("c", "REGRESSED")]))
    assert text.startswith("### 1 case regressed\n")
    assert text.index("<code>c</code>") < text.index("<code>b</code>") < text.index("<details>") < text.index("<code>a")
    assert "| 10 ms | 12 ms | +20.0% / 5 % | +10.0% … +30.0% | **REGRESSED** |" in text


@pytest.mark.parametrize("verdict", ["REGRESSED", "PASS", "INCONCLUSIVE"])
@pytest.mark.parametrize("name", ["lenet", "<" * 3000])
def test_it_is_under_githubs_limit_whatever_there_is(verdict, name):
    cases = cases_of([outcome(f"{name}{number}", verdict, reason="because " * 90) for number in range(3000)])
    text = markdown(cases, ["a remark"])
    assert len(text) < LIMIT
    shown = text.count("<code>")
    assert shown > 5
    assert f"{3000 - shown} more figures do not fit here" in text
    assert text.count("<details>") == text.count("</details>")


def test_of_10_000_cases_what_regressed_leads_the_worst_first():
    verdicts = ("PASS", "INCONCLUSIVE", "NO_BASELINE", "IMPROVED", "INVALID")
    cases = [outcome(f"net{number}-fp16-b8-tensorrt", verdicts[number % 5], reason="busy") for number in range(10_000)]
    cases[4321] = outcome("a little slower", "REGRESSED")
    cases[9876] = replace(outcome("much slower", "REGRESSED"), change=0.9)
    text = markdown(cases_of(cases))
    assert len(text) < LIMIT
    assert text.startswith("### 2 cases regressed\n")
    rows = [line for line in text.splitlines() if line.startswith("| <code>")]
    assert [row.split("</code>")[0] for row in rows[:2]] == ["| <code>much slower", "| <code>a little slower"]
    assert f"{10_000 - len(rows)} more figures do not fit here" in text
    assert len(text) > 0.9 * LIMIT  # what fits is told


def test_a_run_by_itself_becomes_a_comment(tmp_path, capsys):
    run = write_run(tmp_path / "run.json", run_json(), traces=False)
    comment = tmp_path / "comment.md"
    assert main(["report", str(run), "--markdown", str(comment)]) == 0
    assert comment.read_text(encoding="utf-8").startswith("### 1 case regressed\n")
    assert main(["report", str(run)]) == 2
    assert "name the file to write" in capsys.readouterr().err


def test_text_from_outside_makes_no_markup_link_or_mention():
    harm = "@user #1 [a](https://x.y) <b>|`*_~\\\n::error::"
    found = plain(harm)
    for sign in "@#[](<>|`*_~\\\n:":
        if sign not in "()":
            assert sign not in found.replace("&#", ""), sign
    assert "\u200b" in found
    text = markdown(cases_of([outcome(harm, "REGRESSED", reason=harm)]))
    assert "<b>" not in text
    rows = [line for line in text.splitlines() if line.startswith("| <code>")]
    assert len(rows) == 1
    assert rows[0].count("|") == 8


def test_nothing_measured_is_said():
    assert markdown([]).startswith("### Nothing was measured")


def test_annotations_are_one_line_each_and_at_most_ten_of_a_kind():
    harm = "a%b:c,d\r\n::error::injected"
    (line,) = annotation_lines(cases_of([outcome(harm, "REGRESSED")]))
    assert line.startswith("::error title=REGRESSED a%25b%3Ac%2Cd%0D%0A%3A%3Aerror%3A%3Ainjected::")
    assert "\n" not in line
    assert "\r" not in line
    many = annotation_lines(cases_of([outcome(f"c{n}", "REGRESSED") for n in range(30)] + [outcome("d", "INVALID")]))
    assert len([line for line in many if line.startswith("::error")]) == 10
    assert "21 more cases" in many[9]
    assert many[10].startswith("::warning title=INVALID d::")
    assert annotation_lines(cases_of([outcome("a", "PASS")])) == []


def test_a_case_is_one_annotation_whatever_fails_of_it():
    slow = [replace(outcome("a", "REGRESSED"), metric=metric) for metric in ("p99", "latency", "build time")]
    (line,) = annotation_lines(cases_of([*slow, replace(outcome("a", "PASS"), metric="host memory")]))
    assert line.startswith("::error title=REGRESSED a::a latency: REGRESSED")
    assert line.endswith("; also p99, build time")
    text = markdown(cases_of(slow))
    assert next(row.split(" | ")[1] for row in text.splitlines() if row.startswith("| <code>")) == "latency"


def test_the_summary_is_appended_to_githubs_file(tmp_path, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    assert write_summary("text") is None
    file = tmp_path / "summary.md"
    file.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(file))
    assert write_summary("text\n") == str(file)
    assert file.read_text() == "before\ntext\n"


def test_compare_writes_the_comment_beside_what_it_prints(tmp_path, capsys):
    fast = str(write(tmp_path / "fast.json", ours({"a": [0.01, 0.0101, 0.0102]})))
    slow = str(write(tmp_path / "slow.json", ours({"a": [0.02, 0.0201, 0.0202]})))
    comment = tmp_path / "comment.md"
    assert main(["compare", fast, slow, "--markdown", str(comment)]) == 1
    assert "REGRESSED" in capsys.readouterr().out
    assert comment.read_text(encoding="utf-8").startswith("### 1 case regressed")
    assert main(["compare", fast, slow, "--markdown", str(tmp_path / "fast.json" / "x")]) == 2
