"""What goes wrong in a run of the suite: one case's fault is told with its reason, the others go on."""

import json
import re
import signal
import subprocess
import time

import onnx
import psutil
import pytest
from onnx import helper

from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.files.run_file import read_run
from inferkit.gate.history.summary import summary_of
from inferkit.gate.promotion import plan_promotion
from tests.suite.tiny_project import MATRIX, Run, make_project, store_baseline, tiny_model

B1, B4 = "test_latency[tiny-fp32-b1-onnxruntime]", "test_latency[tiny-fp32-b4-onnxruntime]"
ACCURACY = "test_accuracy[tiny-fp32-onnxruntime]"


def started(project, marker, *args):
    """A running suite whose log has come to `marker`, and the measuring process that it then has."""
    process = subprocess.Popen(
        project.command(*args),
        cwd=project.folder,
        env=project.environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for line in process.stdout:
        if marker in line:
            break
    end = time.monotonic() + 60
    while time.monotonic() < end:
        children = psutil.Process(process.pid).children()
        if children:
            return process, children[0]
    raise AssertionError("no measuring process appeared")


def test_ctrl_c_leaves_no_file_half_written_and_no_process(project):
    (project.folder / "run.json").write_text("the run before")
    before = {path.name for path in project.folder.iterdir()}
    process, worker = started(project, "replicate 1", "--min-time=30", "--benchmark-json=run.json")
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert (project.folder / "run.json").read_text() == "the run before"
    assert "run.json is not written: the run was interrupted" in text
    assert {path.name for path in project.folder.iterdir()} - before <= {"junit.xml", ".benchmarks"}
    psutil.wait_procs([worker], timeout=10)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE


def test_a_process_killed_in_mid_case_fails_that_case_only(project):
    process, worker = started(project, "tiny-fp32-b1-onnxruntime, replicate 1", "--min-time=3", "--replicates=1")
    worker.kill()
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    run = Run(process.returncode, text, project.folder)
    failure = run.tests[B1].find("failure").get("message")
    assert "not measured: the latency process was killed by SIGKILL" in failure
    assert run.verdict(B1) == "FAILED"
    assert run.verdict(B4) == "NO_BASELINE"
    assert run.verdict(ACCURACY) == "PASS"


FAULTY = (
    MATRIX
    + """
[[networks]]
name = "odd"
model = "odd.onnx"
dataset = "images.npz"
[[networks]]
name = "nan"
model = "nan.onnx"
dataset = "images.npz"
[[networks]]
name = "reduced"
model = "tiny.onnx"
dataset = "images.npz"
precisions = ["int8"]
[[networks]]
name = "elsewhere"
model = "tiny.onnx"
dataset = "images.npz"
backends = ["tensorrt"]
"""
)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory, tiny_files):
    """One run in which much goes wrong, over a baseline that has a case too many."""
    project = make_project(tmp_path_factory.mktemp("faults") / "project", tiny_files)
    project.matrix(FAULTY)
    onnx.save(nan_model(), str(project.folder / "bench" / "nan.onnx"))
    onnx.save(odd_model(), str(project.folder / "bench" / "odd.onnx"))
    stored(project, ["tiny-fp32-b1-onnxruntime", "tiny-fp32-b2-onnxruntime"])
    files = ("--benchmark-json=run.json", "--verdict-json=verdicts.json", "--report=run.html", "--github")
    return project, project.run("--replicates=1", "--min-time=0.001", *files, CUDA_VISIBLE_DEVICES="")


def nan_model():
    """The tiny network with an output that is infinity minus infinity."""
    model = tiny_model()
    model.graph.node[-1].output[0] = "fine"
    zero = helper.make_node("Constant", [], ["zero"], value_float=0.0)
    model.graph.node.extend([zero, helper.make_node("Div", ["fine", "zero"], ["inf"])])
    model.graph.node.append(helper.make_node("Sub", ["inf", "inf"], ["prob"]))
    return model


