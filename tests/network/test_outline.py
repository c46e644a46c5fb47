"""A network's files are checked by their outline: what is right passes unread, what is not is refused by name."""

import contextlib

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from inferkit.errors import InferkitError, NetworkError, UsageError
from inferkit.network import zoo
from inferkit.network.load import load
from inferkit.network.outline import check_files, inputs_of
from inferkit.wire import varint


def model(location=None):
    """A MatMul whose weights, 64 KiB, lie in the file `location` where one is named."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [128, 128], bytes(65_536), raw=True)
    if location:
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
        weights.external_data.add(key="location", value=location)
    values = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 128]) for name in "xy")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [next(values)], [next(values)], [weights]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_what_loads_passes(tmp_path):
    check_files("lenet")
    files = zoo.files("lenet")
    check_files(files.prototxt, files.caffemodel)
    onnx.save(model(), tmp_path / "a.onnx")
    check_files(tmp_path / "a.onnx")


@pytest.mark.parametrize("share", [0.001, 0.3, 0.999])
@pytest.mark.parametrize("kind", ["onnx", "caffemodel"])
def test_a_file_that_was_cut_is_found_without_reading_its_weights(tmp_path, kind, share):
    onnx.save(model(), tmp_path / "whole.onnx")
    files = zoo.files("lenet")
    content = (tmp_path / "whole.onnx" if kind == "onnx" else files.caffemodel).read_bytes()
    path = tmp_path / f"cut.{kind}"
    path.write_bytes(content[: int(len(content) * share)])
    arguments = (path,) if kind == "onnx" else (files.prototxt, path)
    with pytest.raises(NetworkError, match=rf"cut\.{kind} is (damaged|truncated)"):
        check_files(*arguments)
    with pytest.raises(NetworkError):
        load(*arguments)


def test_external_data_that_was_not_copied_is_named(tmp_path):
    onnx.save(model("a.weights"), tmp_path / "a.onnx")
    with pytest.raises(NetworkError, match=r"a\.onnx: its external data, a\.weights, does not exist beside it"):
        check_files(tmp_path / "a.onnx")
    (tmp_path / "a.weights").write_bytes(bytes(65_536))
    check_files(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.onnx", b"", "is empty"),
        ("a.onnx", b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
        ("a.onnx", b"<!DOCTYPE html><html></html>", "not an ONNX model"),
        ("a.onnx", b"\x08\x08", "it has no graph with outputs"),
        ("a.caffemodel", b"\x89HDF\r\n\x1a\n" + bytes(64), "is an HDF5 file"),
        ("a.caffemodel", b"<html>not found</html>", "is a web page"),
        ("a.caffemodel", b'name: "net"\nlayer {}\n', "not a caffemodel"),
        ("a.caffemodel", b"\x0a\x03net", "holds no layer"),
        ("a.prototxt", b"\0\1\2", "is a binary file, not a prototxt"),
        ("a.prototxt", b"net: 'train.prototxt' base_lr: 0.1", "the prototxt of a solver"),
    ],
)
def test_a_file_of_another_kind_is_refused_with_the_reason(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    arguments = (zoo.files("lenet").prototxt, tmp_path / name) if name.endswith("caffemodel") else (tmp_path / name,)
    with pytest.raises(NetworkError, match=reason):
        check_files(*arguments)


def test_a_name_that_is_nowhere_is_told_with_the_nearest(tmp_path):
    with pytest.raises(UsageError, match="neither a file nor a network of the zoo; did you mean 'vgg16', 'vgg19'"):
        check_files("vgg_16")
    with pytest.raises(NetworkError, match=r"gone\.onnx does not exist"):
        check_files(tmp_path / "gone.onnx")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(NetworkError, match="is not a regular file"):
        check_files(tmp_path / "folder.onnx")


@given(st.binary(max_size=200), st.integers(0, 300))
def test_damaged_bytes_raise_nothing_but_inferkits_errors(tmp_path_factory, noise, place):
    content = model("x").SerializeToString()
    path = tmp_path_factory.getbasetemp() / "noise.onnx"
    path.write_bytes(content[:place] + noise + content[place:] + varint(58))
    with contextlib.suppress(InferkitError):
        check_files(path)


def test_where_a_prototxt_states_no_channels_the_weights_do(tmp_path):
    files = zoo.files("lenet")
    text = files.prototxt.read_text()
    begin = text.index("layer {")
    end = text.index("layer {", begin + 1)
    data = (
        'layer { name: "data" type: "Data" top: "data" transform_param { crop_size: 28 } data_param { batch_size: 4 } }'
    )
    path = tmp_path / "train.prototxt"
    path.write_text(f"{text[:begin]}{data}\n{text[end:]}")
    (info,) = inputs_of(path, files.caffemodel)
    assert info.shape == load(path, files.caffemodel).inputs[0].shape == (None, 1, 28, 28)


def fed(path, dims, **options):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)
    given = model()
    given.graph.input[0].CopyFrom(value)
    onnx.save(given, path)
    return inputs_of(path, **options)


def test_the_inputs_are_those_of_the_network_that_is_loaded(tmp_path):
    onnx.save(model(), tmp_path / "a.onnx")
    assert inputs_of(tmp_path / "a.onnx") == load(tmp_path / "a.onnx").inputs
    assert inputs_of("lenet") == load("lenet").inputs
    files = zoo.files("lenet")
    assert inputs_of(files.prototxt) == load(files.prototxt, files.caffemodel).inputs


def test_open_sizes_are_those_that_nothing_states(tmp_path):
    path = tmp_path / "a.onnx"
    assert fed(path, ["N", 3, "H", "W"])[0].open_axes == (2, 3)
    assert fed(path, ["N", 3, "H", "W"], input_shape={"H": 32, "W": 64})[0].shape == (None, 3, 32, 64)
    assert fed(path, ["a", "b"], batch_axis={"x": 1})[0].batch_axis == 1
    with pytest.raises(UsageError, match="has no open dimension 'height': its inputs x have N, H, W"):
        fed(path, ["N", 3, "H", "W"], input_shape={"height": 32})
