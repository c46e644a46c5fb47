"""Real engines on a real GPU: results, ways of running, bad input, memory, processes. Skipped where there is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import inferkit
from inferkit.backends.gpus import find_gpu, narrowed
from inferkit.cli.main import main
from inferkit.errors import BackendError, EngineError, UsageError
from inferkit.measure.engine.engine_file import EngineSpec
from inferkit.measure.engine.prepared_network import Recipe
from inferkit.measure.jobs.launch import prepare_network, run_replicate
from inferkit.measure.latency.replicate import ReplicateSpec
from inferkit.network.network import Network
from tests.backends.tensorrt.trt_models import tiny_model

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("gpu_backend", "cache")]

# TensorRT chooses its own order of additions, which leaves single precision about six digits. TensorRT-RTX 1.4 runs
# FP32 in TF32 (Flavour.caveats): 11 bits of each factor, 8e-4 seen on this network.
CLOSE = 2e-3

alone = pytest.mark.skipif("PYTEST_XDIST_WORKER" in os.environ, reason="other workers take memory of the same GPU")


@pytest.fixture(scope="module")
def images() -> Any:
    return np.random.default_rng(11).normal(size=(24, 3, 12, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def expected(images: Any) -> Any:
    return on_cpu(Network.from_model(tiny_model(), "tiny"), images)


def on_cpu(network: Network, images: Any) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(network.model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {network.inputs[0].name: images})[0]


def build(network: Network, max_batch: int = 24, **options: Any) -> Any:
    return inferkit.build(network, backend="tensorrt", max_batch=max_batch, **options)


def error_of(got: Any, want: Any) -> float:
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


@pytest.mark.parametrize("launch", ["graph", "enqueue"])
@pytest.mark.parametrize("mode", ["latency", "throughput"])
def test_every_way_of_running_computes_the_same(
    tiny: Network, images: Any, expected: Any, mode: str, launch: str
) -> None:
    with build(tiny).session(mode=mode, launch=launch) as session:
        for batch in (1, 7, 24, 7):
            got = session.run(images[:batch])["prob"]
            assert session.launch == launch
            assert error_of(got, expected[:batch]) < CLOSE


def test_a_trace_has_parts_within_the_wall_time(tiny: Network, images: Any) -> None:
    with build(tiny).session() as session:
        session.run(images)
        trace = session.last_trace
        parts = (trace.host_to_device, trace.compute, trace.device_to_host)
        assert min(parts) > 0
        assert sum(parts) < trace.wall
        assert 0 < trace.enqueue < trace.wall


def test_results_are_the_callers_own(tiny: Network, images: Any) -> None:
    with build(tiny).session() as session:
        first = session.run(images[:2])["prob"]
        kept = first.copy()
        session.run(images[2:4])
        assert np.array_equal(first, kept)


def test_batches_in_memory_of_its_own_are_run_from_there(tiny: Network, images: Any, expected: Any) -> None:
    engine = build(tiny)
    for launch in ("graph", "enqueue"):
        with engine.session(launch=launch) as session, engine.session(launch=launch) as other:
            memories = [session.host_memory(24) for _ in range(10)]  # more than have their graphs kept
            for turn in range(2):
                for number, memory in enumerate(memories):
                    first = (number + turn) % 4
                    memory["data"][:20] = images[first : first + 20]
                    for each in (session, other):  # every session of the GPU takes it
                        each.load({"data": memory["data"][:20]})
                        each.execute()
                        assert each.launch == launch
                        assert error_of(each.fetch()["prob"], expected[first : first + 20]) < CLOSE
            assert error_of(session.run(images[3:10])["prob"], expected[3:10]) < CLOSE
            memory["data"][:] = images  # read when it is executed: no copy was made
            session.load(memory)
            memory["data"][:] = images[::-1]
            session.execute()
            assert error_of(session.fetch()["prob"], expected[::-1]) < CLOSE


def test_a_stream_of_batches_keeps_its_order(tiny: Network, images: Any, expected: Any) -> None:
    with build(tiny).session(mode="throughput", buffers=3) as session:
        outputs = [found["prob"] for found in session.stream(images[start : start + 5] for start in range(0, 24, 5))]
    assert [len(each) for each in outputs] == [5, 5, 5, 5, 4]
    for row in range(24):  # one by one: a swapped batch must not hide in an average
        assert error_of(np.concatenate(outputs)[row], expected[row]) < 5 * CLOSE  # a row varies more than a batch


def test_a_static_engine_takes_its_batch_and_no_other(tiny: Network, images: Any, expected: Any) -> None:
    with build(tiny, 6, static=True).session() as session:
        assert error_of(session.run(images[:6])["prob"], expected[:6]) < CLOSE
        with pytest.raises(BackendError, match=r"takes shape \[6, 3, 12, 12\]"):
            session.load(images[:5])


def test_the_layers_of_a_static_engine_are_told_at_its_batch(tiny: Network, tmp_path: Path, capsys: Any) -> None:
    path = str(tmp_path / "tiny.plan")
    build(tiny, 6, static=True).save(path)
    assert main(["inspect", path]) == 0
    assert "layers as executed at batch 6" in capsys.readouterr().out
    assert main(["top", path]) == 0
    assert main(["diff", path, path]) == 0


def test_half_precision_is_close(tiny: Network, images: Any, expected: Any) -> None:
    with build(inferkit.at_precision(tiny, "fp16")).session() as session:
        assert error_of(session.run(images)["prob"], expected) < 1e-2


def test_bad_batches_are_refused_and_the_session_goes_on(tiny: Network, images: Any, expected: Any) -> None:
    with build(tiny, 8).session() as session:
        with pytest.raises(BackendError, match="batch of 9"):
            session.load(images[:9])
        with pytest.raises(BackendError, match="shape"):
            session.load(images[:2, :2])
        with pytest.raises(BackendError, match="float64"):
            session.load(images[:2].astype(np.float64))
        spoilt = images[:2].copy()
        spoilt[1, 0, 3, 3] = np.nan
        with pytest.raises(BackendError, match=r"1 NaN.*\[1, 0, 3, 3\]"):
            session.load(spoilt)
        with pytest.raises(BackendError, match="load"):
            session.execute()
        assert error_of(session.run(images[:8])["prob"], expected[:8]) < CLOSE


def test_a_closed_session_says_so(tiny: Network, images: Any) -> None:
    session = build(tiny).session()
    session.run(images)
    session.close()
    session.close()
    for work in (session.execute, session.fetch, session.details, lambda: session.load(images)):
        with pytest.raises(BackendError, match="closed"):
            work()


def test_nothing_is_fetched_before_it_ran(tiny: Network, images: Any) -> None:
    with build(tiny).session() as session:
        session.run(images)
        session.load(images)
        with pytest.raises(BackendError, match="execute"):
            session.fetch()


def test_a_gpu_is_named_by_index_or_uuid(tiny: Network, images: Any) -> None:
    engine = build(tiny)
    with engine.session(device=0) as session:
        uuid = session.device
    with engine.session(device=uuid) as session:
        assert session.device == uuid
        session.run(images)
    with pytest.raises(UsageError, match="no GPU '77'"):
        engine.session(device=77)
    with pytest.raises(UsageError, match="no GPU"):
        engine.session(device="GPU-00000000-dead-beef-0000-000000000000")


def test_a_process_that_is_kept_to_a_gpu_sees_that_one_alone() -> None:
    alone = narrowed()
    if not alone:
        pytest.skip("there is one GPU here")
    code = "from inferkit.backends import gpus; print(len(gpus.visible_gpus()), gpus.find_gpu().uuid)"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **alone}, capture_output=True, text=True)
    assert done.stdout.split() == ["1", find_gpu().uuid], done.stderr


def test_an_engine_for_another_gpu_is_refused_before_tensorrt_sees_it(tiny: Network, gpu_backend: Any) -> None:
    from inferkit.backends.gpus import find_gpu
    from inferkit.backends.tensorrt.flavour import load_flavour

    if not load_flavour().is_rtx:
        pytest.skip("only TensorRT-RTX builds for other GPUs")
    other = "sm89" if find_gpu().capability != (8, 9) else "sm86"
    with pytest.raises(EngineError, match="built for compute capability"):
        build(tiny, 2, target=other).session()


def test_a_damaged_engine_is_refused_when_it_is_opened(tiny: Network, tmp_path: Path) -> None:
    from inferkit.backends.tensorrt import load_engine

    path = tmp_path / "tiny.plan"
    build(tiny).save(path)
    engine = load_engine(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(EngineError, match="damaged"):
        engine.session()


def test_a_damaged_cache_of_kernels_is_compiled_anew(tiny: Network, images: Any, expected: Any, cache: Path) -> None:
    engine = build(tiny)
    with engine.session() as session:
        session.run(images)
    kept = list((cache / "jit").rglob("*.cache"))
    if not kept:
        pytest.skip("this flavour compiles nothing at run time")
    for path in kept:
        path.write_bytes(path.read_bytes()[:-7])
    with engine.session() as session:
        assert error_of(session.run(images)["prob"], expected) < CLOSE
        assert session.details()["jit_cache"]["found"] is False
        assert session.compiled


def test_a_second_process_compiles_nothing_and_ends_cleanly(tiny: Network, images: Any, tmp_path: Path) -> None:
    path = tmp_path / "tiny.plan"
    engine = build(tiny)
    engine.save(path)
    with engine.session() as session:
        session.run(images)
    script = (
        "import json, sys, numpy\n"
        "from inferkit.backends.tensorrt import load_engine\n"
        "session = load_engine(sys.argv[1]).session()\n"
        "session.run(numpy.ones((24, 3, 12, 12), numpy.float32))\n"
        "print(json.dumps([session.details()['jit_cache'], session.compiled]))\n"  # and ends without closing anything
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "PyCUDA" not in done.stderr
    found, compiled = json.loads(done.stdout.strip().splitlines()[-1])
    assert not found or (found["found"] and found["loaded"])
    assert not compiled


def test_sessions_work_in_threads_that_end(tiny: Network, images: Any, expected: Any) -> None:
    engine = build(tiny)
    errors: list[float] = []

    def work() -> None:
        with engine.session() as session:
            errors.append(error_of(session.run(images)["prob"], expected))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 3
    assert max(errors) < CLOSE


def test_pytorch_uses_the_same_gpu_before_between_and_after(tiny: Network, images: Any, expected: Any) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch sees no GPU")
    ones = torch.ones(64, 64, device="cuda")
    with build(tiny).session() as session:
        assert error_of(session.run(images)["prob"], expected) < CLOSE
        assert float((ones @ ones).sum()) == 64**3
        assert error_of(session.run(images)["prob"], expected) < CLOSE
    assert float((ones @ ones).sum()) == 64**3


def test_sessions_of_one_plan_share_the_engine_until_the_last_one_closes(
    tiny: Network, images: Any, expected: Any, tmp_path: Path
) -> None:
    from inferkit.backends.tensorrt import load_engine

    build(tiny).save(tmp_path / "tiny.plan")
    engine, again = (load_engine(tmp_path / "tiny.plan") for _ in range(2))
    first, second = engine.session(), again.session(mode="throughput")
    shared = first._executor._loaded
    assert second._executor._loaded is shared
    for session in (first, second):
        assert error_of(session.run(images)["prob"], expected) < CLOSE
    assert second.memory_bytes() >= shared.size_bytes  # it needs the engine, whoever loaded it
    first.close()
    assert error_of(second.run(images)["prob"], expected) < CLOSE
    gone = weakref.ref(shared)
    del shared
    second.close()
    assert gone() is None
    with engine.session() as third:
        assert error_of(third.run(images)["prob"], expected) < CLOSE


@alone
def test_too_large_a_case_fails_with_its_sizes_and_the_next_one_runs(tiny: Network, images: Any, expected: Any) -> None:
    from inferkit.backends.gpus import find_gpu
    from inferkit.backends.tensorrt.device import open_device

    large = build(Network.from_model(tiny_model(size=224), "large"), 256)
    device = open_device(find_gpu())
    with device.active():
        ballast = device.allocate(device.free_bytes() - (256 << 20), "ballast")
    try:
        with pytest.raises(BackendError, match="MiB"), large.session() as session:
            session.load(np.ones((256, 3, 224, 224), np.float32))
    finally:
        with device.active():
            ballast.free()
    with build(tiny).session() as session:
        assert error_of(session.run(images)["prob"], expected) < CLOSE


@alone
def test_memory_comes_back_when_sessions_close(tiny: Network, images: Any) -> None:
    from inferkit.backends.gpus import find_gpu
    from inferkit.backends.tensorrt.device import open_device

    engine, device = build(tiny), open_device(find_gpu())

    def free_after_one() -> int:
        with engine.session() as session:
            session.run(images)
            assert session.memory_bytes() > 0
        with device.active():
            return int(device.free_bytes())

    free_after_one()
    before = free_after_one()
    for _ in range(5):
        free_after_one()
    assert free_after_one() >= before - (4 << 20)  # two of the driver's 2 MiB pages


@pytest.mark.parametrize("mode", ["latency", "throughput"])
def test_details_can_be_stored(tiny: Network, images: Any, mode: str) -> None:
    with build(tiny).session(mode=mode) as session:
        session.run(images)
        details = json.loads(json.dumps(session.details()))
        assert session.inspect()
        assert all(row.seconds is not None and row.seconds > 0 for row in session.layer_times(3))
        assert any(row.origins for row in session.layer_times(1))
    assert details["mode"] == mode
    assert details["memory"]["buffer_bytes"] >= images.nbytes


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores to choose from")
def test_a_replicate_is_measured_on_one_core_at_a_time(tmp_path: Path) -> None:
    onnx.save(tiny_model(), str(tmp_path / "tiny.onnx"))
    prepare_network(Recipe("tiny", str(tmp_path / "tiny.onnx"), "fp32"), tmp_path / "prepared")
    found = run_replicate(ReplicateSpec(EngineSpec(str(tmp_path / "prepared"), "tensorrt", 1), min_time=0.6), "tiny")
    assert found.gpu is not None
    assert found.host["core"] in os.sched_getaffinity(0)
    assert 1 <= found.host["moves"] <= found.host["searches"]


def test_energy_is_told_per_image_however_many_batches_a_round_has(tmp_path: Path) -> None:
    onnx.save(tiny_model(), str(tmp_path / "tiny.onnx"))
    prepare_network(Recipe("tiny", str(tmp_path / "tiny.onnx"), "fp32"), tmp_path / "prepared")
    per_image = {}
    for mode in ("latency", "throughput"):
        engine = EngineSpec(str(tmp_path / "prepared"), "tensorrt", 8)
        spec = ReplicateSpec(engine, session={"mode": mode}, min_time=1.0)
        gpu = run_replicate(spec, "tiny").gpu
        assert gpu is not None
        if gpu["energy_per_image"] is None:
            pytest.skip("this GPU does not tell its energy")
        per_image[mode] = gpu["energy_per_image"]
    assert per_image["throughput"] < per_image["latency"]  # more images in the same time
