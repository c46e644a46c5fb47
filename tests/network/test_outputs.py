"""Outputs that files list twice, state no shape of, take from an input or size by the data come out as they should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper, parser

import inferkit
from inferkit.errors import NetworkError
from inferkit.network.network import Network

# Relative to the largest value: fp16 and bf16 keep 11 and 8 bits, int8 has 255 steps; each sum adds a few roundings.
BOUNDS = {"fp32": 0, "fp16": 0.005, "bf16": 0.04, "int8": 0.05}


def stored(text: str, folder: Path, shapeless: tuple[str, ...] = (), **weights: np.ndarray) -> Path:
    """The file of an ONNX text; outputs named in `shapeless` lose their shape."""
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>\n{text}')
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    for value in model.graph.output:
        if value.name in shapeless:
            value.type.tensor_type.ClearField("shape")
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def as_onnxruntime(path: Path, **feeds: np.ndarray) -> dict[str, np.ndarray]:
    """What ONNX Runtime computes of the file itself."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def at(network: Network, precision: str, images: np.ndarray) -> Network:
    calibration = {"calibration": images} if precision == "int8" else {}
    return network if precision == "fp32" else inferkit.at_precision(network, precision, **calibration)


def outputs_of(network: Network, images: np.ndarray) -> dict[str, np.ndarray]:
    emulate = {"emulate": True} if network.precision == "bf16" else {}
    with inferkit.build(network, max_batch=len(images), **emulate).session() as session:
        return session.run(images)


DENSE = np.linspace(-1, 1, 18, dtype=np.float32).reshape(6, 3)


@pytest.mark.parametrize("precision", BOUNDS)
def test_an_input_that_is_an_output_comes_back_bit_for_bit(precision: str, tmp_path: Path) -> None:
    path = stored(
        "g (float[N, 6] seen) => (float[N, 6] seen, float[N, 3] y) { y = MatMul(seen, w) }", tmp_path, w=DENSE
    )
    images = np.random.default_rng(3).standard_normal((5, 6)).astype(np.float32)
    network = at(inferkit.load(path), precision, images)
    first = outputs_of(network, images)
    assert np.array_equal(first["seen"], images)
    second = outputs_of(network, images * 3)
    assert np.array_equal(second["seen"], images * 3)


def test_a_network_of_nothing_but_its_input_runs(tmp_path: Path) -> None:
    path = stored("g (float[N, 2] x) => (float[N, 2] x) {}", tmp_path)
    images = np.array([[1, 2], [3, 4]], np.float32)
    assert np.array_equal(outputs_of(inferkit.load(path), images)["x"], images)


@pytest.mark.parametrize(("precision", "bound"), BOUNDS.items())
def test_an_output_listed_twice_is_computed_once(precision: str, bound: float, tmp_path: Path) -> None:
    text = "g (float[N, 6] x) => (float[N, 3] y, float[N, 3] z, float[N, 3] y) { y = MatMul(x, w) z = Relu(y) }"
    path = stored(text, tmp_path, w=DENSE)
    images = np.random.default_rng(4).standard_normal((4, 6)).astype(np.float32)
    expected = as_onnxruntime(path, x=images)
    got = outputs_of(at(inferkit.load(path), precision, images), images)
    assert list(got) == ["y", "z"]
    for name in got:
        assert np.abs(got[name] - expected[name]).max() <= bound * np.abs(expected[name]).max() + 1e-6


def test_a_shape_that_only_onnxruntime_can_infer_is_taken_from_it(tmp_path: Path) -> None:
    text = "g (float[N, 6] x) => (float[N, 6] y) { y = com.microsoft.FastGelu(x) }"
    path = stored(text, tmp_path, shapeless=("y",))
    images = np.random.default_rng(5).standard_normal((3, 6)).astype(np.float32)
    network = inferkit.load(path)
    assert network.outputs[0].shape == (None, 6)
    np.testing.assert_allclose(outputs_of(network, images)["y"], as_onnxruntime(path, x=images)["y"], atol=1e-6)


def test_an_output_of_unknown_rank_is_refused_by_its_name(tmp_path: Path) -> None:
    text = "g (float[N, M] x) => (float[N, M] y, float[N, M] thin) { y = Relu(x) thin = Squeeze(x) }"
    with pytest.raises(NetworkError, match=r"output 'thin' has no shape.*state its shape"):
        inferkit.load(stored(text, tmp_path, shapeless=("y", "thin")))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("is_shapeless", [False, True])
def test_none_and_many_rows_come_from_batches_of_one_shape(is_shapeless: bool, precision: str, tmp_path: Path) -> None:
    text = """g (float[N, 4] x) => (int64[K, 2] places, float[N, 4] y)
        { y = Relu(x) columns = NonZero(y) places = Transpose <perm = [1, 0]> (columns) }"""
    path = stored(text, tmp_path, shapeless=("places",) if is_shapeless else ())
    feeds = [np.eye(4)[:2], np.zeros((2, 4)), np.ones((2, 4)), -np.ones((2, 4)), np.ones((1, 4)), np.zeros((1, 4))]
    emulate = {"emulate": True} if precision == "bf16" else {}
    with inferkit.build(at(inferkit.load(path), precision, feeds[0]), max_batch=2, **emulate).session() as session:
        for feed in [*feeds, *reversed(feeds)]:
            images = feed.astype(np.float32)
            for name, value in as_onnxruntime(path, x=images).items():
                assert np.array_equal(session.run(images)[name], value)
                session.execute()
                assert np.array_equal(session.fetch()[name], value)


@pytest.mark.parametrize(
    ("shapes", "firsts"),
    [
        (("N", "N"), ["N", "N"]),
        (("N", "rows_of_y"), ["N", "N"]),  # inference shows that it is the batch
        ((None, None), ["inferkit_batch", "inferkit_batch"]),
        ((None, "rows"), ["inferkit_batch", "inferkit_batch"]),
    ],
)
def test_the_batch_of_an_output_is_named_as_that_of_the_input(shapes: tuple, firsts: list, tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", 1, [shapes[0], 4])],
        [helper.make_tensor_value_info("y", 1, [shapes[1], 4])],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    network = inferkit.load(path)
    assert [info.axis_name(0) for info in (*network.inputs, *network.outputs)] == firsts


def test_rows_that_the_data_decides_are_not_named_as_the_batch(tmp_path: Path) -> None:
    text = "g (float[N, 4] x) => (int64[K, 2] at) { c = NonZero(x) at = Transpose <perm = [1, 0]> (c) }"
    output = inferkit.load(stored(text, tmp_path)).outputs[0]
    assert (output.axes, output.batch_axis) == (("K", ""), None)
