"""SIGKILL at any moment, and a disk that fills up: what was there stays, nothing is half there, the next run works."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.gate.run_files import ours, write

ROOT = Path(__file__).resolve().parents[2]
TRAINED = ROOT / "inferkit" / "network" / "zoo" / "trained"
CASES = {"lenet-fp32-b1-onnxruntime": [0.5, 0.51, 0.52]}
# Results whose bytes depend on when or how fast they were made; the job itself reads them back in its second run.
UNSTEADY = {"warm", "plan", "lmdb"}


def start_folder(folder: Path) -> Path:
    """What lies there before the job: its sources, and results of an earlier time."""
    out = folder / "out"
    (out / "batches").mkdir(parents=True)
    for name in ("ranges.npz", "calibration.cache", "batches/batch0", "report.html", "comment.md", "lenet.onnx"):
        (out / name).write_bytes(b"the result of an earlier time" * 50)
    for name in ("lenet.prototxt", "lenet.caffemodel"):
        shutil.copy(TRAINED / name, folder / name)
    write(folder / "run.json", ours(CASES))
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_folder(tmp_path_factory.mktemp("start"))


def tries_of(job: str, work: Path, start: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.moments", job, str(work), str(start)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


WITHOUT_RTX = pytest.mark.skipif(not find_spec("tensorrt_rtx"), reason="TensorRT-RTX is not installed")
JOBS = [
    "promote",
    pytest.param("report", marks=pytest.mark.slow),
    "import",
    "timings",
    "lmdb",
    "warm",
    pytest.param("calibrate", marks=pytest.mark.slow),
    pytest.param("plan", marks=[pytest.mark.slow, WITHOUT_RTX]),
]


@pytest.mark.parametrize("job", JOBS)
def test_whatever_ends_a_job_nothing_is_lost_or_half_there(job: str, tmp_path: Path, start: Path) -> None:
    from tests.faults.moments import visible

    whole, *others = tries_of(job, tmp_path, start)
    assert (whole["code"], whole["again"]) == (0, 0), whole["said"]
    before, after = visible(start), whole["left"]
    assert sum(other["code"] == -signal.SIGKILL for other in others) >= 2  # there was something to interrupt
    assert any(other["code"] == -signal.SIGXFSZ for other in others)
    for other in others:
        how = other["how"]
        assert before.keys() <= other["left"].keys(), f"{how}: lost {before.keys() - other['left'].keys()}"
        if job not in UNSTEADY:
            half = {name for name, digest in other["left"].items() if digest not in (before.get(name), after.get(name))}
            assert not half, f"{how}: half written are {half}"
            assert other["final"] == whole["final"], f"{how}: the next run leaves something else"
        assert other["left"].keys() <= before.keys() | after.keys(), how
        assert other["again"] == 0, f"{how}: the next run fails: {other['said_again']}"
        if other["code"] > 0:  # a full disk, told
            assert "Traceback" not in other["said"], f"{how}: {other['said']}"
            assert "File too large" in other["said"] or "cannot be written" in other["said"], f"{how}: {other['said']}"