def odd_model():
    """The tiny network with a last layer that ONNX Runtime does not have."""
    model = tiny_model()
    model.graph.node[-1].op_type, model.graph.node[-1].domain = "Wobble", "example.ops"
    del model.graph.node[-1].attribute[:]
    model.opset_import.append(helper.make_opsetid("example.ops", 1))
    return model


def stored(project, cases):
    """A baseline of this machine that says a second for every case."""
    return store_baseline(project.folder / "baselines", {case: [0.0] for case in cases})


def test_a_model_that_cannot_be_built_fails_its_cases_with_the_reason(faulty):
    _, run = faulty
    assert run.code == 1
    failure = run.tests["test_latency[odd-fp32-b1-onnxruntime]"].find("failure").get("message")
    assert "example.ops:Wobble" in failure
    assert "Traceback" not in failure


@pytest.mark.parametrize(
    ("case", "metric"), [("odd-fp32-b1-onnxruntime", "latency"), ("odd-fp32-onnxruntime", "top-1")]
)
def test_a_case_that_failed_has_its_outcome_in_every_file_and_is_told_once(faulty, case, metric):
    project, run = faulty
    written = json.loads((project.folder / "verdicts.json").read_text())
    for outcomes in (run.json["inferkit"]["outcomes"], written["outcomes"]):
        (outcome,) = [each for each in outcomes if each["case"] == case]
        assert (outcome["metric"], outcome["verdict"]) == (metric, "FAILED")
        assert "example.ops:Wobble" in outcome["reason"]
    assert [test["verdict"] for test in written["tests"] if test["case"] == case] == ["FAILED"]
    (row,) = re.findall(f'data-case="case-{case}" data-verdict="([A-Z]+)"', (project.folder / "run.html").read_text())
    assert row == "FAILED"
    assert run.text.count(f"::error title=FAILED {case}::") == 1
    kept = read_run(project.folder / "run.json")
    assert "example.ops:Wobble" in kept.failures[case]
    assert case not in {point.measured.case for point in summary_of(kept).points}


def test_a_failure_is_shown_once_with_its_cause_and_never_as_a_traceback(faulty):
    _, run = faulty
    assert "= FAILURES =" not in run.text
    assert "Traceback" not in run.text
    shown = [line for line in run.text.splitlines() if "Wobble" in line and not line.startswith("::error")]
    table = [line for line in shown if line.startswith("odd-")]
    below = [line for line in shown if line.startswith("FAILED 2 cases (odd-")]
    summary = [line for line in shown if line.startswith("FAILED bench/")]  # pytest's own; cut where no CI is
    assert (len(table), len(below)) == (2, 1)
    assert shown == [*table, *below, *summary]


def test_what_the_test_itself_finds_wrong_is_shown_by_pytest(project):
    test = "def test_accuracy(inferkit_accuracy):\n    inferkit_accuracy.check()\n    assert 1 == 2, 'of my own'\n"
    (project.folder / "bench" / "test_accuracy.py").write_text(test)
    run = project.run("bench/test_accuracy.py", "-k", "accuracy")
    assert run.code == 1
    assert "= FAILURES =" in run.text
    assert "of my own" in run.text


def test_a_network_that_computes_nan_fails_its_accuracy(faulty):
    _, run = faulty
    assert run.verdict("test_accuracy[nan-fp32-onnxruntime]") == "REGRESSED"
    assert "120 outputs of 120 are not finite numbers" in run.text


def test_a_reduced_precision_is_paired_with_fp32_image_by_image(faulty):
    _, run = faulty
    name = "test_accuracy[reduced-int8-onnxruntime]"
    # 120 images cannot show that less than half a point is lost, however few changed.
    assert run.verdict(name) in ("INCONCLUSIVE", "REGRESSED")
    assert "gained of 120" in next(
        p.get("value") for p in run.tests[name].iter("property") if p.get("name") != "verdict"
    )


