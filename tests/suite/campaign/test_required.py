"""What a matrix requires of a runner, and what a project is strict about: nothing of it is lost in silence."""

import json

import pytest

from inferkit.gate.files.baseline import BaselineStore, read_baseline
from tests.suite.tiny_project import MATRIX, store_baseline

pytestmark = pytest.mark.slow  # each a run of pytest in a process of its own

CASES = ("tiny-fp32-b1-onnxruntime", "tiny-fp32-b4-onnxruntime")
SLOW = (0.0, 0.01, -0.01)  # logarithms of a second: nothing here takes as long


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def required(project, text):
    project.matrix(MATRIX + "[require]\n" + text)
    return project.run()


@pytest.mark.parametrize(
    "text, said",
    [
        ('backends = ["caffe"]', "[require] backends: no case of the matrix has 'caffe'"),
        ('gpus = ["NVIDIA H200"]', "[require] gpus: no GPU of NVIDIA H200: this machine has none ("),
        ("baselines = true", f"[require] baselines: {', '.join(CASES)}: no baseline of this machine in baselines/"),
        ('baselines = ["tiny-*-b4-*"]', f"[require] baselines: {CASES[1]}: no baseline of this machine"),
        ('precisions = ["int8"]', "[require] precisions: no case of the matrix has 'int8'"),
        ('gpu = ["A10"]', "[require] gpu: is not known here; did you mean 'gpus'?"),
        ('baselines = "all"', "[require] baselines: must be true, or a list of patterns"),
    ],
)
def test_what_is_missing_is_told_before_anything_is_measured(project, text, said):
    run = required(project, text)
    assert run.code == 2
    assert said in run.text
    assert "replicate" not in run.text
    assert "1 problem" in run.text or "is not known" in run.text or "must be true" in run.text or "no case" in run.text


def test_a_backend_and_a_precision_that_cannot_run_here_are_told_with_the_reason(project):
    project.matrix(
        MATRIX.replace("batch_sizes = [1, 4]", 'batch_sizes = [1]\nbackends = ["onnxruntime", "tensorrt"]')
        + 'precisions = ["fp32", "fp8"]\n[require]\nbackends = ["tensorrt"]\nprecisions = ["fp8"]\n'
    )
    run = project.run()
    assert run.code == 2
    assert "[require] backends: tensorrt cannot run here: " in run.text
    assert "[require] precisions: fp8 is UNSUPPORTED in tiny-fp8-" in run.text
    assert "2 problems" in run.text or "3 problems" in run.text
    narrowed = project.run("--backend=onnxruntime", "--precision=fp32", "--benchmark-disable")
    assert narrowed.code == 0, narrowed.text


def test_a_run_that_is_to_become_the_baseline_needs_none(project):
    strict = MATRIX.replace("[suite]", '[suite]\nstrict = ["no_baseline"]')
    project.matrix(strict + "[require]\nbaselines = true\n")
    run = project.run("--for-baseline", "-k", "b1", "--benchmark-json=run.json")
    assert run.code == 0, run.text
    assert run.verdict("test_latency[tiny-fp32-b1-onnxruntime]") == "NO_BASELINE"


@pytest.mark.parametrize(
    "words", ["--inferkit-strict", "--inferkit-strict=no_baseline", "--inferkit-strict=NO-BASELINE"]
)
def test_a_case_without_a_baseline_fails_where_the_project_is_strict_about_it(project, words):
    run = project.run(words, "-k", "latency and b1")
    assert run.code == 1
    (failure,) = run.tests[f"test_latency[{CASES[0]}]"].iter("failure")
    assert "NO_BASELINE" in failure.get("message", "")
    assert "1 failed" in run.text


def test_each_word_is_of_its_own_verdict_only(project):
    run = project.run("--inferkit-strict=invalid,inconclusive,unsupported", "-k", "latency and b1")
    assert run.code == 0, run.text


def test_the_matrix_can_be_strict_too(project):
    project.matrix(MATRIX.replace("[suite]", '[suite]\nstrict = ["no_baseline"]'))
    assert project.run("-k", "latency and b1").code == 1


def test_a_word_that_is_none_is_refused(project):
    run = project.run("--inferkit-strict=slow")
    assert run.code == 4
    assert "'slow' is none of no_baseline, unsupported, invalid, inconclusive, all" in run.text


def test_tests_named_after_the_option_are_still_tests(project):
    done = project.run("--inferkit-strict", "bench/test_latency.py", "-k", "b1")
    assert done.code == 1
    assert "1 failed" in done.text


@pytest.fixture
def near(project):
    """A project whose only baseline is of another version of ONNX Runtime."""
    path = store_baseline(project.folder / "baselines", dict.fromkeys(CASES, SLOW))
    content = json.loads(path.read_text())
    content["fingerprint"]["version"] = "0.9"
    other = read_of(content, path)
    path.unlink()
    BaselineStore(project.folder / "baselines").write(other)
    return project


def read_of(content, path):
    changed = path.with_name("changed.json")
    changed.write_text(json.dumps(content))
    baseline = read_baseline(changed)
    changed.unlink()
    return baseline


def test_another_library_is_said_first_and_the_nearest_baseline_is_a_screen(near):
    run = near.run("-k", "latency", "--benchmark-json=run.json")
    assert run.code == 0, run.text
    section = [line for line in run.text.partition("= inferkit =")[2].splitlines() if line]
    assert "is of version 0.9; this machine has version " in section[1], run.text
    for case in CASES:
        assert run.verdict(f"test_latency[{case}]") == "SCREENED"
    assert "2 screened" in run.text
    latencies = [each for each in run.json["inferkit"]["outcomes"] if each["metric"] == "latency"]
    assert {each["verdict"] for each in latencies} == {"SCREENED"}
    assert all(each["change"] < -0.5 and "is of version 0.9" in each["reason"] for each in latencies)
    assert any("is of version 0.9" in remark for remark in run.json["inferkit"]["remarks"])


def test_a_screen_is_no_baseline_where_one_is_required(near):
    assert near.run("-k", "latency and b1", "--inferkit-strict=no_baseline").code == 1
    near.matrix(MATRIX + "[require]\nbaselines = true\n")
    assert near.run().code == 2
