"""The inputs of a training network get their shapes from data layers, weights, the mean image, or the caller."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inferkit.errors import NetworkError
from inferkit.network.caffe.files.schema import BlobProto, NetParameter
from inferkit.network.caffe.files.wire import put_values
from tests.network.caffe.prototxt.caffe_training import DATA, FC, LOSS, defined, inputs_of

HDF5 = 'layer { name: "hd" type: "HDF5Data" top: "data" top: "label" hdf5_data_param { batch_size: 5 } }\n'


def _conv(group: int = 1) -> tuple[str, NetParameter]:
    text = (
        'layer { name: "conv" type: "Convolution" bottom: "data" top: "fc" '
        f"convolution_param {{ num_output: 4 kernel_size: 3 group: {group} }} }}"
    )
    model = NetParameter()
    blob = BlobProto(num=4, channels=2, height=3, width=3)
    put_values(blob, np.zeros(72))
    model.layer.add(name="conv").blobs.append(blob)
    return text, model


GRAY = DATA.replace("mean_value: [104, 117, 123]", "")


@pytest.mark.parametrize("between", ["", 'layer { name: "bn" type: "BatchNorm" bottom: "data" top: "data" }'])
def test_channels_come_from_the_weights_of_the_first_convolution(tmp_path: Path, between: str) -> None:
    for group, channels in ((1, 2), (2, 4)):
        conv, model = _conv(group)
        assert inputs_of(defined(GRAY + between + conv + LOSS, tmp_path, model)) == {"data": [10, channels, 8, 8]}


def test_channels_come_from_the_weights_of_a_first_inner_product(tmp_path: Path) -> None:
    model = NetParameter()
    blob = BlobProto()
    blob.shape.dim.extend([4, 5 * 64])
    put_values(blob, np.zeros(4 * 5 * 64))
    model.layer.add(name="fc").blobs.append(blob)
    assert inputs_of(defined(GRAY + FC + LOSS, tmp_path, model)) == {"data": [10, 5, 8, 8]}


def test_the_mean_image_gives_the_size_where_nothing_is_cropped(tmp_path: Path) -> None:
    (tmp_path / "mean.binaryproto").write_bytes(
        BlobProto(num=1, channels=3, height=2, width=5, data=[0.0] * 30).SerializeToString()
    )
    text = DATA.replace("crop_size: 8 mean_value: [104, 117, 123]", 'mean_file: "mean.binaryproto"')
    assert inputs_of(defined(text + FC + LOSS, tmp_path)) == {"data": [10, 3, 2, 5]}


@pytest.mark.parametrize(
    "layer, shape",
    [
        ('"MemoryData" memory_data_param { batch_size: 3 channels: 2 height: 5 width: 7 }', [3, 2, 5, 7]),
        ('"ImageData" image_data_param { batch_size: 3 new_height: 6 new_width: 9 }', [3, 3, 6, 9]),
        (
            '"ImageData" image_data_param { new_height: 6 new_width: 9 is_color: false } '
            "transform_param { crop_size: 4 }",
            [1, 1, 4, 4],
        ),
        ('"WindowData" window_data_param { batch_size: 2 } transform_param { crop_size: 7 }', [2, 3, 7, 7]),
        ('"DummyData" dummy_data_param { shape { dim: [2, 3, 4] } shape { dim: 2 } }', [2, 3, 4]),
        ('"DummyData" dummy_data_param { num: 2 num: 2 channels: 3 channels: 1 height: 4 height: 1 width: 5 width: 1 }',
         [2, 3, 4, 5]),
    ],
)  # fmt: skip
def test_each_data_layer_knows_its_shape(tmp_path: Path, layer: str, shape: list[int]) -> None:
    text = f'layer {{ name: "d" top: "data" top: "label" type: {layer} }}' + FC + LOSS
    assert inputs_of(defined(text, tmp_path)) == {"data": shape}


def test_constant_dummy_data_stays_a_constant_beside_inputs(tmp_path: Path) -> None:
    dummy = 'layer { name: "d" type: "DummyData" top: "%s" dummy_data_param { shape { dim: 1 } data_filler { %s } } }'
    text = 'input: "data" input_shape { dim: 2 }' + dummy % ("one", "value: 1") + dummy % ("noise", 'type: "gaussian"')
    definition = defined(text, tmp_path)
    assert inputs_of(definition) == {"data": [2], "noise": [1]}
    assert [layer.type for layer in definition.net.layer] == ["Input", "DummyData", "Input"]


@pytest.mark.parametrize(
    "text, reason",
    [
        (GRAY + FC + LOSS, r"layer 'data' \(Data\): .* determine the channels of its images"),
        (
            DATA.replace("crop_size: 8", "") + FC + LOSS,
            r"layer 'data' \(Data\): .* determine the size of its images",
        ),
        (HDF5 + FC + LOSS, r"layer 'hd' \(HDF5Data\): .* determine the shape of its data"),
        ('layer { name: "py" type: "Python" top: "data" top: "label" }' + FC + LOSS, r"layer 'py' \(Python\)"),
    ],
)
def test_a_shape_that_the_prototxt_lacks_can_be_given(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(
        NetworkError,
        match=reason + r".*: input_shape=\{'data': \(1, channels, height, width\)\}, or --input-shape data=1,C,H,W$",
    ):
        defined(text, tmp_path)
    assert inputs_of(defined(text, tmp_path, input_shapes={"data": (1, 2, 3, 4)})) == {"data": [1, 2, 3, 4]}


def test_given_shapes_replace_those_of_inputs(tmp_path: Path) -> None:
    text = 'layer { name: "i" type: "Input" top: "a" top: "b" input_param { shape { dim: [1, 2] } } }'
    assert inputs_of(defined(text, tmp_path, input_shapes={"b": (3, 4)})) == {"a": [1, 2], "b": [3, 4]}
    with pytest.raises(NetworkError, match="has no input 'c'; its inputs: a, b"):
        defined(text, tmp_path, input_shapes={"c": (1,)})
    with pytest.raises(NetworkError, match="at least 1"):
        defined(text, tmp_path, input_shapes={"a": (0, 2)})


def test_an_old_input_without_a_shape_asks_for_one(tmp_path: Path) -> None:
    text = 'input: "data" layer { name: "r" type: "ReLU" bottom: "data" top: "r" }'
    with pytest.raises(NetworkError, match=r"input 'data' has no shape.*--input-shape data=1,C,H,W"):
        defined(text, tmp_path)
    assert inputs_of(defined(text, tmp_path, input_shapes={"data": (1, 2)})) == {"data": [1, 2]}


def test_a_bare_input_field_is_dropped_where_a_layer_makes_the_blob(tmp_path: Path) -> None:
    text = (
        'input: "data" input: "rois" input: "unread" '
        'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: [2, 3] } } }'
        'layer { name: "sum" type: "Eltwise" bottom: "data" bottom: "rois" top: "sum" }'
    )
    with pytest.raises(NetworkError, match="input 'rois' has no shape"):
        defined(text, tmp_path)
    assert inputs_of(defined(text, tmp_path, input_shapes={"rois": (2, 3)})) == {"rois": [2, 3], "data": [2, 3]}
    both = defined(text, tmp_path, input_shapes={"rois": (4, 3), "data": (4, 3)})
    assert inputs_of(both) == {"rois": [4, 3], "data": [4, 3]}


def test_a_bare_input_that_is_changed_in_place_needs_a_shape(tmp_path: Path) -> None:
    text = 'input: "data" layer { name: "r" type: "ReLU" bottom: "data" top: "data" }'
    with pytest.raises(NetworkError, match="input 'data' has no shape"):
        defined(text, tmp_path)
    assert inputs_of(defined(text, tmp_path, input_shapes={"data": (1, 2)})) == {"data": [1, 2]}
