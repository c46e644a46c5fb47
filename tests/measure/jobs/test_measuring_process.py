"""The fresh process: what it finds comes back whole, and what goes wrong comes back with its reason."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import onnx.parser
import pytest

from inferkit.backends.onnxruntime.session import OnnxSession
from inferkit.errors import BackendError, BackendUnavailable, MeasurementError
from inferkit.measure.accuracy.top_k import AccuracySpec, evaluate
from inferkit.measure.engine.engine_file import EngineSpec
from inferkit.measure.engine.prepared_network import Recipe, load_prepared, timing_batch
from inferkit.measure.jobs.interpreter import Interpreter
from inferkit.measure.jobs.launch import prepare_network, run_accuracy, run_job, run_replicate
from inferkit.measure.latency.iterations import COLUMNS
from inferkit.measure.latency.replicate import ReplicateSpec, measure_replicate
from tests.suite.tiny_project import IMAGES, tiny_images, tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("process")
    onnx.save(tiny_model(), str(place / "tiny.onnx"))
    images, labels = tiny_images()
    np.savez(place / "images.npz", images=images, labels=labels)
    np.savez(place / "unlabelled.npz", images=images)
    np.savez(place / "many.npz", images=images, labels=labels + 2)
    return place


def recipe(folder, **changes):
    defaults = {"dataset": str(folder / "images.npz"), "preprocessing": {"scale": 0.01}, "images": 4}
    return Recipe("tiny", str(folder / "tiny.onnx"), changes.pop("precision", "fp32"), **{**defaults, **changes})


@pytest.fixture(scope="module")
def prepared(folder):
    prepare_network(recipe(folder), folder / "prepared")
    return folder / "prepared"


def test_a_replicate_brings_back_its_raw_times_and_what_surrounded_them(prepared):
    spec = ReplicateSpec(EngineSpec(str(prepared), "onnxruntime", 4), min_time=0.02, details=True)
    replicate = run_replicate(spec, "tiny")
    assert replicate.trace.shape[1] == len(COLUMNS)
    assert len(replicate.trace) >= 11
    assert replicate.log_median == pytest.approx(np.log(np.median(replicate.walls)))
    assert np.isnan(replicate.trace[:, COLUMNS.index("enqueue")]).all()
    assert replicate.cold_start > replicate.build_seconds > 0
    assert replicate.memory > 0
    assert replicate.engine_bytes > 0
    assert replicate.gpu is None
    assert replicate.invalid == ()
    assert replicate.warmup["runs"] > 0
    assert replicate.host["cpus"] >= 1
    assert replicate.details["providers"] == ["CPUExecutionProvider"]


def test_iterations_stop_at_their_limits(prepared):
    spec = ReplicateSpec(EngineSpec(str(prepared), "onnxruntime", 1), min_time=60, max_iterations=7, warmup_limit=0)
    assert len(measure_replicate(spec).trace) == 7
    spec = ReplicateSpec(EngineSpec(str(prepared), "onnxruntime", 1), min_time=0, min_iterations=13, warmup_limit=0)
    assert len(measure_replicate(spec).trace) == 13


def test_a_slow_network_gets_as_many_iterations_as_fit(prepared):
    limits = {"min_iterations": 10**6, "min_time": 0.0, "max_time": 0.01, "warmup_limit": 0}
    replicate = measure_replicate(ReplicateSpec(EngineSpec(str(prepared), "onnxruntime", 1), **limits))
    assert 3 <= len(replicate.trace) < 10**6


def test_the_network_is_timed_on_real_images_of_the_dataset(folder, prepared):
    images, _ = tiny_images()
    batch = timing_batch(prepared, 4)["data"]
    assert np.allclose(batch, images[:4] * np.float32(0.01))
    assert timing_batch(prepared, 6)["data"].shape == (6, 1, 8, 8)
    assert load_prepared(prepared).digest == json.loads((prepared / "network.json").read_text())["digest"]


def test_without_a_dataset_embedded_images_stand_in_and_are_never_zeros(folder, tmp_path):
    facts = prepare_network(recipe(folder, dataset=None, preprocessing={}), tmp_path / "prepared")
    batch = timing_batch(tmp_path / "prepared", 4)["data"]
    assert batch.shape == (4, 1, 8, 8)
    assert batch.std() > 10
    assert len({image.tobytes() for image in batch}) == 4
    assert "fashion_mnist" in facts["images_from"]


def test_accuracy_is_counted_over_every_image(folder, prepared):
    spec = AccuracySpec(EngineSpec(str(prepared), "onnxruntime", 50), str(folder / "images.npz"), {"scale": 0.01})
    accuracy = run_accuracy(spec, "tiny")
    assert accuracy.images == IMAGES
    assert accuracy.top1_percent == pytest.approx(95.0)
    assert accuracy.top5_percent == 100.0
    assert (accuracy.predictions[6:] == tiny_images()[1][6:]).all()
    assert 0 < accuracy.seconds < accuracy.elapsed


def test_int8_is_calibrated_once_and_says_with_what(folder, tmp_path):
    facts = prepare_network(recipe(folder, precision="int8", calibration_images=30), tmp_path / "int8")
    assert facts["precision"] == "int8"
    assert "30 images of" in facts["calibration"]
    assert facts["calibration"].endswith("images.npz, evenly spaced")
    operators = {node.op_type for node in load_prepared(tmp_path / "int8").model.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators


@pytest.mark.parametrize(
    "dataset, said",
    [("unlabelled.npz", "without a label"), ("many.npz", "the network has 4 classes"), ("none.npz", "no such file")],
)
def test_datasets_that_do_not_fit_are_refused_with_the_reason(folder, prepared, dataset, said):
    spec = AccuracySpec(EngineSpec(str(prepared), "onnxruntime", 100), str(folder / dataset), {"scale": 0.01})
    with pytest.raises(MeasurementError, match=said):
        run_accuracy(spec, "tiny")


def test_a_backend_that_says_no_is_unsupported_and_not_failed(folder, tmp_path):
    prepare_network(recipe(folder, precision="bf16"), tmp_path / "bf16")
    with pytest.raises(BackendUnavailable, match="no BF16 arithmetic on the CPU") as refused:
        run_replicate(ReplicateSpec(EngineSpec(str(tmp_path / "bf16"), "onnxruntime", 1)), "tiny")
    assert refused.value.hint


def test_the_inferkit_of_0_1_0_is_started_and_its_answer_is_read(prepared, tmp_path):
    """A stand-in that speaks as 0.1.0 did: the module's name, and `way_out` for the hint."""
    (tmp_path / "inferkit" / "measure").mkdir(parents=True)
    for folder in ("inferkit", "inferkit/measure"):
        (tmp_path / folder / "__init__.py").write_text("")
    (tmp_path / "inferkit" / "measure" / "process.py").write_text(
        "import json, sys, numpy as np\n"
        "outcome = {'status': 'unsupported', 'reason': 'no GPU', 'way_out': 'get one'}\n"
        "content = np.frombuffer(json.dumps(outcome).encode(), np.uint8)\n"
        "np.savez(json.load(sys.stdin)['output'], outcome=content)\n"
    )
    with pytest.raises(BackendUnavailable) as refused:
        run_replicate(
            ReplicateSpec(EngineSpec(str(prepared), "onnxruntime", 1)), "tiny", by=Interpreter(home=str(tmp_path))
        )
    assert (refused.value.reason, refused.value.hint) == ("no GPU", "get one")


