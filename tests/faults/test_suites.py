"""A whole suite that is killed, interrupted twice, beside another, or with its cache, clock or memory against it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from inferkit.gate.history.store import History
from tests.suite.tiny_project import MATRIX, Project, Run, store_baseline

B1, B4 = "test_latency[tiny-fp32-b1-onnxruntime]", "test_latency[tiny-fp32-b4-onnxruntime]"
ACCURACY = "test_accuracy[tiny-fp32-onnxruntime]"
QUICK = ("--replicates=1", "--min-time=0.01", "--benchmark-json=run.json", "--report=run.html", "--history=h.duckdb")


def started(project: Project, *args: str, **environment: str) -> subprocess.Popen[str]:
    """The suite, running."""
    return subprocess.Popen(
        project.command(*args),
        cwd=project.folder,
        env=project.environment(PYTHONUNBUFFERED="1", **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read_until(process: subprocess.Popen[str], marker: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if marker in line:
            return
    raise AssertionError(f"the suite ended before {marker!r}")


def stored_baseline(project: Project) -> tuple[Path, bytes]:
    """A committed baseline of this machine, and its bytes."""
    logs = {f"tiny-fp32-b{batch}-onnxruntime": (0.0, 0.01, -0.01) for batch in (1, 4)}
    path = store_baseline(project.folder / "baselines", logs)
    return path, path.read_bytes()


def remembered(project: Project) -> int:
    """How many runs the history holds."""
    history = History(project.folder / "h.duckdb")
    return len(history.runs()) if history.path.exists() else 0


def ended(processes: list[psutil.Process]) -> bool:
    """Whether all of them are gone."""
    _, alive = psutil.wait_procs(processes, timeout=20)
    return all(process.status() == psutil.STATUS_ZOMBIE for process in alive if process.is_running())


@pytest.mark.slow
@pytest.mark.parametrize("marker", ["preparing", "b1-onnxruntime, replicate 1", "accuracy", "bench/test_accuracy.py"])
def test_a_suite_that_is_killed_loses_nothing_and_the_next_one_works(project: Project, marker: str) -> None:
    path, committed = stored_baseline(project)
    assert project.run(*QUICK).code in (0, 1)
    before = {name: (project.folder / name).read_bytes() for name in ("run.json", "run.traces.npz", "run.html")}
    process = started(project, *QUICK)
    read_until(process, marker)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    assert ended(children)
    assert path.read_bytes() == committed
    assert {name: (project.folder / name).read_bytes() for name in before} == before
    assert remembered(project) == 1
    run = project.run(*QUICK)
    assert run.code in (0, 1), run.text
    assert run.verdict(ACCURACY) == "PASS"
    assert remembered(project) == 2


def test_ctrl_c_twice_ends_it_as_cleanly_as_once(project: Project) -> None:
    path, committed = stored_baseline(project)
    (project.folder / "run.json").write_text("the run before")
    process = started(project, *QUICK, "--min-time=30")
    read_until(process, "replicate 1")
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    assert process.returncode in (2, -signal.SIGINT, 130), text
    assert ended(children)
    assert path.read_bytes() == committed
    assert (project.folder / "run.json").read_text() == "the run before"
    assert remembered(project) == 0


@pytest.mark.slow
def test_two_suites_at_once_share_cache_and_history(project: Project, tmp_path: Path) -> None:
    stored_baseline(project)
    other = [word.replace("run.", "other.") for word in QUICK]
    pair = [started(project, *words, INFERKIT_CACHE=str(tmp_path / "cache")) for words in (QUICK, other)]
    for process in pair:
        text, _ = process.communicate(timeout=300)
        assert process.returncode in (0, 1), text
    assert remembered(project) == 2
    for name in ("run.json", "other.json"):
        content = json.loads((project.folder / name).read_text())
        assert len(content["inferkit"]["cases"]) == 2


# Done by the program itself before it becomes another: a fork that runs Python may abort where gRPC has threads.
BECOME = "; import os, sys; os.execv(sys.argv[1], sys.argv[1:])"
# What keeps root from being stopped by a read-only folder is given up, for good:
# PR_CAPBSET_DROP (24) of CAP_DAC_OVERRIDE (1) and CAP_DAC_READ_SEARCH (2).
WITHOUT_OVERRIDE = "import ctypes; [ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) for capability in (1, 2)]"


def after(first: str, command: list[str]) -> list[str]:
    """A command that runs `first`, Python statements, and then becomes `command`."""
    return [sys.executable, "-c", first + BECOME, *command]


def test_a_cache_that_is_read_only_is_told_and_stops_nothing(project: Project, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o555)
    done = subprocess.run(
        after(WITHOUT_OVERRIDE, project.command(*QUICK[:-1], f"--history={cache / 'history.duckdb'}")),
        cwd=project.folder,
        env=project.environment(INFERKIT_CACHE=str(cache)),
        capture_output=True,
        text=True,
        timeout=300,
    )
    run = Run(done.returncode, done.stdout + done.stderr, project.folder)
    assert run.code == 0, run.text
    assert run.verdict(ACCURACY) == "PASS"
    assert "ERROR: the run was not added to the history" in run.text
    assert str(cache) in run.text
    assert not list(cache.iterdir())
    warm = "import sys, inferkit; inferkit.build(inferkit.load(sys.argv[1]), 'onnxruntime', warm_start=True)"
    done = subprocess.run(
        after(WITHOUT_OVERRIDE, [sys.executable, "-c", warm, str(project.folder / "bench" / "tiny.onnx")]),
        env=project.environment(INFERKIT_CACHE=str(cache)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "cannot be stored" in done.stderr


# Python's wall clocks, an hour earlier at each look; every Python that starts with this on its path has it.
BACKWARDS = """
import os, time
_real, _looks = time.time, [0]
def _earlier():
    _looks[0] += 1
    return _real() - 3600 * _looks[0]