def test_a_backend_that_is_not_there_is_one_line(faulty):
    _, run = faulty
    lines = [line for line in run.text.splitlines() if line.startswith("UNSUPPORTED")]
    if not lines:
        pytest.skip("this machine runs TensorRT")
    assert len(lines) == 1
    assert "2 cases (elsewhere-fp32-tensorrt to elsewhere-fp32-b1-tensorrt)" in lines[0]
    assert run.tests["test_latency[elsewhere-fp32-b1-tensorrt]"].find("skipped") is not None


def test_a_case_that_vanished_from_the_matrix_is_missing_and_fails(faulty):
    _, run = faulty
    name = "test_latency[tiny-fp32-b2-onnxruntime]"
    assert run.verdict(name) == "MISSING"
    assert "no matrix of this run declares it" in run.tests[name].find("failure").get("message")


def test_a_case_that_vanished_is_missing_in_every_file_and_neither_promoted_nor_remembered(faulty):
    project, run = faulty
    case = "tiny-fp32-b2-onnxruntime"
    for written in (run.json["inferkit"], json.loads((project.folder / "verdicts.json").read_text())):
        assert [o["verdict"] for o in written["outcomes"] if o["case"] == case] == ["MISSING"]
    assert case in (project.folder / "run.html").read_text()
    assert f"::error title=MISSING {case}::" in run.text
    kept = read_run(project.folder / "run.json")
    (promotion,) = plan_promotion(kept, BaselineStore(project.folder / "baselines"), accept_busy_host=True)
    assert promotion.removed == (case,)
    assert case not in promotion.head.cases
    assert case not in {outcome.case for outcome in promotion.refused}
    assert case not in {point.measured.case for point in summary_of(kept).points}


def test_the_verdict_json_tells_the_tests_in_the_order_they_ran(faulty):
    project, run = faulty
    tests = json.loads((project.folder / "verdicts.json").read_text())["tests"]
    assert [test["test"].rpartition("::")[2] for test in tests] == list(run.tests)


def test_the_other_cases_go_on(faulty):
    _, run = faulty
    assert run.verdict(B1) == "IMPROVED"
    assert run.tests[B1].find("failure") is None
    assert run.verdict(B4) == "NO_BASELINE"
    assert run.verdict(ACCURACY) == "PASS"


@pytest.mark.slow
def test_a_narrowed_run_misses_nothing(faulty):
    project, _ = faulty
    run = project.run("--model=tiny", "--collect-only", "-q")
    assert "tiny-fp32-b4" in run.text
    assert "tiny-fp32-b2" not in run.text


def test_a_run_in_which_nothing_can_be_measured_is_not_green(faulty):
    project, run = faulty
    if "UNSUPPORTED" not in run.text:
        pytest.skip("this machine runs TensorRT")
    nothing = project.run("--backend=tensorrt", CUDA_VISIBLE_DEVICES="")
    assert nothing.code == 12


def test_a_json_that_cannot_be_written_is_told_before_anything_is_measured(project):
    (project.folder / "file").write_text("")
    run = project.run("--benchmark-json=file/run.json")
    assert run.code == 4
    assert "--benchmark-json file/run.json cannot be written there" in run.text
    assert "replicate" not in run.text


@pytest.mark.slow
def test_a_disk_that_fills_up_while_measuring_costs_the_file_and_not_the_table(project):
    (project.folder / "conftest.py").write_text(
        "import pathlib\n"
        "def pytest_runtest_logfinish(nodeid, location):\n"
        "    folder = pathlib.Path('results')\n"
        "    folder.write_text('a file where the folder was to be')\n"
    )
    run = project.run("--replicates=1", "--batch-size=1", "--benchmark-json=results/run.json")
    assert run.code == 3
    assert "ERROR: results/run.json could not be written" in run.text
    assert "NO_BASELINE" in run.text


@pytest.mark.slow
def test_the_suite_stays_within_its_time_budget(project):
    run = project.run("--time-budget=0.5", "--replicates=1", "--min-time=60", "--benchmark-json=run.json")
    assert run.code == 0, run.text
    case = json.loads((project.folder / "run.json").read_text())["inferkit"]["cases"]["tiny-fp32-b1-onnxruntime"]
    assert case["replicates"][0]["host"]["seconds"] < 5
