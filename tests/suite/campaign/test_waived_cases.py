"""Waivers beside the matrix, in a run of pytest: shown, counted, and refused when nothing needs them."""

import pytest

from inferkit.gate.files.baseline import read_baseline
from tests.suite.interleaved.test_ab_run import git
from tests.suite.tiny_project import MATRIX, store_baseline

pytestmark = pytest.mark.slow  # each a run of pytest in a process of its own

CASES = ("tiny-fp32-b1-onnxruntime", "tiny-fp32-b4-onnxruntime")
FAST = (-18.0, -18.01, -17.99)  # logarithms of a second: 15 ns, which nothing here can be
SLOW = (0.0, 0.01, -0.01)


def waiver(case="tiny-*-b1-*", metric="latency", expires="2999-12-31"):
    return f'[[waivers]]\ncase = "{case}"\nmetric = "{metric}"\nreason = "r"\nowner = "ana"\nexpires = {expires}\n'


@pytest.fixture
def slower(project):
    """A project whose cases are all slower than their baseline; it waives what `waive` writes."""
    store_baseline(project.folder / "baselines", dict.fromkeys(CASES, FAST))
    return project


def waive(project, *waivers):
    (project.folder / "bench" / "waivers.toml").write_text("".join(waivers))


def test_a_waived_case_is_measured_and_shown_and_the_others_fail(slower):
    waive(slower, waiver())
    run = slower.run("--benchmark-json=run.json", "--report=run.html", "--verdict-json=verdicts.json", "--github")
    assert run.code == 1
    assert run.verdict(f"test_latency[{CASES[0]}]") == "WAIVED"
    assert run.verdict(f"test_latency[{CASES[1]}]") == "SUSPECT"  # there is no commit to confirm it with
    skipped = run.tests[f"test_latency[{CASES[0]}]"].find("skipped")
    assert "SUSPECT, waived by ana until 2999-12-31: r" in skipped.get("message", "")
    assert "1 waived" in run.text
    assert "not needed" not in run.text
    assert f"::warning title=WAIVED {CASES[0]}" in run.text
    outcomes = {each["case"]: each for each in run.json["inferkit"]["outcomes"] if each["metric"] == "latency"}
    assert outcomes[CASES[0]]["verdict"] == "WAIVED"
    assert outcomes[CASES[0]]["change"] > 1
    assert "WAIVED" in (slower.folder / "run.html").read_text()
    assert '"owner": "ana"' in (slower.folder / "verdicts.json").read_text()


def test_with_everything_waived_the_run_passes(slower):
    waive(slower, waiver("tiny-*"))
    run = slower.run()
    assert run.code == 0, run.text
    assert "2 waived" in run.text


def test_an_expired_waiver_leaves_the_verdict_and_says_whose_it_was(slower):
    waive(slower, waiver("tiny-*", expires="2020-01-01"))
    run = slower.run("-k", "latency and b1")
    assert run.code == 1
    (failure,) = run.tests[f"test_latency[{CASES[0]}]"].iter("failure")
    assert "the waiver of ana expired on 2020-01-01" in failure.get("message", "")


def test_a_waiver_whose_cases_pass_fails_the_run_with_its_line(project):
    store_baseline(project.folder / "baselines", dict.fromkeys(CASES, SLOW))
    waive(project, waiver())
    run = project.run()
    assert run.code == 1
    assert "bench/waivers.toml:1: [waivers] the waiver of ana for latency of tiny-*-b1-* is not needed" in run.text
    narrowed = project.run("-k", "b4")
    assert narrowed.code == 0, narrowed.text


def test_a_waiver_of_no_case_and_a_malformed_file_stop_the_run_before_it_measures(slower):
    waive(slower, waiver("tinny-*"))
    run = slower.run()
    assert run.code == 2
    assert "'tinny-*' matches no case: remove the waiver of ana" in run.text
    assert "replicate" not in run.text
    waive(slower, waiver(expires='"soon"'), waiver(metric="speed"))
    run = slower.run()
    assert run.code == 2
    assert "waivers.toml:6: [waivers] expires: must be a date" in run.text
    assert "waivers.toml:9: [waivers] metric: 'speed' is no metric" in run.text


def test_a_vanished_case_can_be_waived(project):
    path = store_baseline(project.folder / "baselines", dict.fromkeys((*CASES, "gone-fp32-b1-onnxruntime"), SLOW))
    assert "gone-fp32-b1-onnxruntime" in read_baseline(path).cases
    waive(project, waiver("gone-*"))
    run = project.run("-k", "latency")
    assert run.code == 0, run.text
    assert run.verdict("test_latency[gone-fp32-b1-onnxruntime]") == "WAIVED"


def test_a_waiver_of_another_machine_covers_nothing_and_is_not_needless(project):
    elsewhere, here = 'machine = "nvidia-h100-*"\n', 'machine = "*-onnxruntime-*"\n'
    store_baseline(project.folder / "baselines", {CASES[0]: FAST, CASES[1]: SLOW})
    waive(project, waiver("*-b1-*") + elsewhere, waiver("*-b4-*") + elsewhere)
    run = project.run("-k", "latency")
    assert (run.code, run.verdict(f"test_latency[{CASES[0]}]")) == (1, "SUSPECT"), run.text
    assert "not needed" not in run.text
    waive(project, waiver("*-b1-*") + here)
    run = project.run("-k", "latency", "--verdict-json=verdicts.json")
    assert (run.code, run.verdict(f"test_latency[{CASES[0]}]")) == (0, "WAIVED"), run.text
    assert '"machine": "*-onnxruntime-*"' in (project.folder / "verdicts.json").read_text()
    waive(project, waiver("*-b4-*") + here)
    run = project.run("-k", "latency")
    assert run.code == 1
    assert "the waiver of ana for latency of *-b4-* is not needed" in run.text


def test_a_run_against_a_commit_does_not_call_a_waiver_needless(slower):
    """Against the same files the case passes; against its baseline it would not, at ten times its time either."""
    slower.matrix(MATRIX.replace("model =", "margins = { latency = 9.0 }\nmodel ="))
    waive(slower, waiver())
    git(slower.folder, "init", "-q")
    git(slower.folder, "add", ".")
    git(slower.folder, "commit", "-q", "-m", "waived")
    run = slower.run("--against=HEAD", "--batch-size=1", "--benchmark-json=run.json", "-k", "latency")
    assert run.json["inferkit"]["cases"][CASES[0]]["against"]["ref"] == "HEAD"
    (outcome,) = [each for each in run.json["inferkit"]["outcomes"] if each["metric"] == "latency"]
    assert outcome["verdict"] == "PASS"
    assert "not needed" not in run.text
