"""The batch's axis of every input and output: by the names of dimensions, by fixed sizes, or as declared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import parser

import inferkit
from inferkit.errors import UsageError
from inferkit.network.batch_axis import batch_axes, batch_names
from inferkit.network.network import Network
from inferkit.network.open_dimensions import require_sizes


def loaded(text: str, folder: Path, **options: object) -> Network:
    path = folder / "net.onnx"
    onnx.save(parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{text}'), path)
    return inferkit.load(path, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("inputs", "axes"),
    [
        ([("N", 3, "H", "W")], [0]),
        ([("N", 16), (2, "N", 16)], [0, 1]),  # the state of a recurrent network
        ([("time", "batch", 8)], [1]),  # named as batches are, on whatever axis
        ([("T", "B", 8), (1, "B", 8)], [1, 1]),
        ([("rows", 8), (4, "rows", 8)], [0, 1]),  # no usual name, but the one that both share
        ([("x", "y", 8), ("y", 8)], [1, 0]),
        ([(40, "batch_size")], [1]),  # the last axis
        ([("batch", "seq"), ("batch", "seq"), ()], [0, 0, None]),  # ids, mask and a scalar
        ([("N", 16), ("batch", 16)], [0, 0]),  # each input with a name of its own
        ([("x_dynamic_axes_1", 4), ("z_dynamic_axes_1", 4)], [0, 0]),
        ([("unk__7", 4), ("unk__8", 4)], [0, 0]),
        ([("p2o.DynamicDimension.0", 3), ("p2o.DynamicDimension.1", 3)], [0, 0]),
        ([("N", 3, 8, 8), ("R", 4)], [0, None]),  # as many regions as there are
        ([("N", 8), (100, 8)], [0, None]),  # anchors
        ([("left", 4), ("right", 4)], [None, None]),  # which is the batch, nothing says
        ([("seq_len", 80)], [None]),
        ([("N", 8), ("N", "N")], [None, None]),  # a graph and its N by N edges: cutting along one axis breaks it
        ([("frames", "N", "N"), ("batch", 2)], [None, 0]),
        ([("", 8), ("", 2, "")], [0, 0]),  # no names at all
        ([("", 8), ("unk__4", 8)], [0, 0]),  # nor a name that says anything
        ([("s77", 8), ("s12", 2)], [0, 0]),
        ([("", 8), ("N", 8)], [None, 0]),  # whoever names the batch leaves unnamed what is another size
        ([("N", 8), ("", 4), ("", 2)], [0, None, None]),
        ([("N", 8), ("", 3, 32, 32)], [0, 0]),  # but images are a batch
        ([("num_nodes", 8)], [None]),  # counts of what is no batch
        ([("rows", 8)], [None]),
        ([("edges", 2)], [None]),
        ([("sequence", 8)], [None]),
        ([("tokens", 8)], [None]),
        ([("n_atoms", 3)], [None]),
        ([("nodes", 8), ("nodes", 3)], [None, None]),  # of one graph
        ([("num_nodes", 8), ("batch",)], [None, 0]),
        ([("num_images", 8)], [0]),
        ([("n_samples", 8)], [0]),
        ([("anything", 3, 32, 32)], [0]),
        ([("rows", 3, 32, 32)], [0]),  # an image for each
        ([("anything", 8)], [0]),
        ([(1, 3, 8, 8)], [0]),
        ([(1, 16), (2, 1, 16)], [None, None]),
    ],
)
def test_the_batch_is_known_by_name(inputs: list[tuple], axes: list) -> None:
    assert batch_axes(inputs, [])[0] == axes


@pytest.mark.parametrize(
    ("given", "result", "axes"),
    [((4, 8), (4, 10), ([0], [0])), ((4, 8), (3, 4), ([None], [None])), ((1, 8), (100, 4), ([0], [None]))],
)
def test_a_fixed_first_axis_is_the_batch_if_an_output_has_it_too(given: tuple, result: tuple, axes: tuple) -> None:
    assert batch_axes([given], [result]) == axes


_DIMS = st.lists(st.one_of(st.integers(1, 4), st.sampled_from(["", "N", "T", "H", "rows", "batch"])), max_size=4)


@given(st.lists(_DIMS, min_size=1, max_size=3), st.lists(_DIMS, max_size=2))
def test_an_axis_exists_and_is_open_where_any_batch_is(inputs: list[list], outputs: list[list]) -> None:
    names = batch_names(inputs)
    assert names <= {dim for dims in inputs for dim in dims if isinstance(dim, str)}
    of_inputs, of_outputs = batch_axes(inputs, outputs)
    for dims, axis in [*zip(inputs, of_inputs, strict=True), *zip(outputs, of_outputs, strict=True)]:
        assert axis is None or 0 <= axis < len(dims)
    if names:
        chosen = [dims[axis] for dims, axis in zip(inputs, of_inputs, strict=True) if axis is not None]
        assert all(dim in names or dim == "" for dim in chosen)


def test_an_output_with_its_batch_on_another_axis_is_known_whatever_the_file_calls_it(tmp_path: Path) -> None:
    text = "g (float[N, 4] x) => (float[4, columns] y, float[K, 2] at) { y = Transpose<perm = [1, 0]>(x) c = IsNaN(x) "
    text += "n = NonZero(c) t = Transpose<perm = [1, 0]>(n) at = Cast<to = 1>(t) }"
    network = loaded(text, tmp_path)
    assert [(info.text, info.batch_axis) for info in network.outputs] == [("[4, N]", 1), ("[K, 2]", None)]
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    with inferkit.build(network, max_batch=3).session() as session:
        for rows in (3, 1, 2):
            results = session.run(x[:rows])
            np.testing.assert_array_equal(results["y"], x[:rows].T)
            assert results["at"].shape == (0, 2)


def test_what_is_declared_counts_more_than_names(tmp_path: Path) -> None:
    text = "g (float[left, 4] x, float[right, 4] z) => (float[left, 4] y) { y = Add(x, z) }"
    network = loaded(text, tmp_path, batch_axis={"x": 0, "z": 0})
    assert [info.batch_axis for info in (*network.inputs, *network.outputs)] == [0, 0, 0]
    text = "g (float[batch, rows, 4] x) => (float[batch, rows, 4] y) { y = Relu(x) }"
    network = loaded(text, tmp_path, batch_axis=1)
    assert [(info.batch_axis, info.open_axes) for info in (*network.inputs, *network.outputs)] == [(1, (0,))] * 2


@pytest.mark.parametrize(
    ("axes", "reason"),
    [
        ({"z": 0}, "no input or output 'z'"),
        ({"x": 2}, "axis 2 cannot be the batch"),
        ({"x": 1}, "only an open dimension"),
        (-1, "axis -1 cannot"),
    ],
)
def test_an_axis_that_cannot_be_the_batch_is_refused(axes: object, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=reason):
        loaded("g (float[N, 4] x) => (float[N, 4] y) { y = Relu(x) }", tmp_path, batch_axis=axes)


def test_caffe_nets_and_those_of_the_zoo_have_their_batch_on_the_first_axis() -> None:
    assert inferkit.load("lenet").inputs[0].batch_axis == 0
    with pytest.raises(UsageError, match=r"ONNX models only.*axis 0"):
        inferkit.load("lenet", batch_axis=1)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_precision_keeps_the_axes(precision: str, tmp_path: Path) -> None:
    """And images lie along them in calibration: a batch of three is counted as three."""
    text = """g (float[N, 4] x, float[2, N, 4] state, float gain) => (float[N, 3] y)
        <float[4, 3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3}>
        { first = Constant<value_int = 1>() s = Gather<axis = 0>(state, first) a = Add(x, s) b = Mul(a, gain)
          y = MatMul(b, w) }"""
    network = loaded(text, tmp_path)
    random = np.random.default_rng(4)
    feeds = {"x": random.standard_normal((3, 4)), "state": random.standard_normal((2, 3, 4)), "gain": np.float64(2)}
    feeds = {name: np.asarray(value, np.float32) for name, value in feeds.items()}
    options = {"calibration": [feeds]} if precision == "int8" else {}
    reduced = inferkit.at_precision(network, precision, **options)
    assert [info.batch_axis for info in reduced.inputs] == [0, 1, None]
    weights = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3], np.float32).reshape(4, 3)
    expected = 2 * (feeds["x"] + feeds["state"][1]) @ weights
    with inferkit.build(reduced, max_batch=3).session() as session:
        error = np.abs(session.run(feeds)["y"] - expected).max() / np.abs(expected).max()
    assert error < {"fp16": 0.002, "int8": 0.03}[precision]  # 11 bits; 255 steps of two factors


@pytest.mark.parametrize(("nodes", "axis"), [("y = Add(x, s)", 1), ("y = Relu(x)", None)])
def test_a_dimension_without_a_name_is_the_batch_if_no_other_size_fits(
    nodes: str, axis: int | None, tmp_path: Path
) -> None:
    text = "g (float[N, 4] x, float[2, M, 4] state) => (float[N, 4] y, float[2, K, 4] kept)"
    text += f" {{ zero = Constant<value_int = 0>() s = Gather(state, zero) kept = Relu(state) {nodes} }}"
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{text}')
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.ClearField("dim_param")
    onnx.save(model, tmp_path / "net.onnx")
    network = inferkit.load(tmp_path / "net.onnx")
    assert [info.batch_axis for info in (*network.inputs, *network.outputs)] == [0, axis, 0, axis]


def test_a_first_dimension_without_a_name_beside_a_named_batch_is_an_error_with_the_line_that_states_it(
    tmp_path: Path,
) -> None:
    text = """g (float[N, 4] x, float[M, 4] anchors) => (float[N, 4] y)
        { one = Constant<value_ints = [0]>() s = ReduceSum(anchors, one) y = Add(x, s) }"""
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{text}')
    model.graph.input[1].type.tensor_type.shape.dim[0].ClearField("dim_param")
    onnx.save(model, tmp_path / "net.onnx")
    network = inferkit.load(tmp_path / "net.onnx")
    assert [info.batch_axis for info in network.inputs] == [0, None]
    with pytest.raises(UsageError, match=r"'anchors' is \[\?, 4\].*`batch_axis = \{anchors = 0\}`"):
        require_sizes(network.inputs)
    declared = inferkit.load(tmp_path / "net.onnx", batch_axis={"anchors": 0})
    assert [info.batch_axis for info in declared.inputs] == [0, 0]
    x, anchors = np.ones((3, 4), np.float32), np.eye(3, 4, dtype=np.float32)
    with inferkit.build(declared, max_batch=3).session() as session:
        result = session.run({"x": x, "anchors": anchors})["y"]
    np.testing.assert_array_equal(result, x + anchors.sum(0, keepdims=True))


@pytest.mark.parametrize("name", ["num_nodes", "rows"])
def test_a_count_of_something_else_is_an_error_with_the_line_that_makes_it_the_batch(name: str, tmp_path: Path) -> None:
    text = f"g (float[{name}, 4] x) => (float[{name}, 4] y) {{ y = Softmax<axis = 0>(x) }}"
    with pytest.raises(UsageError, match=rf"nothing states {name}.*`batch_axis = {{x = 0}}`"):
        require_sizes(loaded(text, tmp_path).inputs)
    assert loaded(text, tmp_path, batch_axis=0).inputs[0].batch_axis == 0
    assert loaded(text, tmp_path, input_shape={name: 7}).inputs[0].shape == (7, 4)
