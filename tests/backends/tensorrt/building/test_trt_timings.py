"""Timings between builds: taken over, combined, moved to other machines; lost in any way, they cost time and no engine.

By a stand-in for TensorRT that picks kernels by chance (timing_tensorrt.py), in processes of their own.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inferkit.backends.tensorrt.blobs import BlobCache

ROOT = Path(__file__).resolve().parents[4]
STAND_IN = Path(__file__).with_name("timing_tensorrt.py")
LAYERS = 6  # of the tiny network, each timed once

WORKER = """
import json, resource, sys
from inferkit.backends.gpus import Gpu
from inferkit.backends.tensorrt.building import build as module
from inferkit.network.network import Network
from tests.backends.tensorrt.trt_models import tiny_model

job = json.loads(sys.argv[1])
module.find_gpu = lambda device=None: Gpu(0, "GPU-0", job["gpu"], (9, 0), 1 << 34, job["driver"])
model = tiny_model()
model.graph.name = job["network"]
if job["most"]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (job["most"], job["most"]))
engine = module.build_engine(Network.from_model(model, job["network"]), 4, **job["options"])
print(json.dumps([engine.from_cache, json.loads(engine.plan().content)]))
"""


class Machine:
    """A machine with a cache folder of its own, whose builds are processes of the stand-in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cache, self.log = folder, folder / "cache", folder / "timed"
        (folder / "site").mkdir(parents=True)
        (folder / "site" / "tensorrt.py").write_text(STAND_IN.read_text())

    def start(self, network: str = "tiny", gpu: str = "H200", driver: str = "12.6", most: int = 0, **more: Any) -> Any:
        """A build's process. `most`: bytes that a file may have; `more`: build options, and environment in capitals."""
        environment = {name: str(value) for name, value in more.items() if name.isupper()}
        options = {name: value for name, value in more.items() if not name.isupper()}
        job = {"network": network, "gpu": gpu, "driver": driver, "most": most}
        job["options"] = {"flavour": "tensorrt", "cache": False, **options}
        path = os.pathsep.join([str(self.folder / "site"), str(ROOT)])
        own = {"PYTHONPATH": path, "INFERKIT_CACHE": str(self.cache), "STAND_IN_LOG": str(self.log)}
        own["PYTHONDONTWRITEBYTECODE"] = "1"  # a limit of file sizes would cut bytecode short, for others too
        return subprocess.Popen(
            [sys.executable, "-c", WORKER, json.dumps(job)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **own, **environment},
        )

    def build(self, *arguments: Any, **options: Any) -> tuple[dict[str, str], int, str]:
        """The kernel of every layer, how many layers were timed, and what was said on stderr."""
        before = self.timed()
        process = self.start(*arguments, **options)
        out, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
        return json.loads(out)[1], self.timed() - before, said

    def timed(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    def timings(self) -> Path:
        (path,) = (self.cache / "timing").glob("*.cache")
        return path


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine")


def test_a_second_build_times_nothing_and_picks_the_same(machine: Machine) -> None:
    first, timed, _ = machine.build()
    assert timed == LAYERS
    assert machine.build() == (first, 0, "")
    # Anew: neither with earlier timings, nor as timings for later builds.
    other, timed, _ = machine.build(timings=False)
    assert timed == LAYERS
    assert other != first
    assert machine.build()[0] == first


def test_timings_are_of_one_kind_of_machine(machine: Machine) -> None:
    for kind in ({}, {"gpu": "H100"}, {"driver": "13.0"}, {"STAND_IN_VERSION": "10.7.0"}):
        assert machine.build(**kind)[1] == LAYERS
        assert machine.build(**kind)[1] == 0
    assert len(list((machine.cache / "timing").glob("*.cache"))) == 4


def test_builds_at_once_lose_none_of_each_others_timings(machine: Machine, tmp_path: Path) -> None:
    go = tmp_path / "go"
    slow = machine.start("slow", STAND_IN_WAIT=go)
    wait_until(lambda: machine.timed() == LAYERS)
    machine.build("quick")  # begins and ends while the slow one is under way
    go.touch()
    assert slow.wait(120) == 0
    assert machine.build("slow")[1] == machine.build("quick")[1] == 0


def test_a_folder_of_timings_serves_other_machines(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    first, second, stranger = (Machine(tmp_path / name) for name in ("first", "second", "stranger"))
    kernels, timed, _ = first.build(INFERKIT_TIMINGS=shared)
    assert timed == LAYERS
    assert second.build(INFERKIT_TIMINGS=shared) == (kernels, 0, "")
    assert not (first.cache / "timing").exists()
    assert stranger.build()[0] != kernels
    # As files they may be carried from one machine to another.
    third = Machine(tmp_path / "third")
    (third.cache / "timing").mkdir(parents=True)
    (copied,) = shared.glob("*.cache")
    (third.cache / "timing" / copied.name).write_bytes(copied.read_bytes())
    assert third.build()[:2] == (kernels, 0)


def sealed(content: bytes) -> bytes:
    return hashlib.sha256(content).digest() + content


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda stored: stored[: len(stored) // 2],
    "empty": lambda stored: b"",
    "garbage": lambda stored: b"\xff" * len(stored),
    "one bit": lambda stored: stored[:-1] + bytes([stored[-1] ^ 1]),
    "what TensorRT does not read": lambda stored: sealed(b"no timings"),
    "another version's": lambda stored: sealed(stored[32:].replace(b"10.6.0", b"10.5.0")),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The timings of one build."""
    machine = Machine(tmp_path_factory.mktemp("whole") / "machine")
    machine.build()
    return machine.timings()


@pytest.mark.parametrize("damage", DAMAGE)
def test_timings_that_cannot_be_used_are_noted_and_made_anew(machine: Machine, whole: Path, damage: str) -> None:
    path = machine.cache / "timing" / whole.name
    path.parent.mkdir(parents=True)
    path.write_bytes(DAMAGE[damage](whole.read_bytes()))
    kernels, timed, said = machine.build()
    assert timed == LAYERS
    assert "timed again" in said or "times again" in said
    assert "Traceback" not in said
    kept = BlobCache(path).read()
    assert kept is not None
    assert set(kernels.values()) == set(json.loads(kept.removeprefix(b"timings"))[1].values())


def test_a_folder_that_cannot_be_written_costs_no_engine(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for place in (tmp_path / "file", tmp_path / "file" / "deeper"):
        kernels, timed, said = machine.build(INFERKIT_TIMINGS=place)
        assert timed == len(kernels) == LAYERS
        assert "a build times again what others have timed" in said


def test_a_full_disk_keeps_the_former_timings_and_costs_no_engine(machine: Machine) -> None:
    machine.build()
    former = machine.timings().read_bytes()
    kernels, _, said = machine.build("another", most=len(former))  # the timings of two networks are longer
    assert len(kernels) == LAYERS
    assert "cannot be written" in said
    assert machine.timings().read_bytes() == former
    assert [path.suffix for path in sorted((machine.cache / "timing").iterdir())] == [".cache", ".lock"]


def test_a_full_disk_is_an_error_of_the_engine_cache_and_leaves_no_engine(machine: Machine) -> None:
    process = machine.start(cache=True, timings=False, most=100)
    _, said = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "EngineError" in said
    assert "the engine cannot be written" in said
    assert [path.suffix for path in (machine.cache / "engines").rglob("*") if path.is_file()] == [".lock"]
    assert len(machine.build(cache=True)[0]) == LAYERS


def test_a_build_that_is_killed_leaves_the_timings_as_they_were(machine: Machine, tmp_path: Path) -> None:
    kernels, _, _ = machine.build("first")
    former = machine.timings().read_bytes()
    killed = machine.start("second", cache=True, STAND_IN_WAIT=tmp_path / "never")
    wait_until(lambda: machine.timed() == 2 * LAYERS)
    killed.send_signal(signal.SIGKILL)
    killed.wait(30)
    assert machine.timings().read_bytes() == former
    again, timed, said = machine.build("second", cache=True)
    assert (len(again), timed, said) == (LAYERS, LAYERS, "")
    assert machine.build("first") == (kernels, 0, "")
    assert sorted(path.suffix for path in (machine.cache / "engines").rglob("*") if path.is_file()) == [
        ".json",
        ".lock",
        ".plan",
    ]


def test_what_a_kill_in_mid_write_leaves_is_removed_by_the_next_update(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path / "of a GPU [1].cache")
    orphan = tmp_path / f".{cache.path.name}.abc.tmp"
    orphan.write_bytes(b"half")
    cache.update(lambda stored: (stored or b"") + b"more")
    cache.update(lambda stored: (stored or b"") + b"more")
    assert cache.read() == b"moremore"
    assert not orphan.exists()


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    limit = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.01)
