"""Files are read as Caffe reads them; an error says the file, the place, the layer and the reason."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from google.protobuf.internal import api_implementation
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inferkit.errors import NetworkError
from inferkit.network.caffe.files.read import parse_prototxt, read_caffemodel, read_prototxt
from inferkit.network.caffe.files.schema import NetParameter
from inferkit.network.caffe.files.wire import put_values
from tests.network.caffe.files.caffe_messages import nets

LENET = """name: "LeNet"  # a comment
layer {
  name: "data" type: "Input" top: "data"
  input_param { shape: { dim: 64 dim: 1 dim: 28 dim: 28 } }
}
layer {
  name: "conv1"
  type: "Convolution"
  bottom: "data"
  top: "conv1"
  convolution_param { num_output: 20 kernel_size: 5 }
}
"""


def _write(folder: Path, content: bytes | str, name: str = "net.prototxt") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _model() -> bytes:
    net = NetParameter(name="n")
    blob = net.layer.add(name="conv1", type="Convolution").blobs.add()
    blob.shape.dim.extend([2, 3])
    put_values(blob, np.arange(6))
    return net.SerializeToString()


# Prototxt


@given(st.sampled_from(["v0", "v1", "v2"]).flatmap(nets))
@settings(max_examples=60, deadline=None)
def test_text_round_trip(net: NetParameter) -> None:
    text = text_format.MessageToString(net, as_utf8=True)
    assert parse_prototxt(text, "net.prototxt") == net


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode() + b"# \xb5\xda\xd2\xbb\xb2\xe3 (GBK) and \xe9 (Latin-1)\n",
        lambda text: text.replace("{", "<").replace("}", ">").encode(),
        lambda text: text.replace(': "', ": '").replace('"', "'").encode(),
        lambda text: text.rstrip().encode(),
        lambda text: text.replace("dim: 64", "dim: [64").replace("dim: 1 dim: 28 dim: 28", ", 1, 28, 28]").encode(),
    ],
    ids=["bom", "crlf", "utf-16", "comment-in-gbk", "angles", "single-quotes", "no-last-newline", "list"],
)
def test_the_same_network_however_it_is_written(tmp_path: Path, encode: object) -> None:
    assert callable(encode)
    assert read_prototxt(_write(tmp_path, encode(LENET))) == read_prototxt(_write(tmp_path, LENET, "plain"))


def test_a_comment_in_another_encoding_leaves_names_alone(tmp_path: Path) -> None:
    text = LENET.replace('"conv1"', '"première"').encode() + b"# \xe9\n"
    assert read_prototxt(_write(tmp_path, text)).layer[1].name == "première"


@pytest.mark.parametrize(
    "find, put, expected",
    [
        ("kernel_size: 5", "kernel_size: 5.5", r"line 11, column 51, in layer 'conv1' \(Convolution\): .*integer: 5.5"),
        ("num_output: 20", "num_outputs: 20", r"line 11, column 23, in layer 'conv1' \(Convolution\): .*'num_outputs'"),
        ("num_output: 20", "num_output: -20", r"line 11, column 35, .*out of range: -20"),
        ('top: "conv1"', 'top: "conv1', r"line 10, column 8, in layer 'conv1' .*ending quote"),
        ('top: "conv1"', 'top "conv1"', r"line 10, column 7, .*Expected \":\""),
        ('type: "Convolution"', 'type: "Convolution" type: "ReLU"', r"line 8, .*multiple \"type\""),
        ('type: "Convolution"', "type: CONVOLUTION", r"line 8, column 9, .*Expected string"),
        ('layer {\n  name: "conv1"', 'lyaer {\n  name: "conv1"', r"line 6, column 1: .*'lyaer' in NetParameter"),
        ("# a comment", "base_lr: 0.1", r"line 1, column 16: .*solver"),
    ],
)
def test_a_syntax_error_has_its_place_and_layer(tmp_path: Path, find: str, put: str, expected: str) -> None:
    assert find in LENET
    path = _write(tmp_path, LENET.replace(find, put))
    with pytest.raises(NetworkError, match=expected) as raised:
        read_prototxt(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    "text, layer",
    [
        ('layer { name: "n" norm_param { } type: "Normalize" }', "'n' (Normalize)"),
        ('layer { name: "n" type: "Interp" interp_param { height: 1 } }', "'n' (Interp)"),
        ('layers { layer { name: "n" type: "conv" group_size: 2 } }', "'n' (conv)"),
        ('layer { type: "ROIPooling" roi_pooling_param { } }', "a layer without a name (ROIPooling)"),
        ('layer { name: "n" convolution_param { weight_filler { type: "msra" } kernel: 2 } type: "X" }', "'n' (X)"),
        ('# layer { name: "no" }\nlayer { name: "n" # }\n type: "T" x: 1 }', "'n' (T)"),
        ('layer { name: "}" type: "T" x: 1 }', "'}' (T)"),
        ('layers { type: PERMUTE name: "n" }', "'n' (PERMUTE)"),
    ],
)
def test_a_field_of_a_fork_is_named_with_its_layer_and_type(text: str, layer: str) -> None:
    with pytest.raises(NetworkError) as raised:
        parse_prototxt('layer { name: "before" type: "Before" }\n' + text + '\nlayer { name: "after" }', "f.prototxt")
    assert f"in {layer}:" in str(raised.value) or f"in layer {layer}:" in str(raised.value)


def test_a_minus_may_stand_apart_from_its_number() -> None:
    text = "layer { name: '- 1' power_param { power: - 2 shift: -\t.5 scale: -   inf } } # - 3"
    power = parse_prototxt(text, "f.prototxt").layer[0]
    assert power.name == "- 1"
    assert (power.power_param.power, power.power_param.shift, power.power_param.scale) == (-2, -0.5, float("-inf"))


def test_required_fields_are_asked_for() -> None:
    with pytest.raises(NetworkError, match=r"f.prototxt.*clip_param.min"):
        parse_prototxt('layer { type: "Clip" clip_param { max: 1 } }', "f.prototxt")


@pytest.mark.parametrize(
    "content, expected",
    [
        (b"", "is empty"),
        (b" \n\t\n", "is empty"),
        (b"# only a comment\n", "describes no layer"),
        (b'name: "x"', "describes no layer"),
        (_model(), "binary file.*swapped"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "git lfs pull"),
        (b"<!DOCTYPE html>\n<html><head>", "web page"),
        (b"\n<html lang=en>", "web page"),
        (gzip.compress(LENET.encode()), "gzip archive"),
        (b"PK\x03\x04rest", "zip archive"),
    ],
    ids=["empty", "blank", "comment", "only-name", "binary", "lfs", "web-page", "web-page-2", "gzip", "zip"],
)
def test_a_file_that_is_not_a_prototxt_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    path = _write(tmp_path, content)
    with pytest.raises(NetworkError, match=expected) as raised:
        read_prototxt(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("read", [read_prototxt, read_caffemodel])
def test_a_path_that_is_not_a_file_is_refused(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(NetworkError, match="does not exist"):
        read(tmp_path / "missing")
    with pytest.raises(NetworkError, match="is a directory"):
        read(tmp_path)
    with pytest.raises(NetworkError, match="cannot be read"):
        read(_write(tmp_path, "x", "file") / "below-a-file")


@given(st.integers(0, len(LENET)), st.text(max_size=3), st.integers(0, 5))
@example(len(LENET), "", 3)
@settings(max_examples=300, deadline=None)
def test_a_mutated_prototxt_parses_or_is_a_network_error(place: int, insert: str, drop: int) -> None:
    text = LENET[:place] + insert + LENET[place + drop :]
    try:
        parse_prototxt(text, "net.prototxt")
    except NetworkError as error:
        assert "net.prototxt" in str(error)  # noqa: PT017 - no error is right too
        assert "inferkit" not in str(error)  # noqa: PT017


@given(st.text(alphabet="layer{}<>[]:;,#\"'\\ \nname0123.e-+_x\x00é", max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_parses_or_is_a_network_error(text: str) -> None:
    try:
        parse_prototxt(text, "net.prototxt")
    except NetworkError as error:
        assert "net.prototxt" in str(error)  # noqa: PT017 - no error is right too


def test_deep_nesting_is_no_recursion_error() -> None:
    with pytest.raises(NetworkError):
        parse_prototxt("layer { blobs { " * 5000, "net.prototxt")


# Caffemodel


def test_a_caffemodel_has_its_layers_and_numbers(tmp_path: Path) -> None:
    model = read_caffemodel(_write(tmp_path, _model(), "m.caffemodel"))
    assert [layer.name for layer in model.net.layer] == ["conv1"]
    blob = model.net.layer[0].blobs[0]
    assert not blob.data
    assert model.values(blob).tolist() == [0, 1, 2, 3, 4, 5]
    assert list(blob.shape.dim) == [2, 3]


def test_fields_that_caffe_does_not_know_are_ignored(tmp_path: Path) -> None:
    unknown = b"\x92\x3f\x03abc" + b"\x98\x3f\x07"  # fields 1010 (bytes) and 1011 (a number)
    inside = NetParameter.FromString(_model() + unknown)
    inside.layer[0].MergeFromString(unknown)
    inside.layer[0].blobs[0].MergeFromString(unknown)
    model = read_caffemodel(_write(tmp_path, inside.SerializeToString(), "m.caffemodel"))
    assert model.values(model.net.layer[0].blobs[0]).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.skipif(api_implementation.Type() == "python", reason="protobuf's Python code refuses what is not UTF-8")
def test_names_that_are_not_utf8_are_names_still(tmp_path: Path) -> None:
    layer = b"\x0a\x02\xe9a" + b"\x1a\x03in\xe9" + b"\x1a\x02ok" + b"\x1a\x01\xff"
    model = read_caffemodel(_write(tmp_path, b"\xa2\x06" + bytes([len(layer)]) + layer, "m.caffemodel"))
    assert model.net.layer[0].name == "éa"
    assert list(model.net.layer[0].bottom) == ["iné", "ok", "ÿ"]


@pytest.mark.parametrize(
    "content, expected",
    [
        (b"", "is empty"),
        (LENET.encode(), "text file.*swapped"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "git lfs pull"),
        (b"<html>", "web page"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5.*net.save"),
        (gzip.compress(_model()), "gzip archive"),
        (_model()[:-3], r"truncated.*\(\d+ bytes\)"),
        (_model()[:9], "truncated"),
        (b"\x0a\x01n", "holds no layer"),
        (bytes(4096), "does not begin a protobuf field"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "damaged or not a caffemodel"),
    ],
    ids=["empty", "text", "lfs", "web-page", "hdf5", "gzip", "cut", "cut-early", "no-layer", "zeros", "png"],
)
def test_a_file_that_is_not_a_caffemodel_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    path = _write(tmp_path, content, "m.caffemodel")
    with pytest.raises(NetworkError, match=expected) as raised:
        read_caffemodel(path)
    assert str(path) in str(raised.value)


def test_a_model_cut_at_any_byte_is_an_error(tmp_path: Path) -> None:
    content = _model()
    for cut in range(len(content)):
        with pytest.raises(NetworkError):
            read_caffemodel(_write(tmp_path, content[:cut], "m.caffemodel"))


@given(content=st.binary(max_size=200), place=st.integers(0, 200), byte=st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_damage_of_any_kind_is_a_network_error_or_a_model(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, place: int, byte: int
) -> None:
    folder = tmp_path_factory.getbasetemp()
    damaged = bytearray(_model())
    damaged[place % len(damaged)] = byte
    for candidate in (content, bytes(damaged), _model() + content):
        try:
            model = read_caffemodel(_write(folder, candidate, "fuzz.caffemodel"))
        except NetworkError:
            continue
        for layer in model.net.layer:
            assert all(model.values(blob).dtype == np.float32 for blob in layer.blobs)
