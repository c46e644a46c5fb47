"""`pytest bench` in a project of a user's own: five lines of TOML, one measured run, everything that it leaves."""

import json
import subprocess
import sys

import numpy as np
import pytest

from inferkit.gate.files.run_file import SCHEMA, read_run
from inferkit.report.page.view import view_of
from tests.suite.tiny_project import IMAGES, make_project

LATENCY = "test_latency[tiny-fp32-b1-onnxruntime]"
ACCURACY = "test_accuracy[tiny-fp32-onnxruntime]"


@pytest.fixture(scope="module")
def measured(tmp_path_factory, tiny_files):
    """One run of a fresh project, looked at by many tests."""
    project = make_project(tmp_path_factory.mktemp("suite") / "project", tiny_files)
    run = project.run("--benchmark-json=run.json", "-v")
    return project, run


def test_a_fresh_machine_has_no_baseline_and_does_not_fail(measured):
    _, run = measured
    assert run.code == 0, run.text
    assert "NO_BASELINE" in run.text
    assert run.verdict(LATENCY) == "NO_BASELINE"
    assert run.tests[LATENCY].find("skipped") is not None
    assert "2 no baseline" in run.text.splitlines()[-1]


def test_accuracy_is_judged_without_any_baseline(measured):
    _, run = measured
    assert run.verdict(ACCURACY) == "PASS"
    assert run.tests[ACCURACY].find("skipped") is None
    assert "1 passed" in run.text.splitlines()[-1]


def test_the_table_shows_median_rate_and_verdict(measured):
    _, run = measured
    line = next(line for line in run.text.splitlines() if line.startswith("tiny-fp32-b1-onnxruntime "))
    assert "µs" in line or "ms" in line
    assert "NO_BASELINE" in line
    assert "95.00 %" in run.text
    assert "\x1b[" not in run.text


def test_pytest_benchmark_does_not_show_the_same_times_again(measured):
    _, run = measured
    assert "Name (time in" not in run.text


def test_the_json_is_pytest_benchmarks_own(measured):
    project, run = measured
    names = {bench["name"] for bench in run.json["benchmarks"]}
    assert names == {LATENCY, "test_latency[tiny-fp32-b4-onnxruntime]", ACCURACY}
    command = [sys.executable, "-m", "pytest_benchmark", "compare", "run.json"]
    done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, check=True)
    assert "tiny-fp32-b4-onnxruntime" in done.stdout


def test_the_json_keeps_replicates_fingerprint_and_environment(measured):
    _, run = measured
    ours = run.json["inferkit"]
    case = ours["cases"]["tiny-fp32-b4-onnxruntime"]
    assert ours["schema"] == SCHEMA
    assert len(case["log_medians"]) == 2
    assert list(ours["fingerprints"]) == [case["fingerprint"]]
    assert case["images_per_second"] == pytest.approx(4 / np.exp(np.median(case["log_medians"])))
    assert case["memory"] > 0
    assert case["cold_start"][0] > case["build_seconds"][0] > 0
    assert {"load_before", "stolen", "governor"} <= set(case["replicates"][0]["host"])
    assert ours["declared"][case["fingerprint"]] == ["tiny-fp32-b1-onnxruntime", "tiny-fp32-b4-onnxruntime"]


def test_what_pytest_benchmark_has_are_the_measured_times(measured):
    project, run = measured
    bench = next(bench for bench in run.json["benchmarks"] if bench["name"] == LATENCY)
    with np.load(project.folder / "run.traces.npz") as traces:
        columns = traces["columns"].tolist()
        walls = np.concatenate([traces[f"tiny-fp32-b1-onnxruntime/{n}"][:, columns.index("wall")] for n in (0, 1)])
    assert set(bench["stats"]["data"]) <= set(walls.tolist())
    assert bench["extra_info"]["samples"] == len(walls)


def test_raw_timestamps_are_kept_beside_the_json(measured):
    project, _ = measured
    with np.load(project.folder / "run.traces.npz") as traces:
        columns = traces["columns"].tolist()
        trace = traces["tiny-fp32-b1-onnxruntime/0"]
        assert traces["tiny-fp32-onnxruntime/predictions"].shape == (IMAGES,)
    starts, walls = trace[:, columns.index("start")], trace[:, columns.index("wall")]
    assert np.all(np.diff(starts) > 0)
    assert np.all(starts[1:] - starts[:-1] >= walls[:-1])


def test_the_rounds_of_all_cases_are_interleaved(measured):
    _, run = measured
    steps = [line.split("] ")[1] for line in run.text.splitlines() if ", replicate " in line]
    assert steps == [f"tiny-fp32-b{size}-onnxruntime, replicate {number} of 2" for number in (1, 2) for size in (1, 4)]


def test_a_promoted_baseline_lets_the_next_run_pass_and_a_regression_fails(measured, tmp_path):
    project, _ = measured
    inferkit = [sys.executable, "-m", "inferkit.cli.main"]
    promote = [*inferkit, "baseline", "promote", "run.json"]
    done = subprocess.run(promote, cwd=project.folder, capture_output=True, text=True, check=True)
    (path,) = (project.folder / "baselines").glob("*.json")
    assert path.name in done.stdout
    promoted = json.loads(path.read_text())
    assert set(promoted["cases"]) == {"tiny-fp32-b1-onnxruntime", "tiny-fp32-b4-onnxruntime"}

    # A wide margin, since the noise of the machine that runs the tests must not decide; and one case of the baseline
    # a hundred times faster, so that it is a regression now, and a failing test.
    project.matrix((project.folder / "bench" / "matrix.toml").read_text() + '\n[margins]\n"*" = 9\n')
    faster = promoted["cases"]["tiny-fp32-b1-onnxruntime"]
    faster["log_medians"] = [value - np.log(100) for value in faster["log_medians"]]
    path.write_text(json.dumps(promoted))
    run = project.run("--benchmark-json=worse.json", "--confirm=never")
    assert run.code == 1
    same = "test_latency[tiny-fp32-b4-onnxruntime]"
    assert run.verdict(same) in ("PASS", "INCONCLUSIVE")  # two replicates on a busy machine may not suffice to pass
    assert run.tests[same].find("failure") is None
    assert run.verdict(LATENCY) == "REGRESSED"
    failure = run.tests[LATENCY].find("failure")
    for text in ("tiny-fp32-b1-onnxruntime", "REGRESSED", "margin 900 %", "against 2"):
        assert text in failure.get("message")
    worse = read_run(project.folder / "worse.json")
    assert worse.record["baselines"] == {path.stem: promoted["origin"]}
    date = promoted["origin"]["date"][:16].replace("T", " ")
    assert view_of(worse).against == f"compared with the stored baseline {path.name} ({date})"

    refused = subprocess.run([*inferkit, "baseline", "promote", "worse.json"], cwd=project.folder, capture_output=True)
    assert refused.returncode == 1
    assert b"--accept-regression" in refused.stderr
    assert json.loads(path.read_text()) == promoted
