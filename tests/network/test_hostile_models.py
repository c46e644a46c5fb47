"""Hostile models are refused: those that take more memory than allowed, and those that point to other files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inferkit.errors import NetworkError, UsageError
from inferkit.network.limit import VARIABLE
from inferkit.network.load import load

NET = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 6 dim: 6 } } }\n'
CONSTANT = 'weight_filler { type: "constant" value: 1 }'


@pytest.mark.parametrize(
    "layer",
    [
        f'type: "InnerProduct" bottom: "data" inner_product_param {{ num_output: 2000000000 {CONSTANT} }}',
        f'type: "Convolution" bottom: "data" convolution_param {{ num_output: 100000000 kernel_size: 6 {CONSTANT} }}',
        'type: "DummyData" dummy_data_param { shape { dim: 100000 dim: 100000 } }',
        'type: "Parameter" parameter_param { shape { dim: 3000000000 } }',
        'type: "Tile" bottom: "data" tile_param { tiles: 100000000 }',
        'type: "Pooling" bottom: "data" pooling_param { pool: AVE kernel_size: 2000000000 pad: 1999999999 }',
    ],
)
def test_a_prototxt_of_a_few_lines_cannot_ask_for_all_memory(layer: str, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(f'{NET}layer {{ name: "x" top: "x" {layer} }}')
    with pytest.raises(NetworkError, match=rf"{VARIABLE}|at most 2,147,483,647 elements"):
        load(path)


def test_many_layers_within_the_limit_are_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = "".join(
        f'layer {{ name: "x{n}" type: "InnerProduct" bottom: "data" top: "x{n}" '
        f"inner_product_param {{ num_output: 100 {CONSTANT} }} }}\n"
        for n in range(9)
    )
    path = tmp_path / "net.prototxt"
    path.write_text(NET + layers)
    monkeypatch.setenv(VARIABLE, "300000")  # a layer has 29,200 bytes
    load(path)
    monkeypatch.setenv(VARIABLE, "200000")
    with pytest.raises(NetworkError, match=f"over the limit of 200,000.*{VARIABLE}"):
        load(path)


@pytest.mark.parametrize("value", ["many", "0", "-5"])
def test_a_limit_that_is_none_is_refused(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, value)
    (tmp_path / "net.prototxt").write_text(NET)
    with pytest.raises(UsageError, match=VARIABLE):
        load(tmp_path / "net.prototxt")


@pytest.mark.parametrize("name", ["net.prototxt", "net.onnx"])
def test_a_file_over_the_limit_is_not_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1000000")
    with (tmp_path / name).open("wb") as file:
        file.truncate(1 << 40)  # takes no space on the disk
    with pytest.raises(NetworkError, match=f"1,099,511,627,776 bytes.*{VARIABLE}"):
        load(tmp_path / name)


def test_a_device_that_never_ends_is_not_read_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1000000")
    (tmp_path / "net.onnx").symlink_to("/dev/zero")
    with pytest.raises(NetworkError, match=VARIABLE):
        load(tmp_path / "net.onnx")


def sparse(location: str) -> onnx.ModelProto:
    """A model that adds a sparse constant whose numbers lie in a file."""
    values = TensorProto(name="s", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    values.external_data.add(key="location", value=location)
    constant = onnx.SparseTensorProto(values=values, dims=[4])
    constant.indices.CopyFrom(numpy_helper.from_array(np.array([2], np.int64)))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "s"], ["y"])], "g", ends[:1], ends[1:], sparse_initializer=[constant]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_external_data_of_a_sparse_initializer_is_looked_at_too(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(4))
    onnx.save(sparse("../secret"), folder / "model.onnx")
    with pytest.raises(NetworkError, match="outside of the model's folder"):
        load(folder / "model.onnx")
    (folder / "data").write_bytes(np.float32(5).tobytes())
    onnx.save(sparse("data"), folder / "model.onnx")
    constant = load(folder / "model.onnx").model.graph.sparse_initializer[0].values
    assert not constant.external_data
    assert numpy_helper.to_array(constant) == [5]


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    model = sparse("data")
    content = model.SerializeToString()
    (tmp_path / "data").write_bytes(bytes(4))
    for name in (b"data", b"y"):
        key = bytes([0x12 if name == b"data" else 0x0A, len(name)])
        (tmp_path / "model.onnx").write_bytes(content.replace(key + name, key + b"\xff" * len(name)))
        with pytest.raises(NetworkError, match=r"not UTF-8 text|not a valid ONNX model|damaged"):
            load(tmp_path / "model.onnx")


def test_external_data_in_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "data")
    onnx.save(sparse("data"), tmp_path / "model.onnx")
    with pytest.raises(NetworkError, match="is not a regular file"):
        load(tmp_path / "model.onnx")


def test_the_same_external_file_many_times_is_counted_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = sparse("data")
    for number in range(50):
        tensor = model.graph.initializer.add(name=f"w{number}", data_type=1, dims=[25_000], data_location=1)
        tensor.external_data.add(key="location", value="data")
    (tmp_path / "data").write_bytes(bytes(100_000))
    onnx.save(model, tmp_path / "model.onnx")
    monkeypatch.setenv(VARIABLE, "1000000")
    with pytest.raises(NetworkError, match=f"the external data takes 5,100,000 bytes.*{VARIABLE}"):
        load(tmp_path / "model.onnx")


def test_a_mean_file_elsewhere_is_no_hint_of_a_shape(tmp_path: Path) -> None:
    from inferkit.data import write_binaryproto

    write_binaryproto(tmp_path / "mean.binaryproto", np.ones((3, 8, 8), np.float32))
    folder = tmp_path / "net"
    folder.mkdir()
    text = (
        'layer {{ name: "d" type: "Data" top: "data" transform_param {{ mean_file: "{}" }} '
        "data_param {{ batch_size: 1 }} }}"
        '\nlayer {{ name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param {{ global_pooling: true }} }}'
    )
    for name in ("../mean.binaryproto", str(tmp_path / "mean.binaryproto")):
        (folder / "net.prototxt").write_text(text.format(name))
        with pytest.raises(NetworkError, match="input_shape="):
            load(folder / "net.prototxt")
    (tmp_path / "net.prototxt").write_text(text.format("mean.binaryproto"))
    assert load(tmp_path / "net.prototxt").inputs[0].shape[1:] == (3, 8, 8)
