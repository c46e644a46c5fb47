"""The engine cache: keys, concurrent processes, kills, damage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import inferkit
from inferkit.backends.tensorrt.blobs import BlobCache
from inferkit.backends.tensorrt.building.batch_range import make_profile
from inferkit.backends.tensorrt.building.builder import BuildOptions, build_plan
from inferkit.backends.tensorrt.building.cache import cached_plan, engine_key
from inferkit.backends.tensorrt.flavour import Flavour
from inferkit.backends.tensorrt.plan import Plan
from inferkit.errors import BackendError, EngineError
from inferkit.network.network import Network
from tests.backends.tensorrt.trt_models import tiny_model

ROOT = Path(__file__).resolve().parents[4]

# Builds the tiny network through the cache; counts real builds in a file, and can be made to stop before or after one.
WORKER = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tests.backends.tensorrt.trt_models import tiny_model
from inferkit.backends.tensorrt.building import build as module
from inferkit.backends.tensorrt.plan import sha256
from inferkit.network.network import Network

real = module.build_plan

def counted(*arguments, **options):
    with open(sys.argv[2], "a") as log:
        log.write("started\\n")
    if "hang" in sys.argv[3:]:
        print("building", flush=True)
        time.sleep(60)
    return real(*arguments, **options)

module.build_plan = counted
network = Network.from_model(tiny_model(), "tiny")
engine = module.build_engine(network, 4, flavour="tensorrt_rtx")
print(sha256(engine.plan().content), flush=True)
"""


def start_worker(log: Path, *extra: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(ROOT), str(log), *extra]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))


def build(network: Network, **options: Any) -> Any:
    return inferkit.build(network, backend="tensorrt", flavour="tensorrt_rtx", **{"max_batch": 4, **options})


def test_the_second_build_comes_from_the_cache(rtx: Flavour, tiny: Network, cache: Path) -> None:
    first, second = build(tiny), build(tiny)
    assert not first.from_cache
    assert second.from_cache
    assert second.path == first.path
    assert second.plan_info == first.plan_info
    assert second.info.details["from_cache"] is True


def test_an_engine_can_be_built_outside_the_cache(rtx: Flavour, tiny: Network, cache: Path) -> None:
    engine = build(tiny, cache=False)
    assert engine.path is None
    assert not (cache / "engines").exists()
    assert engine.plan().info.sha256


def test_the_key_changes_with_everything_that_changes_the_engine(rtx: Flavour, tiny: Network) -> None:
    options = BuildOptions(make_profile(tiny, 4))
    other = Network.from_model(tiny_model(classes=11), "tiny")
    gpu = {"name": "NVIDIA H200", "compute_capability": "9.0"}
    full = Flavour("tensorrt", rtx.module)  # only its name is asked here
    keys = [
        engine_key(tiny, rtx, options, None),
        engine_key(other, rtx, options, None),
        engine_key(replace(tiny, precision="tf32"), rtx, options, None),
        engine_key(tiny, rtx, BuildOptions(make_profile(tiny, 5)), None),
        engine_key(tiny, rtx, BuildOptions(make_profile(tiny, 4, opt_batch=2)), None),
        engine_key(tiny, rtx, BuildOptions(make_profile(tiny, 4, min_batch=2)), None),
        engine_key(tiny, rtx, BuildOptions(make_profile(tiny, 4, static=True)), None),
        engine_key(tiny, rtx, replace(options, targets=("sm89",)), None),
        engine_key(tiny, rtx, replace(options, workspace=1 << 25), None),
        engine_key(tiny, full, options, gpu),
        engine_key(tiny, full, options, {**gpu, "name": "NVIDIA H100 80GB HBM3"}),
    ]
    assert len(set(keys)) == len(keys)
    assert engine_key(Network.from_model(tiny_model(), "renamed"), rtx, options, gpu) == keys[0]


def test_concurrent_processes_build_once_and_share(rtx: Flavour, cache: Path, tmp_path: Path) -> None:
    log = tmp_path / "builds"
    workers = [start_worker(log) for _ in range(4)]
    digests = set()
    for worker in workers:
        out, errors = worker.communicate(timeout=120)
        assert worker.returncode == 0, errors
        digests.add(out.strip())
    assert log.read_text() == "started\n"
    assert len(digests) == 1


def test_a_build_that_is_killed_leaves_nothing_and_blocks_nobody(
    rtx: Flavour, tiny: Network, cache: Path, tmp_path: Path
) -> None:
    log = tmp_path / "builds"
    worker = start_worker(log, "hang")
    assert worker.stdout is not None
    assert worker.stdout.readline().strip() == "building"  # it holds the lock now
    waiting = start_worker(log)
    worker.send_signal(signal.SIGKILL)
    worker.wait(30)
    out, errors = waiting.communicate(timeout=120)
    assert waiting.returncode == 0, errors
    assert len(out.strip()) == 64
    left = sorted(path.suffix for path in (cache / "engines").rglob("*") if path.is_file())
    assert left == [".json", ".lock", ".plan"]


def test_what_a_kill_in_mid_write_leaves_is_swept_away(rtx: Flavour, tiny: Network, cache: Path) -> None:
    path = build(tiny).path
    path.unlink()
    orphan = path.parent / f".{path.name}.abc123.tmp"
    orphan.write_bytes(b"half")
    build(tiny)
    assert not orphan.exists()
    assert path.exists()


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "metadata", "no metadata"])
def test_a_damaged_entry_is_built_again(rtx: Flavour, tiny: Network, cache: Path, damage: str) -> None:
    path = build(tiny).path
    content = path.read_bytes()
    beside = path.with_name(path.name + ".json")
    if damage == "flip":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "metadata":
        beside.write_text("{")
    else:
        beside.unlink()
    again = build(tiny)
    assert not again.from_cache
    assert again.plan().content
    assert build(tiny).from_cache


def test_a_failed_build_leaves_nothing(rtx: Flavour, cache: Path) -> None:
    model = tiny_model()
    model.graph.node[0].op_type = "Konv"
    with pytest.raises(BackendError, match="Konv"):
        build(Network.from_model(model, "broken"))
    assert [path.suffix for path in (cache / "engines").rglob("*") if path.is_file()] == [".lock"]


def test_a_cache_that_cannot_be_written_is_a_clear_error(
    rtx: Flavour, tiny: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("INFERKIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(EngineError, match="INFERKIT_CACHE"):
        build(tiny)


def test_a_waiting_process_does_not_build_what_is_there(rtx: Flavour, tiny: Network, cache: Path) -> None:
    plan = build_plan(tiny, rtx, BuildOptions(make_profile(tiny, 2))).plan

    def never() -> Plan:
        raise AssertionError("built although it was there")

    _, path, found = cached_plan("ab" * 32, "tiny", lambda: plan)
    assert not found
    again, _, found = cached_plan("ab" * 32, "tiny", never)
    assert found
    assert again.content == plan.content
    assert json.loads(path.with_name(path.name + ".json").read_text())["network"] == "tiny"


def test_a_small_cache_reads_damage_and_absence_as_nothing(tmp_path: Path) -> None:
    store = BlobCache(tmp_path / "deep" / "kernels.cache")
    assert store.read() is None
    store.write(b"compiled")
    assert store.read() == b"compiled"
    store.write(None)
    assert store.read() == b"compiled"
    stored = store.path.read_bytes()
    for damaged in (stored[:-1], stored + b"x", b"", stored[:5], b"\0" + stored[1:]):
        store.path.write_bytes(damaged)
        assert store.read() is None


def test_a_small_cache_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    BlobCache(tmp_path / "file" / "kernels.cache").write(b"compiled")
