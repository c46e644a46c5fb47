"""ONNX Runtime runs batches of any size, says what is wrong with a feed, and starts warm from a stored model."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferkit.backends import backend, build
from inferkit.backends.base import Engine
from inferkit.errors import BackendError, BackendUnavailable, UsageError
from inferkit.network.network import Network
from tests.backends.small_networks import classifier, classifier_by_hand, images, network

CLASSIFIER = classifier()


@pytest.fixture(scope="module")
def engine() -> Engine:
    return build(CLASSIFIER, backend="onnxruntime", max_batch=8, threads=1)


@given(batches=st.lists(st.integers(1, 8), min_size=1, max_size=5), seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_batches_of_any_size_in_any_order_give_what_the_definition_says(batches: list[int], seed: int) -> None:
    engine = build(CLASSIFIER, max_batch=8, threads=1)
    with engine.session() as session:
        for number, batch in enumerate(batches):
            fed = images(batch, seed + number)
            found = session.run(fed)["prob"]
            # fp32 sums of 27 products, a softmax: 1e-5 is ten times what rounding can add up to here
            np.testing.assert_allclose(found, classifier_by_hand(fed), atol=1e-5)


def test_results_are_the_callers_own(engine: Engine) -> None:
    with engine.session() as session:
        first = session.run(images(2, seed=1))["prob"]
        kept = first.copy()
        session.run(images(2, seed=2))
        np.testing.assert_array_equal(first, kept)


def test_a_staged_batch_is_not_changed_by_what_the_caller_does_to_its_array(engine: Engine) -> None:
    with engine.session() as session:
        fed = images(2)
        expected = session.run(fed.copy())["prob"]
        session.load(fed)
        fed[:] = 0
        session.execute()
        np.testing.assert_array_equal(session.fetch()["prob"], expected)


def test_execute_repeats_without_another_load_and_without_a_new_array() -> None:
    large = network(
        '<ir_version: 8, opset_import: ["" : 17]> large (float[N, 262144] data) => (float[N, 262144] out)'
        " { out = Relu(data) }"
    )
    with build(large, threads=1).session() as session:
        session.load(np.ones((1, 262144), np.float32))
        tracemalloc.start()
        traces = [session.execute() for _ in range(20)]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert all(trace.wall == trace.compute > 0.0 for trace in traces)
    assert all(trace.host_to_device == trace.device_to_host == 0.0 for trace in traces)
    assert peak < 100_000  # bytes; one output array is a million


def test_two_sessions_of_one_engine_do_not_mix(engine: Engine) -> None:
    with engine.session() as one, engine.session() as other:
        one.load(images(2, seed=1))
        other.load(images(3, seed=2))
        one.execute()
        other.execute()
        np.testing.assert_allclose(one.fetch()["prob"], classifier_by_hand(images(2, seed=1)), atol=1e-5)
        np.testing.assert_allclose(other.fetch()["prob"], classifier_by_hand(images(3, seed=2)), atol=1e-5)


@pytest.mark.parametrize(
    "feed, told",
    [
        (images(9), "9 images"),
        (images(2)[:, :2], r"\[2, 2, 8, 8\]"),
        (images(2).astype(np.float64), "float64"),
        ({"picture": images(2)}, "picture"),
        (np.full((1, 3, 8, 8), np.nan, np.float32), "NaN"),
    ],
)
def test_a_wrong_feed_is_refused_with_what_is_wrong(engine: Engine, feed: object, told: str) -> None:
    with engine.session() as session, pytest.raises(BackendError, match=told):
        session.run(feed)  # type: ignore[arg-type]


def test_a_session_that_is_closed_or_has_nothing_loaded_says_so(engine: Engine) -> None:
    session = engine.session()
    with pytest.raises(BackendError, match="load"):
        session.execute()
    session.load(images(1))
    with pytest.raises(BackendError, match="execute"):
        session.fetch()
    session.close()
    session.close()
    for call in (session.execute, session.fetch, lambda: session.load(images(1))):
        with pytest.raises(BackendError, match="closed"):
            call()


def test_several_inputs_and_outputs_go_by_name() -> None:
    added = network(
        """<ir_version: 8, opset_import: ["" : 17]>
        two (float[N, 2] a, float[N, 2] b, float[1, 2] offset) => (float[N, 2] total, float[N, 2] shifted)
        { total = Add(a, b) shifted = Add(total, offset) }"""
    )
    with build(added, max_batch=4).session() as session:
        a, b = np.ones((3, 2), np.float32), np.full((3, 2), 2, np.float32)
        found = session.run({"a": a, "b": b, "offset": np.array([[10, 20]], np.float32)})
        np.testing.assert_array_equal(found["total"], a + b)
        np.testing.assert_array_equal(found["shifted"], a + b + [10, 20])
        with pytest.raises(BackendError, match="3 inputs"):
            session.run(a)
        with pytest.raises(BackendError, match="'b' holds 2"):
            session.run({"a": a, "b": b[:2], "offset": np.zeros((1, 2), np.float32)})


def test_an_output_whose_rows_are_not_images_keeps_its_shape() -> None:
    rows = network(
        """<ir_version: 8, opset_import: ["" : 17]>
        rows (float[N, 4] data) => (float[M, 2] pairs) { pairs = Reshape(data, shape) }""",
        shape=np.array([-1, 2], np.int64),
    )
    with build(rows, max_batch=4).session() as session:
        for batch in (3, 1, 3):
            fed = np.arange(4 * batch, dtype=np.float32).reshape(batch, 4)
            np.testing.assert_array_equal(session.run(fed)["pairs"], fed.reshape(-1, 2))


def test_uint8_images_follow_the_graph() -> None:
    scaled = network(
        """<ir_version: 8, opset_import: ["" : 17]>
        bytes (uint8[N, 3] data) => (float[N, 3] out)
        { floats = Cast <to = 1> (data) out = Mul(floats, scale) }""",
        scale=np.array(0.5, np.float32),
    )
    with build(scaled, max_batch=2).session() as session:
        fed = np.array([[0, 100, 255]], np.uint8)
        np.testing.assert_array_equal(session.run(fed)["out"], fed * np.float32(0.5))
        with pytest.raises(BackendError, match="uint8"):
            session.run(fed.astype(np.float32))


def test_nonfinite_outputs_are_counted() -> None:
    logarithm = network(
        '<ir_version: 8, opset_import: ["" : 17]> logs (float[N, 3] data) => (float[N, 3] out) { out = Log(data) }'
    )
    with build(logarithm, max_batch=2).session() as session:
        session.run(np.array([[1, 0, -1]], np.float32))
        assert session.nonfinite == {"out": 2}  # type: ignore[attr-defined]
        assert session.details()["nonfinite_outputs"] == {"out": 2}
        session.run(np.array([[1, 2, 3]], np.float32))
        assert session.nonfinite == {}  # type: ignore[attr-defined]


def test_a_network_of_a_fixed_batch_needs_an_engine_for_it() -> None:
    fixed = network(
        '<ir_version: 8, opset_import: ["" : 17]> fixed (float[4, 2] data) => (float[4, 2] out) { out = Relu(data) }'
    )
    with pytest.raises(BackendError, match="max_batch=4"):
        build(fixed, max_batch=1)
    with build(fixed, max_batch=4).session() as session:
        assert session.run(np.ones((4, 2), np.float32))["out"].shape == (4, 2)


def test_a_graph_that_onnx_runtime_refuses_is_a_backend_error_with_its_words() -> None:
    good = classifier()
    broken = onnx.ModelProto.FromString(good.model.SerializeToString())
    broken.graph.node[0].op_type = "Convolve"
    with pytest.raises(BackendError, match="Convolve"):
        build(Network.from_model(broken, "broken"))


@pytest.mark.parametrize("precision", ["bf16", "fp8", "tf32"])
def test_precisions_without_kernels_on_the_cpu_are_unavailable_with_the_reason(precision: str) -> None:
    found = backend("onnxruntime").availability(precision)
    assert not found.ok
    assert found.reason
    reduced = CLASSIFIER.with_model(CLASSIFIER.model, precision=precision)
    with pytest.raises(BackendUnavailable):
        build(reduced)


@pytest.mark.parametrize(
    "wrong", [{"threads": 0}, {"threads": True}, {"optimization": "most"}, {"providers": "CPUExecutionProvider"}]
)
def test_settings_without_meaning_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        build(CLASSIFIER, **wrong)


def test_an_unknown_setting_is_named_with_the_known_ones() -> None:
    with pytest.raises(BackendError, match=r"speed.*threads"):
        build(CLASSIFIER, speed="fast")


def test_a_provider_that_is_not_installed_is_unavailable() -> None:
    with pytest.raises(BackendUnavailable, match="TensorrtExecutionProvider"):
        build(CLASSIFIER, providers=("TensorrtExecutionProvider", "CPUExecutionProvider"))


def test_a_session_may_differ_from_its_engine(engine: Engine) -> None:
    with engine.session(threads=2, arena=False) as session:
        assert session.details()["threads"] == 2
        assert session.details()["arena"] is False
        np.testing.assert_allclose(session.run(images(2))["prob"], classifier_by_hand(images(2)), atol=1e-5)


def test_a_warm_start_computes_the_same_and_keeps_the_build_time(tmp_path: Path) -> None:
    cold = build(CLASSIFIER, max_batch=4, warm_start=tmp_path)
    warm = build(CLASSIFIER, max_batch=4, warm_start=tmp_path)
    assert (cold.info.details["from_cache"], warm.info.details["from_cache"]) == (False, True)
    assert warm.info.build_seconds == cold.info.build_seconds
    with cold.session() as one, warm.session() as other:
        np.testing.assert_array_equal(one.run(images(3))["prob"], other.run(images(3))["prob"])


def test_a_damaged_stored_model_is_built_anew(tmp_path: Path) -> None:
    build(CLASSIFIER, warm_start=tmp_path)
    (stored,) = tmp_path.glob("*.onnx")
    stored.write_bytes(stored.read_bytes()[:50])
    engine = build(CLASSIFIER, warm_start=tmp_path)
    assert engine.info.details["from_cache"] is False
    with engine.session() as session:
        np.testing.assert_allclose(session.run(images(1))["prob"], classifier_by_hand(images(1)), atol=1e-5)


def test_stored_models_are_told_apart_by_graph_and_settings(tmp_path: Path) -> None:
    build(CLASSIFIER, warm_start=tmp_path)
    build(CLASSIFIER, warm_start=tmp_path, optimization="basic")
    changed = onnx.ModelProto.FromString(CLASSIFIER.model.SerializeToString())
    changed.graph.initializer[0].raw_data = bytes(len(changed.graph.initializer[0].raw_data))
    build(Network.from_model(changed, CLASSIFIER.name), warm_start=tmp_path)
    assert len(list(tmp_path.glob("*.onnx"))) == 3


def test_a_profile_names_the_operators_that_took_the_time(engine: Engine) -> None:
    nodes = engine.profile(images(4), runs=3)  # type: ignore[attr-defined]
    assert {"Conv", "Softmax"} <= {node.op for node in nodes}
    assert all(node.seconds >= 0.0 for node in nodes)
    assert len({node.node for node in nodes}) == len(nodes)


def test_an_engine_knows_its_size_and_how_long_its_build_took(engine: Engine) -> None:
    assert engine.info.size_bytes == CLASSIFIER.model.ByteSize()
    assert engine.info.build_seconds is not None
    assert engine.info.build_seconds > 0.0
    assert engine.info.version


def test_a_transposition_before_a_product_in_fp16_does_not_end_the_process() -> None:
    """ONNX Runtime 1.32 fuses the two and crashes, unless it is kept from it: the attention of PyTorch's exporter."""
    attention = network(
        """
        <ir_version: 8, opset_import: ["" : 17]>
        attention (float[N, 4, 8] x) => (float[4, N, 6] y)
        {
          half = Cast <to = 10> (x)
          turned = Transpose <perm = [1, 0, 2]> (half)
          product = MatMul (turned, weights)
          y = Cast <to = 1> (product)
        }
        """,
        weights=np.eye(8, 6).astype(np.float16),
    )
    x = np.random.default_rng(0).standard_normal((3, 4, 8)).astype(np.float32)
    with build(attention, max_batch=3).session() as session:
        found = session.run(x)["y"]
    np.testing.assert_allclose(found, x.transpose(1, 0, 2)[..., :6], rtol=2**-10)


def test_a_quantized_inner_product_of_three_axes_builds_in_the_newest_operator_sets() -> None:
    """ONNX Runtime 1.32 makes a Gemm of it from operator set 21 on, which its next step contradicts."""
    mixer = network(
        """
        <ir_version: 10, opset_import: ["" : 21]>
        mixer (float[N, 4, 8] x) => (float[N, 4, 6] y)
        {
          codes = QuantizeLinear (x, scale, zero)
          real = DequantizeLinear (codes, scale, zero)
          product = MatMul (real, weights)
          y = Add (product, bias)
        }
        """,
        scale=np.array(0.05, np.float32),
        zero=np.array(0, np.int8),
        weights=np.eye(8, 6).astype(np.float32),
        bias=np.ones(6, np.float32),
    )
    x = np.random.default_rng(0).standard_normal((3, 4, 8)).astype(np.float32)
    with build(mixer, max_batch=3).session() as session:
        found = session.run(x)["y"]
    np.testing.assert_allclose(found, x[..., :6] + 1, atol=0.025 + 1e-6)  # half a step
