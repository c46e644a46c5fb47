"""What a killed build of ONNX Runtime's model leaves is gone after the next run; a living build keeps its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inferkit.backends import build
from tests.backends.small_networks import classifier, classifier_by_hand, images

CLASSIFIER = classifier()
ROOT = Path(__file__).resolve().parents[3]
# Builds the classifier, and stops at a change to the file system: when the built model is to be renamed to its place,
# or its note, which is the last thing written, was just begun.
BUILDER = """
import os, signal, sys
from pathlib import Path
from tests.backends.small_networks import classifier
from inferkit.backends import build

folder, moment, end = sys.argv[1:]

def reached(event, arguments):
    if moment == "model" and event == "os.rename":
        return str(arguments[0]).endswith("model.onnx")
    return moment == "note" and event == "os.chmod" and str(arguments[0]).endswith(".tmp")

def watch(event, arguments):
    if reached(event, arguments):
        if end == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        print("building", flush=True)
        sys.stdin.readline()

sys.addaudithook(watch)
engine = build(classifier(), warm_start=Path(folder))
print("from the cache" if engine.info.details["from_cache"] else "built")
"""


def builder(folder: Path, moment: str, end: str) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(folder), moment, end],
        env={**os.environ, "PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def works(folder: Path, optimization: str) -> None:
    with build(CLASSIFIER, warm_start=folder, optimization=optimization).session() as session:
        np.testing.assert_allclose(session.run(images(1))["prob"], classifier_by_hand(images(1)), atol=1e-5)


@pytest.mark.parametrize("optimization", ["all", "basic"])  # the same entry is built again, and another one is built
@pytest.mark.parametrize("moment", ["model", "note"])
def test_the_next_run_removes_what_a_killed_build_left(tmp_path: Path, moment: str, optimization: str) -> None:
    with builder(tmp_path, moment, "killed") as process:
        pass
    assert process.returncode == -signal.SIGKILL
    assert hidden(tmp_path)
    works(tmp_path, optimization)
    assert not hidden(tmp_path)


def test_what_a_living_process_is_building_is_left_alone(tmp_path: Path) -> None:
    with builder(tmp_path, "model", "waits") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "building\n"
        before = hidden(tmp_path)
        assert before
        works(tmp_path, "basic")  # another entry: nobody is waited for
        assert hidden(tmp_path) == before
        said, _ = process.communicate("go on\n")
    assert (process.returncode, said) == (0, "built\n")
    assert not hidden(tmp_path)


def test_who_asks_for_what_another_process_is_building_gets_its_model(tmp_path: Path) -> None:
    with builder(tmp_path, "model", "waits") as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "building\n"
        with builder(tmp_path, "never", "waits") as second:
            said, _ = first.communicate("go on\n")
            assert said == "built\n"
            assert second.communicate()[0] == "from the cache\n"
