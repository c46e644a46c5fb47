"""Open dimensions of ONNX files: fixed on request, the batch left as it is, and refused where they do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser

import inferkit
from inferkit.cli.main import main
from inferkit.errors import NetworkError, UsageError
from inferkit.network.open_dimensions import require_sizes

NET = """
<ir_version: 8, opset_import: ["" : 17]>
any_size (float[n, 3, height, width] image, float[n, 2] hints) => (float[n, 3, h, w] map, float[n, 2] sum)
{
  map = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (image)
  pooled = GlobalAveragePool (map)
  two = Constant <value_ints = [0, 1]> ()
  picked = Gather <axis = 1> (pooled, two)
  flat = Flatten (picked)
  sum = Add (flat, hints)
}
"""
SHAPES = {"image": (1, 3, 8, 6)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "any.onnx"
    onnx.save(parser.parse_model(NET), target)
    return target


def change_open_dimensions(path: Path, field: str, value: int | str) -> None:
    """Write this in place of every name of a dimension."""
    model = onnx.load(path)
    for info in (*model.graph.input, *model.graph.output):
        for dim in info.type.tensor_type.shape.dim:
            if dim.dim_param:
                setattr(dim, field, value)
    onnx.save(model, path)


def test_open_dimensions_get_their_numbers_and_the_batch_stays_open(path: Path) -> None:
    assert inferkit.load(path).inputs[0].shape == (None, 3, None, None)
    network = inferkit.load(path, input_shape=SHAPES)
    assert [info.shape for info in network.inputs] == [(None, 3, 8, 6), (None, 2)]
    assert [info.shape for info in network.outputs] == [(None, 3, 4, 3), (None, 2)]
    feeds = {"image": np.ones((5, 3, 8, 6), np.float32), "hints": np.zeros((5, 2), np.float32)}
    with inferkit.build(network, max_batch=5).session() as session:
        np.testing.assert_array_equal(session.run(feeds)["sum"], np.ones((5, 2)))


@pytest.mark.parametrize("unknown", [-1, 0])
def test_a_number_below_one_is_an_open_dimension_too(path: Path, unknown: int) -> None:
    """As some exporters write it."""
    change_open_dimensions(path, "dim_value", unknown)
    assert inferkit.load(path).inputs[0].shape == (None, 3, None, None)
    network = inferkit.load(path, input_shape=SHAPES)
    assert [info.shape for info in network.outputs] == [(None, 3, 4, 3), (None, 2)]
    with inferkit.build(network, max_batch=2).session() as session:
        session.run({"image": np.ones((2, 3, 8, 6), np.float32), "hints": np.zeros((2, 2), np.float32)})


def test_types_that_only_the_file_knows_are_kept(tmp_path: Path) -> None:
    """Of operators outside of the standard, which shape inference does not know."""
    text = """
    <ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>
    foreign (float[n, 3, height, width] image) => (float[n, 3, height, width] out)
      <float[n, 3, height, width] curve>
    {
      curve = com.microsoft.Gelu (image)
      out = Relu (curve)
    }
    """
    onnx.save(parser.parse_model(text), tmp_path / "foreign.onnx")
    network = inferkit.load(tmp_path / "foreign.onnx", input_shape=(1, 3, 8, 6))
    x = np.linspace(-1, 1, 2 * 3 * 8 * 6, dtype=np.float32).reshape(2, 3, 8, 6)
    result = []
    for each in (network, inferkit.at_precision(network, "fp16")):
        with inferkit.build(each, max_batch=2).session() as session:
            result.append(session.run(x)["out"])
    np.testing.assert_allclose(result[1], result[0], atol=2e-3)


def test_sizes_go_by_the_names_of_dimensions_wherever_they_are(path: Path) -> None:
    network = inferkit.load(path, input_shape={"height": 8, "width": 6})
    assert [info.shape for info in network.inputs] == [(None, 3, 8, 6), (None, 2)]
    assert [info.shape for info in network.outputs] == [(None, 3, 4, 3), (None, 2)]
    mixed = inferkit.load(path, input_shape={"n": 2, "image": (2, 3, 8, 6)})
    assert [info.shape for info in mixed.inputs] == [(2, 3, 8, 6), (2, 2)]


def test_a_batch_on_another_axis_stays_open_when_a_shape_is_given(tmp_path: Path) -> None:
    text = "g (float[time, N, 4] x) => (float[time, N, 4] y) { y = Relu(x) }"
    onnx.save(parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{text}'), tmp_path / "net.onnx")
    network = inferkit.load(tmp_path / "net.onnx", input_shape=(9, 1, 4))
    assert [info.shape for info in (*network.inputs, *network.outputs)] == [(9, None, 4)] * 2


@pytest.mark.parametrize("sign", ["?", "None", "-1"])
def test_a_sign_in_place_of_a_name_is_none(sign: str, path: Path) -> None:
    """As PaddlePaddle's exporter writes it: two such dimensions need not be equal."""
    change_open_dimensions(path, "dim_param", sign)
    image, hints = inferkit.load(path).inputs
    assert (image.text, image.batch_axis, hints.batch_axis) == ("[N, 3, ?, ?]", 0, 0)


