"""ONNX files: read with external data, refused when damaged or when they point elsewhere, written whole."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import inferkit
from inferkit.errors import NetworkError
from inferkit.network.onnx_file import read_onnx, write_onnx
from inferkit.network.outline import inputs_of

WEIGHT = np.arange(4000, dtype=np.float32).reshape(4, 1000)


def model(opset: int = 13, weight: np.ndarray = WEIGHT) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Add", ["y", "b"], ["z"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 1000])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.ones(2, np.float32)[:1], "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def weights(network: inferkit.Network) -> np.ndarray:
    return numpy_helper.to_array(network.model.graph.initializer[0])


def test_a_model_of_an_older_opset_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(model(opset=9), path)
    network = inferkit.load(path)
    assert (network.name, network.source, network.precision) == ("graph", None, "fp32")
    assert [(info.name, info.dtype, info.shape) for info in network.inputs] == [("x", "float32", (None, 4))]
    assert network.model.opset_import[0].version == 9
    assert inferkit.load(path, name="mine").name == "mine"


def test_external_data_is_brought_in(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    (tmp_path / "weights").mkdir()
    onnx.save(model(), path, save_as_external_data=True, location="weights/data.bin", size_threshold=100)
    network = inferkit.load(path)
    assert np.array_equal(weights(network), WEIGHT)
    (tmp_path / "weights" / "data.bin").unlink()
    assert np.array_equal(weights(network), WEIGHT)


def external(folder: Path, **entries: str) -> Path:
    """A model whose weight is in another file, as `entries` say."""
    changed = model()
    tensor = changed.graph.initializer[0]
    (folder / "data.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": "data.bin"} | entries).items():
        tensor.external_data.add(key=key, value=value)
    path = folder / "model.onnx"
    path.write_bytes(changed.SerializeToString())
    return path


def test_external_data_without_offset_and_length_is_the_whole_file(tmp_path: Path) -> None:
    assert np.array_equal(weights(inferkit.load(external(tmp_path))), WEIGHT)


@pytest.mark.parametrize(
    "entries, reason",
    [
        ({"location": "../data.bin"}, "outside of the model's folder"),
        ({"location": "/etc/passwd"}, "outside of the model's folder"),
        ({"location": "sub/../../data.bin"}, "outside of the model's folder"),
        ({"location": "link.bin"}, "outside of the model's folder"),
        ({"location": "missing.bin"}, "does not exist"),
        ({"location": ""}, "has no location"),
        ({"length": "16001"}, "ends at byte 16,001"),
        ({"offset": "8", "length": "16000"}, "ends at byte 16,008"),
        ({"offset": "-8"}, "ends at byte"),
        ({"length": "many"}, "not a number"),
    ],
)
def test_external_data_elsewhere_or_too_short_is_refused(entries: dict, reason: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "data.bin").write_bytes(bytes(20_000))
    (folder / "link.bin").symlink_to(tmp_path / "data.bin")
    with pytest.raises(NetworkError, match=reason) as caught:
        inferkit.load(external(folder, **entries))
    assert "'w'" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a model", b"version https://git-lfs.github.com/spec/v1\n", b"\x08\x07"])
def test_what_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(NetworkError, match=r"model\.onnx"):
        inferkit.load(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 300), flips=st.lists(st.tuples(st.integers(0, 299), st.integers(0, 255)), max_size=4))
def test_a_damaged_file_is_read_or_refused_never_a_crash(cut: int, flips: list, tmp_path: Path) -> None:
    content = bytearray(model(weight=np.ones((4, 1000), np.float32)[:, :1].repeat(1000, 1)).SerializeToString())
    for place, value in flips:
        content[place if place < 150 else place - 300] = value
    path = tmp_path / "model.onnx"
    path.write_bytes(bytes(content[: len(content) - cut]))
    with contextlib.suppress(NetworkError):
        assert inferkit.load(path).outputs


def test_a_model_that_the_checker_refuses(tmp_path: Path) -> None:
    broken = model()
    broken.graph.node[0].input[0] = "nowhere"
    path = tmp_path / "model.onnx"
    path.write_bytes(broken.SerializeToString())
    with pytest.raises(NetworkError, match=r"not a valid ONNX model.*nowhere"):
        inferkit.load(path)


def test_outputs_without_a_shape_get_the_inferred_one(tmp_path: Path) -> None:
    unknown = model()
    unknown.graph.output[0].type.tensor_type.ClearField("shape")
    path = tmp_path / "model.onnx"
    path.write_bytes(unknown.SerializeToString())
    assert inferkit.load(path).outputs[0].shape == (None, 1000)


@pytest.mark.parametrize("look", [inferkit.load, inputs_of])
def test_a_sequence_as_output_is_refused_with_its_name(look: Callable[[Path], object], tmp_path: Path) -> None:
    """Also where a matrix is checked, which reads no more than the file's outline."""
    graph = helper.make_graph(
        [helper.make_node("SequenceConstruct", ["x"], ["s"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    with pytest.raises(NetworkError, match="'s' is no tensor"):
        look(path)


def test_a_small_model_is_written_as_one_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "model.onnx"
    assert write_onnx(model(), path) == [path]
    assert onnx.load(path) == model()


def test_a_large_model_leaves_its_weights_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    original = model()
    files = write_onnx(original, path, limit=8000)
    assert [file.name for file in files] == ["model.onnx", "model.onnx.data"]
    assert path.stat().st_size < 1000
    onnx.checker.check_model(str(path), full_check=True)
    assert onnx.load(path).graph.node == original.graph.node
    assert np.array_equal(weights(read_onnx(path)), WEIGHT)
    assert original == model()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data"]


@pytest.mark.slow
def test_a_model_over_2_gib_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    large = model()
    for number in range(3):
        tensor = large.graph.initializer.add(name=f"large{number}", data_type=TensorProto.FLOAT, dims=[200_000_000])
        tensor.raw_data = bytes(800_000_000)
    assert len(write_onnx(large, path)) == 2
    del large
    network = inferkit.load(path)
    assert sum(len(tensor.raw_data) for tensor in network.model.graph.initializer) > 2**31


def test_the_digest_follows_weights_graph_and_precision() -> None:
    digest = inferkit.Network.from_model(model(), "net").digest
    assert digest == inferkit.Network.from_model(model(), "other name").digest
    other_weight = model(weight=WEIGHT + 1)
    renamed = model()
    renamed.graph.node[0].name = "product"
    other_digests = [
        inferkit.Network.from_model(other_weight, "net").digest,
        inferkit.Network.from_model(renamed, "net").digest,
        inferkit.Network.from_model(model(), "net", precision="fp16").digest,
    ]
    assert len({digest, *other_digests}) == 4
