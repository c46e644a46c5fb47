"""A job run many times over, each time ended at another moment: `python moments.py JOB FOLDER START` (a helper script).

The job runs in forked children of one warm process. A moment is a change to the file system that Python announces
(a file opened for writing, made, renamed, removed; sys.addaudithook): at the k-th one the child is sent SIGKILL, for
k = 1, 2, … until the job comes to its end. Between two such changes only the content of files changes, and there a
limit on the size of files ends it: as SIGXFSZ, which kills in the middle of a write, or as an error, which is what a
full disk is to the writer. After each end the job is run once more, undisturbed.

Prints a JSON list: how each try ended, what was visible in the folder then, what the second run said and left.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink")
LIMITS = (0, 1, 100, 1000, 10_000)  # bytes that a file may have


def command(*words: str) -> int:
    """An inferkit command, as from a shell."""
    from inferkit.cli.main import main

    return main(words)


def told(do: Callable[[], None]) -> int:
    """What has no command, told as commands tell it."""
    from inferkit.errors import InferkitError

    try:
        do()
    except InferkitError as error:
        print(error)
        return 1
    return 0


def calibrate() -> int:
    files = ["--ranges", "out/ranges.npz", "-o", "out/calibration.cache", "--write-batches", "out/batches"]
    return command("calibrate", "lenet", "fashion_mnist", "--images", "8", "--batch-size", "4", *files)


def promote() -> int:
    return command("baseline", "promote", "run.json", "--baseline-dir", "out")


def report() -> int:
    code = command("report", "run.json", "-o", "out/report.html")
    return code or command("compare", "run.json", "run.json", "--markdown", "out/comment.md")


def import_network() -> int:
    return command("import", "lenet.prototxt", "lenet.caffemodel", "-o", "out/lenet.onnx")


def build_warm() -> int:
    """An optimized model stored for the next process, which then starts from it."""
    import numpy as np

    import inferkit

    def build() -> None:
        engine = inferkit.build(inferkit.load("lenet"), backend="onnxruntime", max_batch=2, warm_start=True)
        with engine.session() as session:
            assert session.run(np.zeros((2, 1, 28, 28), np.float32))["prob"].shape == (2, 10)

    return told(build)


def build_plan() -> int:
    return command("build", "lenet", "--max-batch", "2", "-o", "out/lenet.plan")


def write_database() -> int:
    import numpy as np

    from inferkit.data import LmdbDataset, write_lmdb

    def write() -> None:
        if not Path("out/db").exists():
            write_lmdb("out/db", [np.zeros((3, 40, 40), np.uint8)] * 4, range(4))
        with LmdbDataset("out/db") as dataset:
            assert len(dataset) == 4

    return told(write)


def keep_timings() -> int:
    """What tactics took, kept for the next build; that it cannot be is only a warning."""
    import logging

    from inferkit.backends.tensorrt.blobs import BlobCache

    logging.basicConfig()
    BlobCache(Path("out/timings.cache")).update(lambda stored: stored or b"what a tactic took" * 500)
    return 0


JOBS: dict[str, Callable[[], int]] = {
    "calibrate": calibrate,
    "promote": promote,
    "report": report,
    "import": import_network,
    "warm": build_warm,
    "plan": build_plan,
    "timings": keep_timings,
    "lmdb": write_database,
}


def visible(folder: Path) -> dict[str, str]:
    """Digests of the files that a user sees: hidden ones and locks are nobody's result."""
    shown = (path for path in sorted(folder.rglob("*")) if path.is_file())
    named = {str(path.relative_to(folder)): path for path in shown}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in named.items()
        if not any(part.startswith(".") for part in Path(name).parts) and path.suffix != ".lock"
    }


def killed_at(moment: int, folder: str) -> None:
    """From here on count changes below `folder`, and die at the one numbered `moment`."""
    count = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event == "open":
            flags = arguments[2]
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if not writes:
                return
        elif event not in CHANGES:
            return
        if isinstance(arguments[0], str | bytes) and folder in os.path.abspath(os.fsdecode(arguments[0])):
            count += 1
            if count == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def limited(size: int, deadly: bool) -> None:
    """From here on no file may have more than `size` bytes: a write beyond kills, or is an error."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if deadly else signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def in_child(job: Callable[[], int], folder: Path, prepare: Callable[[], None] | None) -> tuple[int, str]:
    """The job in a forked process whose folder is `folder`: exit code (negative: the signal) and what it printed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        code = 70
        try:
            os.chdir(folder)
            os.environ["INFERKIT_CACHE"] = str(folder / "cache")
            if prepare is not None:
                prepare()
            code = job()
        except BaseException as error:
            import traceback

            traceback.print_exc()
            code = 71 if isinstance(error, Exception) else 72
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), said


def tries(job: Callable[[], int], work: Path, start: Path) -> list[dict[str, Any]]:
    """Every way to end the job, and the undisturbed run after each."""
    found = []

    def attempt(how: str, prepare: Callable[[], None] | None, folder: Path) -> int:
        shutil.copytree(start, folder)
        code, said = in_child(job, folder, prepare)
        left = visible(folder)
        again, said_again = in_child(job, folder, None)
        found.append(
            {"how": how, "code": code, "said": said, "left": left}
            | {"again": again, "said_again": said_again, "final": visible(folder)}
        )
        shutil.rmtree(folder)
        return code

    attempt("undisturbed", None, work / "whole")
    for moment in range(1, 200):
        folder = work / f"moment-{moment}"
        arm = functools.partial(killed_at, moment, str(folder))
        if attempt(f"killed at change {moment}", arm, folder) != -signal.SIGKILL:
            found.pop()
            break
    for size in LIMITS:
        attempt(f"killed after {size} bytes", functools.partial(limited, size, True), work / f"deadly-{size}")
        attempt(f"no room for {size} bytes", functools.partial(limited, size, False), work / f"full-{size}")
    return found


def main() -> None:
    job, work, start = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    # What is imported here is not imported again in every child.
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401
    import scipy.stats  # noqa: F401

    for module in ("cli.main", "cli.baseline", "cli.calibrate", "cli.compare", "cli.report", "cli.import_"):
        importlib.import_module(f"inferkit.{module}")
    for module in ("data.lmdb.dataset", "report.page.html", "network.caffe.importer", "precision.apply"):
        importlib.import_module(f"inferkit.{module}")
    importlib.import_module("inferkit.gate.promotion")

    work.mkdir(parents=True, exist_ok=True)
    print(json.dumps(tries(JOBS[job], work, start)))


if __name__ == "__main__":
    main()