def test_a_process_that_dies_is_told_with_its_last_words(prepared, tmp_path, monkeypatch):
    crash = "import os, sys\nprint('out of luck', file=sys.stderr, flush=True)\nos.abort()\n"
    (tmp_path / "sitecustomize.py").write_text(crash)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(MeasurementError, match=r"killed by SIGABRT(?s:.*)out of luck"):
        run_replicate(ReplicateSpec(EngineSpec(str(prepared), "onnxruntime", 1)), "tiny")


def test_a_process_on_a_cpu_imports_nothing_that_it_has_no_use_for(prepared, tmp_path):
    spec = ReplicateSpec(EngineSpec(str(prepared), "onnxruntime", 1), min_time=0.01, warmup_limit=0.01)
    job = {"kind": "latency", "output": str(tmp_path / "result.npz"), "spec": spec.as_dict()}
    slow = ["filelock", "numpy.ma", "scipy", "cv2", "lmdb", "inferkit.data", "duckdb", "matplotlib", "pytest"]
    code = (
        "import sys, numpy; known = set(sys.modules)\n"  # numpy 1 brings numpy.ma itself
        "from inferkit.measure.jobs.process import main; main()\n"
        f"print([name for name in {slow!r} if name in sys.modules and name not in known])"
    )
    done = subprocess.run([sys.executable, "-c", code], input=json.dumps(job), capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
    assert (tmp_path / "result.npz").exists()


def test_a_process_that_takes_too_long_is_ended(prepared):
    spec = ReplicateSpec(EngineSpec(str(prepared), "onnxruntime", 1), min_time=60, max_iterations=10**9)
    with pytest.raises(MeasurementError, match="was ended after 2 s without a result"):
        run_job("latency", spec.as_dict(), "tiny", timeout=2)


def test_a_prepared_folder_that_is_not_whole_is_refused(tmp_path):
    with pytest.raises(MeasurementError, match="cannot be read"):
        run_job("latency", ReplicateSpec(EngineSpec(str(tmp_path), "onnxruntime", 1)).as_dict(), "tiny", timeout=60)


def test_the_caller_s_folder_cannot_shadow_a_library(prepared, tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise RuntimeError('not numpy')")
    monkeypatch.chdir(tmp_path)
    spec = ReplicateSpec(EngineSpec(str(prepared), "onnxruntime", 1), min_time=0.01)
    assert run_replicate(spec, "tiny").log_median < 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_killed_parent_takes_the_process_along(prepared, tmp_path):
    import psutil

    parent_code = (
        "import sys; from inferkit.measure.jobs.launch import *\n"
        f"spec = ReplicateSpec(EngineSpec({str(prepared)!r}, 'onnxruntime', 1), min_time=600, max_iterations=10**9)\n"
        "print('go', flush=True); run_replicate(spec, 'tiny')\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE) as parent:
        parent.stdout.readline()
        worker = None
        while worker is None:
            worker = next(iter(psutil.Process(parent.pid).children()), None)
        while worker.memory_info().rss < 60 << 20:  # it has imported its libraries, and with them the request to die
            assert worker.is_running()
        parent.kill()
    gone, _ = psutil.wait_procs([worker], timeout=20)
    assert gone or worker.status() == psutil.STATUS_ZOMBIE


def test_a_result_that_cannot_be_written_is_an_exit_code_and_no_part_of_a_file(prepared, tmp_path):
    (tmp_path / "file").write_text("")
    spec = ReplicateSpec(EngineSpec(str(prepared), "onnxruntime", 1), min_time=0, max_iterations=1, warmup_limit=0)
    job = {"kind": "latency", "output": str(tmp_path / "file" / "result.npz"), "spec": spec.as_dict()}
    command = [sys.executable, "-P", "-m", "inferkit.measure.jobs.process"]
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True)
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_last_batch_that_is_short_counts_only_its_own_images(folder, prepared):
    spec = AccuracySpec(EngineSpec(str(prepared), "onnxruntime", 50), str(folder / "images.npz"), {"scale": 0.01})
    odd = replace(spec, engine=replace(spec.engine, max_batch=77))
    assert (evaluate(odd).predictions == evaluate(spec).predictions).all()
    assert evaluate(odd).images == IMAGES


def test_an_engine_that_computes_something_else_each_time_is_not_measured(folder):
    random = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        dice (float[N, 1, 4, 4] data) => (float[N, 1, 4, 4] prob) {
            noise = RandomNormalLike(data)
            prob = Mul(data, noise)
        }"""
    )
    onnx.save(random, str(folder / "dice.onnx"))
    dice = Recipe("dice", str(folder / "dice.onnx"), "fp32", images=4)
    prepare_network(dice, folder / "dice")
    spec = ReplicateSpec(EngineSpec(str(folder / "dice"), "onnxruntime", 4), min_time=0.02)
    with pytest.raises(MeasurementError, match=r"'prob' differs by .* its times say nothing"):
        run_replicate(spec, "dice")


def test_an_engine_that_computes_nothing_finite_is_not_measured(folder):
    graph = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        agraph (float[N, 1, 8, 8] data) => (float[N, 1, 8, 8] out) { a = Abs(data) b = Neg(a) c = Sub(b, b)
        out = Div(c, c) }"""
    )
    onnx.save(graph, str(folder / "nan.onnx"))
    prepare_network(Recipe("nan", str(folder / "nan.onnx"), "fp32"), folder / "nan")
    with pytest.raises(MeasurementError, match="no finite value of output 'out'"):
        measure_replicate(ReplicateSpec(EngineSpec(str(folder / "nan"), "onnxruntime", 1), min_time=0.01))


def test_looking_closer_is_no_reason_to_lose_a_measurement(prepared, monkeypatch):
    def refused(session):
        raise BackendError("no memory for another context")

    monkeypatch.setattr(OnnxSession, "details", refused)
    spec = ReplicateSpec(EngineSpec(str(prepared), "onnxruntime", 1), min_time=0.01, warmup_limit=0.1, details=True)
    replicate = measure_replicate(spec)
    assert len(replicate.trace) >= 11
    assert replicate.details == {"failed": "no memory for another context"}