time.time = _earlier
time.time_ns = lambda: int(_earlier() * 1e9)
open(os.path.join(os.path.dirname(__file__), f"started-{os.getpid()}"), "w").close()
"""


def test_a_clock_that_steps_back_changes_no_time_and_no_verdict(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "clock"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BACKWARDS)
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    run = project.run(*QUICK, PYTHONPATH=path)
    assert run.code == 0, run.text
    assert len(list(folder.glob("started-*"))) > 3  # the suite's own processes had it too
    for case in run.json["inferkit"]["cases"].values():
        for replicate in case["replicates"]:
            assert replicate["host"]["seconds"] > 0
        assert 0 < case["centre"] < 1
    assert remembered(project) == 1


HUNGRY = """
[[networks]]
name = "hungry"
model = "hungry.onnx"
dataset = "images.npz"
batch_sizes = [1]
accuracy = false
"""
LESS_MEMORY = "import resource; resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))"


def hungry_model() -> onnx.ModelProto:
    """A network that asks for 64 GB while it runs."""
    shape = numpy_helper.from_array(np.array([1 << 34], "int64"), "shape")
    nodes = [
        helper.make_node("ReduceSum", ["data"], ["sum"], keepdims=0),
        helper.make_node("Expand", ["sum", "shape"], ["wide"]),
        helper.make_node("ReduceMax", ["wide"], ["one"], keepdims=1),
        helper.make_node("Reshape", ["one", "column"], ["prob"]),
    ]
    column = numpy_helper.from_array(np.array([-1, 1], "int64"), "column")
    graph = helper.make_graph(
        nodes,
        "hungry",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("prob", TensorProto.FLOAT, ["N", 1])],
        [shape, column],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_case_that_runs_out_of_memory_fails_alone(project: Project) -> None:
    project.matrix(MATRIX + HUNGRY)
    onnx.save(hungry_model(), str(project.folder / "bench" / "hungry.onnx"))
    done = subprocess.run(
        after(LESS_MEMORY, project.command("--replicates=1", "--min-time=0.01", "--no-history")),
        cwd=project.folder,
        env=project.environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    run = Run(done.returncode, done.stdout + done.stderr, project.folder)
    assert run.code == 1, run.text
    failure = run.tests["test_latency[hungry-fp32-b1-onnxruntime]"].find("failure")
    assert failure is not None
    assert "memory" in str(failure.get("message")).lower() or "alloc" in str(failure.get("message")).lower()
    assert run.verdict(B1) == "NO_BASELINE"
    assert run.verdict(B4) == "NO_BASELINE"
    assert run.verdict(ACCURACY) == "PASS"