@pytest.mark.parametrize("unnamed", [False, True])
def test_a_size_that_nothing_states_is_named_with_the_lines_that_state_it(unnamed: bool, path: Path) -> None:
    if unnamed:
        model = onnx.load(path)
        for dim in model.graph.input[0].type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.ClearField("dim_param")
        onnx.save(model, path)
    with pytest.raises(UsageError) as caught:
        require_sizes(inferkit.load(path).inputs)
    named = (
        "'image' is [n, 3, height, width]",
        "nothing states height and width",
        "`shape = {height = 224, width = 224}`",
        "`--input-shape height=224,width=224`",
        "input_shape={'height': 224, 'width': 224}",
    )
    by_input = (
        "nothing states dimension 2 of 'image' and dimension 3 of 'image'",
        "`shape = {image = [1, 3, 224, 224]}`",
        "`--input-shape image=1,3,224,224`",
        "input_shape={'image': (1, 3, 224, 224)}",
    )
    for words in by_input if unnamed else named:
        assert words in str(caught.value)
    stated = {"image": (1, 3, 224, 224)} if unnamed else {"height": 224, "width": 224}
    require_sizes(inferkit.load(path, input_shape=stated).inputs)  # what the message says is enough


def test_where_no_axis_is_known_to_be_the_batch_the_message_says_how_to_declare_one(tmp_path: Path) -> None:
    text = "g (float[left, 4] x, float[right, 4] z) => (float[left, 4] y) { y = Add(x, z) }"
    onnx.save(parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{text}'), tmp_path / "net.onnx")
    with pytest.raises(UsageError, match=r"left and right.*`batch_axis = \{x = 0\}`, `--batch-axis x=0`"):
        require_sizes(inferkit.load(tmp_path / "net.onnx").inputs)


def test_the_command_writes_the_fixed_model(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "fixed.onnx"
    assert main(["import", str(path), "--input-shape", "image=1,3,8,6", "-o", str(target)]) == 0
    assert inferkit.load(target).inputs[0].shape == (None, 3, 8, 6)


@pytest.mark.tensorrt_rtx
def test_tensorrt_builds_what_is_fixed_and_names_the_way_where_it_is_not(path: Path) -> None:
    options = {"backend": "tensorrt", "flavour": "tensorrt_rtx", "max_batch": 4, "target": "sm89", "cache": False}
    with pytest.raises(UsageError, match=r"\[n, 3, height, width\].*--input-shape height=224,width=224"):
        inferkit.build(inferkit.load(path), **options)
    assert inferkit.build(inferkit.load(path, input_shape=SHAPES), **options).info.size_bytes


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ((1, 3, 8, 8), "image, hints; give their shapes by name"),
        ({"picture": (1, 3, 8, 8)}, "no input 'picture'; its inputs: image, hints"),
        ({"image": (1, 4, 8, 8)}, r"has the shape \[\?, 3, \?, \?\] in the file and cannot take \[1, 4, 8, 8\]"),
        ({"image": (3, 8, 8)}, "cannot take"),
        ({"image": (1, 3, 0, 8)}, "cannot take"),
        ({"depth": 8}, "no open dimension 'depth'.*have n, height, width"),
        ({"height": 0}, "'height' cannot be 0"),
    ],
)
def test_shapes_that_contradict_the_file_are_refused(path: Path, shapes: object, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        inferkit.load(path, input_shape=shapes)  # type: ignore[arg-type]


def test_what_fixed_dimensions_change_is_an_error_with_the_output(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from inferkit.network import onnx_file

    fix = onnx_file.fix_open_dimensions

    def wrong_node(model: onnx.ModelProto, *arguments: object) -> None:
        fix(model, *arguments)
        next(node for node in model.graph.node if node.op_type == "MaxPool").op_type = "AveragePool"

    def wrong_shape(model: onnx.ModelProto, *arguments: object) -> None:
        fix(model, *arguments)
        model.graph.output[1].type.tensor_type.shape.dim[1].dim_value = 3

    for wrong, message in (
        (wrong_node, "'map' has other values"),
        (wrong_shape, r"'sum' states the shape \[None, 3\]"),
    ):
        monkeypatch.setattr(onnx_file, "fix_open_dimensions", wrong)
        with pytest.raises(NetworkError, match=message):
            inferkit.load(path, input_shape=SHAPES)
