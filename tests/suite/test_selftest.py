"""`inferkit gate selftest` on a tiny project: a slowdown that stands out is found, in real processes."""

import json

import pytest

from inferkit.cli.main import main
from inferkit.exit_codes import ExitCode
from inferkit.gate.files.baseline import BaselineStore
from inferkit.suite.campaign.target import fingerprint_of
from inferkit.suite.matrix.definition import BackendSettings
from inferkit.suite.selftest import SelfTestPlan
from tests.gate.run_files import stored
from tests.suite.tiny_project import MATRIX


@pytest.fixture
def folder(tiny_files, tmp_path, monkeypatch):
    for path in tiny_files.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    # A wide margin: what runs beside the tests must not decide.
    (tmp_path / "matrix.toml").write_text(MATRIX + '\n[margins]\n"*" = 5\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_slowdown_of_a_factor_forty_is_found_and_what_cases_detect_is_told(folder, capsys):
    options = ["--suites", "1", "--slowed-suites", "1", "--effects", "latency=40", "--min-time", "0.01", "--json"]
    options += ["--log", "suites.jsonl"]
    assert main(["gate", "selftest", *options]) in (ExitCode.OK, ExitCode.INVALID)
    printed = json.loads(capsys.readouterr().out)
    assert printed["suites"]["trials"] == 1
    (slowed,) = printed["detections"]
    assert (slowed["kind"], slowed["effect"], slowed["found"]["hits"], slowed["found"]["trials"]) == (
        "latency",
        40,
        1,
        1,
    )
    assert {case["case"] for case in printed["cases"]} == {"tiny-fp32-b1-onnxruntime", "tiny-fp32-b4-onnxruntime"}
    baseline, *suites = [json.loads(line) for line in (folder / "suites.jsonl").read_text().splitlines()]
    assert set(baseline["log_medians"]) == {case["case"] for case in printed["cases"]}
    assert [suite["kind"] for suite in suites] == ["", "latency"]
    assert suites[1]["verdicts"][f"{suites[1]['slowed'][0]} latency"] == "REGRESSED"
    assert sorted(path.name for path in folder.iterdir()) == ["images.npz", "matrix.toml", "suites.jsonl", "tiny.onnx"]


def test_an_unchanged_suite_that_fails_says_that_verdicts_here_cannot_be_relied_on(folder, tmp_path, capsys):
    """The stored baseline claims two nanoseconds: the unchanged network regresses, by a fault of the gate."""
    machine = fingerprint_of("onnxruntime", BackendSettings())
    cases = {f"tiny-fp32-b{size}-onnxruntime": (-20.0, -20.0001, -19.9999) for size in (1, 4)}
    BaselineStore(tmp_path / "baselines").write(stored(cases, machine=machine))
    options = ["--suites", "1", "--effects", "", "--min-time", "0.01", "--baselines", "baselines"]
    assert main(["gate", "selftest", *options]) == ExitCode.INVALID
    assert "false alarm: tiny-fp32-b1-onnxruntime latency: REGRESSED" in capsys.readouterr().out


def test_unchanged_and_slowed_suites_take_turns_over_the_whole_time():
    plan = SelfTestPlan(suites=4, effects=(("latency", 0.02), ("tail", 1.0)), slowed_suites=2)
    kinds = [kind for kind, _, _ in plan.schedule()]
    assert kinds == ["", "", "latency", "tail", "", "", "latency", "tail"]


def test_no_suite_is_begun_that_would_end_after_the_time(folder, capsys):
    options = ["--suites", "50", "--slowed-suites", "1", "--effects", "latency=40", "--min-time", "0.01"]
    assert main(["gate", "selftest", *options, "--time-budget", "0.001", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["suites"]["trials"] == 0
    assert "the time limit is reached" in captured.err


@pytest.mark.parametrize(
    "options, said",
    [
        (["--effects", "speed=1"], "cannot be injected"),
        (["--effects", "accuracy=0.1"], "cannot be injected"),
        (["--effects", "latency"], "KIND=SHARE"),
        (["--suites", "0"], "must be above 0"),
        (["--model", "tini"], "did you mean"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(folder, options, said, capsys):
    assert main(["gate", "selftest", *options]) == 2
    assert said in capsys.readouterr().err
