"""Real PyCaffe behind the common interface: what it computes, what it refuses, and what is measured apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import inferkit
from inferkit.backends import backend, build
from inferkit.backends.base import Engine
from inferkit.backends.caffe.root import CaffeRoot
from inferkit.errors import BackendError, BackendUnavailable
from inferkit.network.network import CaffeSource, Network
from tests.backends.small_networks import classifier

LINEAR = """
name: "linear"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 5 } } }
layer { name: "doubled" type: "Power" bottom: "data" top: "doubled" power_param { scale: 2 shift: 1 } }
layer { name: "sum" type: "Reduction" bottom: "doubled" top: "sum" reduction_param { operation: SUM axis: 1 } }
"""
TWO_INPUTS = """
name: "two"
input: "left" input_shape { dim: 1 dim: 2 }
input: "right" input_shape { dim: 1 dim: 2 }
layer { name: "sum" type: "Eltwise" bottom: "left" bottom: "right" top: "sum" }
layer { name: "relu" type: "ReLU" bottom: "right" top: "positive" }
"""


def caffe_network(folder: Path, text: str, inputs: dict[str, list], outputs: dict[str, list]) -> Network:
    """A network whose ONNX side only tells names and shapes: the backend under test runs the Caffe files."""
    prototxt = folder / "net.prototxt"
    prototxt.write_text(text, encoding="utf-8")
    graph = helper.make_graph(
        [helper.make_node("Identity", [next(iter(inputs))], [name]) for name in outputs],
        "caffe",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape]) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape]) for name, shape in outputs.items()],
    )
    model = helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    return Network.from_model(model, "caffe", source=CaffeSource(prototxt, None))


@pytest.fixture(scope="module")
def engine(caffe_root: CaffeRoot, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("linear")
    network = caffe_network(folder, LINEAR, {"data": [3, 4, 5]}, {"doubled": [3, 4, 5], "sum": []})
    return build(network, backend="caffe", max_batch=8, caffe_root=caffe_root.path)


@pytest.mark.pycaffe
def test_batches_of_any_size_in_any_order(engine: Engine) -> None:
    with engine.session(threads=1) as session:
        for batch in (3, 1, 8, 8, 2):
            fed = np.random.default_rng(batch).standard_normal((batch, 3, 4, 5)).astype(np.float32)
            found = session.run(fed)
            np.testing.assert_allclose(found["doubled"], 2 * fed + 1, rtol=1e-6)
            # 60 summands in float32: 1e-4 is far above rounding and far below any mistake
            np.testing.assert_allclose(found["sum"], (2 * fed + 1).sum(axis=(1, 2, 3)), atol=1e-4)


@pytest.mark.pycaffe
def test_only_the_forward_call_is_in_the_trace_and_the_way_there_is_told_apart(engine: Engine) -> None:
    with engine.session(threads=1) as session:
        session.run(np.zeros((8, 3, 4, 5), np.float32))
        trace = session.execute()
        assert trace.wall == trace.compute > 0.0
        assert trace.host_to_device == trace.device_to_host == 0.0
        told = session.details()["overhead_seconds"]
        assert set(told) == {"load", "load_in_worker", "execute", "fetch"}
        assert all(seconds > 0.0 for seconds in told.values())
        assert session.memory_bytes() > 10_000_000


@pytest.mark.pycaffe
def test_several_inputs_and_outputs_go_by_name(caffe_root: CaffeRoot, tmp_path: Path) -> None:
    network = caffe_network(tmp_path, TWO_INPUTS, {"left": [2], "right": [2]}, {"sum": [2], "positive": [2]})
    engine = build(network, backend="caffe", max_batch=4, caffe_root=caffe_root.path)
    with engine.session(threads=1) as session:
        left, right = np.ones((3, 2), np.float32), np.array([[-1, 2]] * 3, np.float32)
        found = session.run({"right": right, "left": left})
        np.testing.assert_array_equal(found["sum"], left + right)
        np.testing.assert_array_equal(found["positive"], np.maximum(right, 0))


@pytest.mark.pycaffe
def test_results_are_the_callers_own(engine: Engine) -> None:
    with engine.session(threads=1) as session:
        first = session.run(np.ones((2, 3, 4, 5), np.float32))["doubled"]
        session.run(np.zeros((2, 3, 4, 5), np.float32))
        assert (first == 3).all()


@pytest.mark.pycaffe
def test_nonfinite_outputs_are_counted(engine: Engine) -> None:
    with engine.session(threads=1) as session:
        fed = np.zeros((1, 3, 4, 5), np.float32)
        fed[0, 0, 0, 0] = np.inf
        session.run(fed)
        assert session.details()["nonfinite_outputs"] == {"doubled": 1, "sum": 1}


@pytest.mark.pycaffe
@pytest.mark.parametrize(
    "feed, told",
    [
        (np.zeros((9, 3, 4, 5), np.float32), "9 images"),
        (np.zeros((1, 3, 4, 4), np.float32), r"\[1, 3, 4, 4\]"),
        ({"image": np.zeros((1, 3, 4, 5), np.float32)}, "image"),
    ],
)
def test_a_wrong_feed_is_refused_and_the_session_goes_on(engine: Engine, feed: object, told: str) -> None:
    with engine.session(threads=1) as session:
        with pytest.raises(BackendError, match=told):
            session.load(feed)  # type: ignore[arg-type]
        assert session.run(np.ones((1, 3, 4, 5), np.float32))["doubled"].max() == 3


@pytest.mark.pycaffe
def test_a_session_that_is_closed_or_has_nothing_loaded_says_so(engine: Engine) -> None:
    session = engine.session(threads=1)
    with pytest.raises(BackendError, match="load"):
        session.execute()
    session.close()
    session.close()
    with pytest.raises(BackendError, match="closed"):
        session.load(np.zeros((1, 3, 4, 5), np.float32))
    assert session.memory_bytes() is None


@pytest.mark.pycaffe
def test_layers_are_timed_one_by_one(engine: Engine) -> None:
    with engine.session(threads=1) as session:
        with pytest.raises(BackendError, match="load"):
            session.layer_times(3)
        session.load(np.zeros((1, 3, 4, 5), np.float32))
        layers = session.layer_times(3)
        assert all(row.seconds is not None and row.seconds >= 0 for row in layers)
        assert [(row.name, row.kind) for row in layers if row.kind != "Split"] == [
            ("data", "Input"),
            ("doubled", "Power"),
            ("sum", "Reduction"),
        ]


@pytest.mark.pycaffe
def test_a_cpu_only_caffe_asked_for_a_gpu_is_unavailable(engine: Engine, caffe_root: CaffeRoot) -> None:
    on_gpu = build(engine.network, backend="caffe", caffe_root=caffe_root.path, gpu=True)
    with pytest.raises(BackendUnavailable, match="CPU"):
        on_gpu.session()


@pytest.mark.pycaffe
def test_a_network_that_differs_from_its_prototxt_is_refused(caffe_root: CaffeRoot, tmp_path: Path) -> None:
    network = caffe_network(tmp_path, LINEAR, {"image": [3, 4, 5]}, {"sum": []})
    with pytest.raises(BackendError, match="image"):
        build(network, backend="caffe", caffe_root=caffe_root.path).session()


@pytest.mark.pycaffe
def test_an_engine_knows_its_caffe(engine: Engine) -> None:
    assert engine.info.version.startswith("1.0")  # type: ignore[union-attr]
    assert engine.info.size_bytes == engine.network.source.prototxt.stat().st_size  # type: ignore[union-attr]


def test_caffe_computes_in_fp32_only() -> None:
    found = backend("caffe").availability("int8")
    assert not found.ok
    assert "fp32" in found.reason


def test_without_caffe_the_backend_is_unavailable_with_the_installing_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("INFERKIT_CAFFE_ROOT", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = backend("caffe").availability()
    assert not found.ok
    assert "inferkit.backends.caffe.install" in found.hint


def test_a_network_that_is_not_from_caffe_cannot_run_there() -> None:
    with pytest.raises(BackendError, match="onnxruntime"):
        build(classifier(), backend="caffe")


def test_files_that_are_gone_are_named(tmp_path: Path) -> None:
    network = caffe_network(tmp_path, LINEAR, {"data": [3, 4, 5]}, {"sum": []})
    (tmp_path / "net.prototxt").unlink()
    with pytest.raises(BackendError, match=r"net\.prototxt"):
        build(network, backend="caffe")


TRAINING = """
name: "training"
layer {
  name: "mnist" type: "Data" top: "data" top: "label" include { phase: TEST }
  data_param { source: "/nowhere/lmdb" batch_size: 64 backend: LMDB }
}
layer {
  name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "constant" value: 0.5 } }
}
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include { phase: TEST } }
"""
STAGES = """
name: "staged"
input: "data"
layer { name: "a" type: "Power" bottom: "data" top: "out" power_param { scale: 2 } include { stage: "double" } }
layer { name: "b" type: "Power" bottom: "data" top: "out" power_param { scale: 3 } exclude { stage: "double" } }
"""


@pytest.mark.pycaffe
def test_a_training_prototxt_runs_without_its_data_and_loss_layers(caffe_root: CaffeRoot, tmp_path: Path) -> None:
    prototxt = tmp_path / "train_val.prototxt"
    prototxt.write_text(TRAINING, encoding="utf-8")
    network = inferkit.load(prototxt, input_shape=(1, 2, 1, 1))
    fed = np.random.default_rng(0).standard_normal((4, 2, 1, 1)).astype(np.float32)
    with (
        build(network, backend="caffe", max_batch=4, caffe_root=caffe_root.path).session(threads=1) as caffe,
        build(network, backend="onnxruntime", max_batch=4, threads=1).session() as onnxruntime,
    ):
        for name, expected in onnxruntime.run(fed).items():
            np.testing.assert_allclose(caffe.run(fed)[name], expected, atol=1e-6)


@pytest.mark.pycaffe
@pytest.mark.parametrize("stages, factor", [(("double",), 2), ((), 3)])
def test_stages_and_shapes_that_the_network_was_loaded_with_reach_caffe(
    caffe_root: CaffeRoot, tmp_path: Path, stages: tuple[str, ...], factor: int
) -> None:
    prototxt = tmp_path / "net.prototxt"
    prototxt.write_text(STAGES, encoding="utf-8")
    network = inferkit.load(prototxt, stages=stages, input_shape=(1, 2))
    with build(network, backend="caffe", max_batch=2, caffe_root=caffe_root.path).session(threads=1) as session:
        fed = np.array([[1, 2], [3, 4]], np.float32)
        np.testing.assert_array_equal(session.run(fed)["out"], factor * fed)


@pytest.mark.pycaffe
@pytest.mark.parametrize("name", ["lenet", "squeezenet1_1"])
def test_caffe_and_onnx_runtime_agree_on_networks_of_the_zoo(caffe_root: CaffeRoot, name: str) -> None:
    network = inferkit.load(name)
    shape = [3, *(dim or 1 for dim in network.inputs[0].shape[1:])]
    fed = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    with (
        build(network, backend="caffe", max_batch=3, caffe_root=caffe_root.path).session(threads=1) as caffe,
        build(network, backend="onnxruntime", max_batch=3, threads=1).session() as onnxruntime,
    ):
        expected, found = caffe.run(fed), onnxruntime.run(fed)
        assert expected.keys() == found.keys()
        for blob, values in expected.items():
            # the import's own bound: 1e-4 of the output's scale
            np.testing.assert_allclose(found[blob], values, atol=1e-4 * np.abs(values).max())
