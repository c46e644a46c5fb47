"""The fresh process: `python -m inferkit.measure.jobs.process` takes one job as JSON on stdin and leaves one NPZ file.

A job is {"kind": "prepare" | "build" | "latency" | "accuracy", "output": path, "spec": {…}}. The file holds `outcome`
(JSON: status ok, unsupported or failed, with the reason) and the arrays of the job. It is written whole or not at all,
so a process that was killed leaves nothing to misread.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import BackendUnavailable, InferkitError
from inferkit.files import write_atomically
from inferkit.progress import listening

Arrays = dict[str, NDArray[Any]]
Job = Callable[[Mapping[str, Any]], tuple[dict[str, Any], Arrays]]
_PR_SET_PDEATHSIG = 1
_TELL_SECONDS = 0.25
_FRAMES = 4


def main(kinds: Mapping[str, Job] | None = None) -> int:
    """Do the job on stdin, one of these kinds. Exit code 0 wherever the outcome could be written, `failed` or not."""
    end_with_parent()
    job = json.load(sys.stdin)
    try:
        with _telling(job.get("progress")):
            facts, arrays = (kinds or _KINDS)[job["kind"]](job["spec"])
        outcome: dict[str, Any] = {"status": "ok", "facts": facts}
    except BackendUnavailable as error:
        outcome, arrays = {"status": "unsupported", "reason": error.reason, "hint": error.hint}, {}
    except InferkitError as error:
        outcome, arrays = {"status": "failed", "kind": type(error).__name__, "reason": str(error)}, {}
    except MemoryError:
        outcome, arrays = {"status": "failed", "kind": "MemoryError", "reason": "out of memory"}, {}
    except Exception as error:  # a fault of inferkit or of a library: the cause first, then where it was
        outcome, arrays = {"status": "failed", "kind": type(error).__name__, "reason": _unexpected(error)}, {}
    content = io.BytesIO()
    np.savez(content, outcome=np.frombuffer(json.dumps(outcome, default=str).encode(), np.uint8), **arrays)  # type: ignore[arg-type]
    write_atomically(job["output"], content.getvalue(), durable=False)  # its reader waits for this process
    return 0


def _prepare(spec: Mapping[str, Any]) -> tuple[dict[str, Any], Arrays]:
    from inferkit.measure.engine.prepared_network import Recipe, prepare

    return prepare(Recipe(**spec["recipe"]), Path(spec["folder"])), {}


def _build(spec: Mapping[str, Any]) -> tuple[dict[str, Any], Arrays]:
    from inferkit.measure.engine.engine_file import EngineSpec, build_file

    return build_file(EngineSpec(**spec["engine"]), Path(spec["folder"])), {}


def _latency(spec: Mapping[str, Any]) -> tuple[dict[str, Any], Arrays]:
    from inferkit.measure.latency.replicate import ReplicateSpec, measure_replicate

    replicate = measure_replicate(ReplicateSpec.from_dict(spec))
    return replicate.as_dict(), {"trace": replicate.trace}


def _accuracy(spec: Mapping[str, Any]) -> tuple[dict[str, Any], Arrays]:
    from inferkit.measure.accuracy.top_k import AccuracySpec, evaluate

    accuracy = evaluate(AccuracySpec.from_dict(spec))
    facts: dict[str, Any] = {
        "seconds": accuracy.seconds,
        "elapsed": accuracy.elapsed,
        "not_finite": accuracy.not_finite,
    }
    if accuracy.warning:
        facts["warning"] = accuracy.warning
    return facts, {"predictions": accuracy.predictions, "top1": accuracy.top1, "top5": accuracy.top5}


_KINDS: dict[str, Job] = {
    "prepare": _prepare,
    "build": _build,
    "latency": _latency,
    "accuracy": _accuracy,
}


def _unexpected(error: Exception) -> str:
    """`TypeError: …`, and below it the last frames of the traceback."""
    cause = "".join(traceback.format_exception_only(error)).strip()
    frames = traceback.format_tb(error.__traceback__)[-_FRAMES:]
    return f"{cause}\n{''.join(frames).rstrip()}"


@contextlib.contextmanager
def _telling(pipe: int | None) -> Iterator[None]:
    """Write how far the job is into a pipe as lines of JSON, at most a few in a second."""
    if pipe is None:
        yield
        return
    last = -_TELL_SECONDS

    def write(what: str, done: int, total: int | None) -> None:
        nonlocal last
        now = time.monotonic()
        if done == 0 or done == total or now - last >= _TELL_SECONDS:
            last = now
            with contextlib.suppress(OSError):  # whoever listened is gone
                os.write(pipe, json.dumps([what, done, total]).encode() + b"\n")

    with listening(write):
        yield


def end_with_parent() -> None:
    """Ctrl-C is the parent's to handle, which then ends this process; a killed parent ends it too, where Linux can."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        import ctypes

        parent = os.getppid()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
