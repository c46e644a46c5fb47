"""Starts a fresh process for a job and reads its result; errors where it refuses, fails, dies or hangs."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextvars import copy_context
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import BackendUnavailable, MeasurementError
from inferkit.measure.accuracy.top_k import Accuracy, AccuracySpec
from inferkit.measure.engine.engine_file import EngineSpec
from inferkit.measure.engine.prepared_network import Recipe
from inferkit.measure.jobs.interpreter import Interpreter, this_interpreter
from inferkit.measure.jobs.older import is_older, older_job
from inferkit.measure.latency.replicate import Replicate, ReplicateSpec
from inferkit.progress import is_heard, tell

PROCESS = "inferkit.measure.jobs.process"
# Seconds after which a process that has not answered is ended.
_SHORT, LONG = 900.0, 3600.0
_LAST_LINES = 12
TELLING = ("prepare", "build")  # the kinds of job that say how far they are
_running: set[subprocess.Popen[bytes]] = set()


def prepare_network(recipe: Recipe, folder: Path, *, by: Interpreter | None = None) -> dict[str, Any]:
    """Make a network ready in a process of its own; returns what is known of it. See `run_job` for the errors."""
    job = {"recipe": _stated(recipe), "folder": str(folder)}
    # Calibrating a large network takes a quarter of an hour on few cores.
    return run_job("prepare", job, f"{recipe.name} at {recipe.precision}", timeout=LONG, by=by)[0]


def build_engine_file(spec: EngineSpec, folder: Path, name: str, *, by: Interpreter | None = None) -> str:
    """Build an engine that is a file, in a process of its own; returns its path. See `run_job` for the errors."""
    job = {"engine": _stated(spec), "folder": str(folder)}
    return str(run_job("build", job, name, timeout=LONG, by=by)[0]["file"])


def run_replicate(spec: ReplicateSpec, name: str, *, by: Interpreter | None = None) -> Replicate:
    """One replicate in a fresh process. See `run_job` for the errors."""
    job = _stated(replace(spec, spawned=time.monotonic()))
    return replicate_of(*run_job("latency", job, name, timeout=_SHORT, by=by), name)


def replicate_of(facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], name: str) -> Replicate:
    """A replicate from what a process left. MeasurementError where another version reports too little."""
    names = {field.name for field in fields(Replicate)}
    values = {key: value for key, value in facts.items() if key in names}
    missing = [field.name for field in fields(Replicate) if _needed(field) and field.name not in values]
    if missing or "trace" not in arrays:
        raise MeasurementError(f"{name}: its inferkit does not report {', '.join(missing or ['its times'])}")
    return Replicate(trace=arrays["trace"], **{**values, "invalid": tuple(values.get("invalid", ()))})


def _needed(field: Any) -> bool:
    return field.default is MISSING and field.default_factory is MISSING and field.name != "trace"


def _stated(spec: Any) -> dict[str, Any]:
    """A spec without what it leaves at its default: an older commit need not know every option that there is now."""
    defaults = {f.name: f.default if f.default_factory is MISSING else f.default_factory() for f in fields(spec)}
    values = {key: getattr(spec, key) for key in defaults}
    return {
        key: _stated(value) if is_dataclass(value) else value for key, value in values.items() if value != defaults[key]
    }


def run_accuracy(spec: AccuracySpec, name: str, *, by: Interpreter | None = None) -> Accuracy:
    """Top-1 and top-5 over a dataset, in a process of its own. See `run_job` for the errors."""
    facts, arrays = run_job("accuracy", _stated(spec), name, timeout=LONG, by=by)
    return Accuracy(**cast(dict[str, Any], arrays), **facts)


def run_job(
    kind: str,
    spec: Mapping[str, Any],
    name: str,
    *,
    timeout: float,
    by: Interpreter | None = None,
    module: str = PROCESS,
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Run one job in a fresh Python (`by`: another) and return its facts and arrays. `name` stands in the messages.

    `module` is what is run; it takes jobs as inferkit.measure.jobs.process does.

    Raises BackendUnavailable where the backend said so, MeasurementError where the job failed, the process died (with
    the signal and its last words) or took more than `timeout` seconds. An interrupt ends the process too.
    """
    by = by or this_interpreter()
    if module == PROCESS and is_older(by):
        module, spec = older_job(spec)
    with tempfile.TemporaryDirectory(prefix="inferkit-job-") as folder:
        output, log = Path(folder, "result.npz"), Path(folder, "log.txt")
        job = {"kind": kind, "output": str(output), "spec": spec}
        with log.open("wb") as words, _followed(kind) as pipe:
            code = _run(module, job if pipe is None else {**job, "progress": pipe}, words, timeout, by)
        last = last_words(log)
        if code is None:
            raise MeasurementError(f"{name}: the {kind} process was ended after {timeout:g} s without a result{last}")
        if not output.exists():
            raise MeasurementError(f"{name}: the {kind} process {_how_it_ended(code)}{last}")
        with np.load(io.BytesIO(output.read_bytes()), allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    outcome = json.loads(arrays.pop("outcome").tobytes())
    if outcome["status"] == "unsupported":
        # Version 0.1.0 called the hint so.
        raise BackendUnavailable(outcome["reason"], outcome.get("hint") or outcome.get("way_out", ""))
    if outcome["status"] == "failed":
        raise MeasurementError(f"{name}: {outcome['reason']}")
    return outcome["facts"], arrays


@contextlib.contextmanager
def _followed(kind: str) -> Iterator[int | None]:
    """The end of a pipe into which a process says how far it is, told on to who listens here.

    None where nobody does, and for every kind of job that is timed: who reads meanwhile would disturb it.
    """
    if kind not in TELLING or not is_heard():
        yield None
        return
    reading, writing = os.pipe()
    context = copy_context()

    def follow() -> None:
        with open(reading, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                with contextlib.suppress(ValueError, TypeError):  # cut by a process that was killed
                    context.run(tell, *json.loads(line))

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield writing
    finally:
        os.close(writing)
        follower.join(timeout=1)


def _run(module: str, job: Mapping[str, Any], words: Any, timeout: float, by: Interpreter) -> int | None:
    """The exit code, None where the time ran out. The process never outlives this call.

    The time is kept by a thread: to wait with a timeout is to look every 50 ms, which on the average costs half of that
    for each process, and wakes this one up beside what is measured.
    """
    ran_out = threading.Event()
    command = [by.python, "-P", "-m", module]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=words,
        stderr=subprocess.STDOUT,
        env=by.variables(),
        pass_fds=[job["progress"]] if "progress" in job else [],
    ) as process:

        def end() -> None:
            ran_out.set()
            process.kill()

        timer = threading.Timer(timeout, end)
        timer.daemon = True
        timer.start()
        _running.add(process)
        try:
            process.communicate(json.dumps(job).encode())
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()
            _running.discard(process)
        return None if ran_out.is_set() else process.returncode


def end_jobs() -> None:
    """End the processes of all jobs under way; who waits for one in another thread gets its MeasurementError."""
    for process in list(_running):
        process.kill()


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (out of memory?)" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"


def last_words(log: Path) -> str:
    """The last lines that a process wrote, for the end of an error's message; empty where it wrote none."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return ":\n  " + "\n  ".join(lines[-_LAST_LINES:]) if lines else ""
