"""A training network gives its inference part: what its losses train, from inputs in place of data layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inferkit.errors import NetworkError
from inferkit.network.caffe.files.read import parse_prototxt
from inferkit.network.caffe.files.schema import BlobProto, NetParameter
from inferkit.network.caffe.files.wire import put_values
from inferkit.network.caffe.prototxt.definition import Definition, define
from inferkit.network.caffe.prototxt.upgrade import upgrade

DATA = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN } data_param { batch_size: 64 } }
layer {
  name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 8 mean_value: [104, 117, 123] }
  data_param { source: "test_lmdb" batch_size: 10 backend: LMDB }
}
"""
FC = 'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 4 } }\n'
LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }\n'
ACCURACY = 'layer { name: "acc" type: "Accuracy" bottom: "fc" bottom: "label" top: "acc" include { phase: TEST } }\n'
HDF5 = 'layer { name: "hd" type: "HDF5Data" top: "data" top: "label" hdf5_data_param { batch_size: 5 } }\n'


def _define(text: str, folder: Path, model: NetParameter | None = None, **options: object) -> Definition:
    path = folder / "net.prototxt"
    path.write_text(text, encoding="utf-8")
    weights = None
    if model is not None:
        weights = folder / "net.caffemodel"
        weights.write_bytes(model.SerializeToString())
    return define(path, weights, **options)  # type: ignore[arg-type]


def _layers(definition: Definition) -> list[tuple[str, str, list[str], list[str]]]:
    return [(layer.name, layer.type, list(layer.bottom), list(layer.top)) for layer in definition.net.layer]


def _outputs(definition: Definition) -> list[str]:
    return [definition.flow.name(top) for top in definition.flow.unread()]


def _inputs(definition: Definition) -> dict[str, list[int]]:
    return {
        name: list(shape.dim)
        for layer in definition.net.layer
        if layer.type == "Input"
        for name, shape in zip(layer.top, layer.input_param.shape, strict=True)
    }


def test_a_deploy_network_is_left_as_it_is(tmp_path: Path) -> None:
    text = (
        'input: "data" input_dim: [1, 3, 8, 8]'
        'layer { name: "s" type: "Slice" bottom: "data" top: "a" top: "b" top: "c" }'
        'layer { name: "q" type: "Silence" bottom: "b" }'
        'layer { name: "r" type: "ReLU" bottom: "c" top: "c" }'
    )
    definition = _define(text, tmp_path)
    written = parse_prototxt(text, "net.prototxt")
    upgrade(written, "net.prototxt")
    assert list(definition.net.layer) == list(written.layer)
    assert _outputs(definition) == ["a", "c"]
    assert definition.notes == ()


def test_loss_accuracy_and_labels_vanish_and_probabilities_come_out(tmp_path: Path) -> None:
    definition = _define(DATA + FC + ACCURACY + LOSS, tmp_path)
    assert _layers(definition) == [
        ("data", "Input", [], ["data"]),
        ("fc", "InnerProduct", ["data"], ["fc"]),
        ("prob", "Softmax", ["fc"], ["prob"]),
    ]
    assert _inputs(definition) == {"data": [10, 3, 8, 8]}
    assert _outputs(definition) == ["prob"]
    assert definition.transforms["data"].mean_value[:] == [104, 117, 123]
    assert any("replaced by the input 'data' of shape [10, 3, 8, 8]" in note for note in definition.notes)


def test_the_old_form_without_a_top_for_the_loss(tmp_path: Path) -> None:
    text = """
    layers { name: "data" type: DATA top: "data" top: "label" data_param { crop_size: 8 batch_size: 2 }
             transform_param { force_gray: true } }
    layers { name: "fc" type: INNER_PRODUCT bottom: "data" top: "fc" inner_product_param { num_output: 4 } }
    layers { name: "loss" type: SOFTMAX_LOSS bottom: "fc" bottom: "label" }
    """
    definition = _define(text, tmp_path)
    assert _outputs(definition) == ["prob"]
    assert _inputs(definition) == {"data": [2, 1, 8, 8]}


@pytest.mark.parametrize(
    "layers, outputs",
    [
        (LOSS.replace('top: "loss"', 'top: "loss" top: "p"'), ["p"]),
        (LOSS + 'layer { name: "sm" type: "Softmax" bottom: "fc" top: "mine" }', ["mine"]),
        (LOSS + 'layer { name: "p" type: "Power" bottom: "fc" top: "prob" }', ["fc_prob", "prob"]),
        (LOSS.replace("SoftmaxWithLoss", "SigmoidCrossEntropyLoss"), ["prob"]),
        (LOSS.replace("SoftmaxWithLoss", "InfogainLoss"), ["prob"]),
        (LOSS.replace("SoftmaxWithLoss", "HingeLoss"), ["fc"]),
        (LOSS.replace("SoftmaxWithLoss", "EuclideanLoss"), ["fc"]),
        ('layer { name: "l2" type: "EuclideanLoss" bottom: "label" bottom: "fc" top: "l2" }', ["fc"]),
        (ACCURACY, ["fc"]),
        (ACCURACY + LOSS.replace('top: "loss"', 'top: "loss" include { phase: TRAIN }'), ["prob"]),
        (
            'layer { name: "sm" type: "Softmax" bottom: "fc" top: "sm" }'
            'layer { name: "loss" type: "MultinomialLogisticLoss" bottom: "sm" bottom: "label" top: "loss" }',
            ["sm"],
        ),
        (
            'layer { name: "sm" type: "Softmax" bottom: "fc" top: "sm" }'
            'layer { name: "loss" type: "InfogainLoss" bottom: "sm" bottom: "label" top: "loss" }',
            ["sm"],
        ),
        (ACCURACY + 'layer { name: "am" type: "ArgMax" bottom: "fc" top: "best" }', ["best"]),
        ('layer { name: "q" type: "Silence" bottom: "label" }' + ACCURACY.replace("bottom: \"label\"", ""), ["fc"]),
    ],
    ids=[
        "second-top", "softmax-there", "prob-taken", "sigmoid", "infogain", "hinge", "euclidean", "euclidean-swapped",
        "accuracy-only", "loss-in-train-only", "softmax-then-loss", "softmax-then-infogain", "argmax", "silence",
    ],
)  # fmt: skip
def test_what_comes_out_of_each_kind_of_loss(tmp_path: Path, layers: str, outputs: list[str]) -> None:
    definition = _define(DATA + FC + layers, tmp_path)
    assert _outputs(definition) == outputs
    assert _inputs(definition) == {"data": [10, 3, 8, 8]}


def test_the_axis_of_a_loss_is_the_axis_of_its_softmax(tmp_path: Path) -> None:
    spatial = DATA + LOSS.replace('"fc"', '"data"').replace('top: "loss"', 'top: "loss" softmax_param { axis: 3 }')
    (_, softmax) = _define(spatial, tmp_path).net.layer
    assert softmax.softmax_param.axis == 3
    infogain = DATA + LOSS.replace('"fc"', '"data"').replace(
        'SoftmaxWithLoss"', 'InfogainLoss" infogain_loss_param { axis: 2 }'
    )
    (_, softmax) = _define(infogain, tmp_path).net.layer
    assert softmax.softmax_param.axis == 2


TWO = FC + FC.replace('"fc"', '"fc2"').replace('bottom: "fc2"', 'bottom: "fc"')


def _second(label: str, weight: float) -> str:
    return (
        LOSS.replace('"fc"', '"fc2"')
        .replace('"loss"', '"loss2"')
        .replace('"label"', f'"{label}"')
        .replace('top: "loss2"', f'top: "loss2" loss_weight: {weight}')
    )


def test_a_lighter_loss_on_the_same_label_is_auxiliary(tmp_path: Path) -> None:
    top5 = ACCURACY.replace('"fc"', '"fc2"').replace('"acc"', '"acc2"')
    definition = _define(DATA + TWO + LOSS + _second("label", 0.3) + ACCURACY + top5, tmp_path)
    assert [name for name, *_ in _layers(definition)] == ["data", "fc", "prob"]
    assert any("loss2" in note and "auxiliary" in note for note in definition.notes)


def test_losses_of_equal_weight_or_on_other_labels_all_count(tmp_path: Path) -> None:
    definition = _define(DATA + TWO + LOSS + _second("label", 1), tmp_path)
    assert _outputs(definition) == ["fc2_prob", "fc_prob"]
    labels = 'layer { name: "cut" type: "Slice" bottom: "label" top: "age" top: "sex" }\n'
    definition = _define(DATA + labels + TWO + LOSS.replace('"label"', '"age"') + _second("sex", 0.1), tmp_path)
    assert _outputs(definition) == ["fc2_prob", "fc_prob"]
    assert "cut" not in [name for name, *_ in _layers(definition)]


def test_two_losses_on_one_blob_make_one_output(tmp_path: Path) -> None:
    definition = _define(DATA + FC + LOSS + LOSS.replace('"loss"', '"again"'), tmp_path)
    assert _outputs(definition) == ["prob"]


def test_an_autoencoder_gives_what_it_decodes(tmp_path: Path) -> None:
    text = (
        DATA
        + 'layer { name: "flat" type: "Flatten" bottom: "data" top: "flat" }'
        + FC.replace('bottom: "data"', 'bottom: "flat"')
        + 'layer { name: "ce" type: "SigmoidCrossEntropyLoss" bottom: "fc" bottom: "flat" top: "ce" loss_weight: 1 }'
        + 'layer { name: "sig" type: "Sigmoid" bottom: "fc" top: "decoded" }'
        + 'layer { name: "l2" type: "EuclideanLoss" bottom: "decoded" bottom: "flat" top: "l2" loss_weight: 0 }'
    )
    assert [name for name, *_ in _layers(_define(text, tmp_path))] == ["data", "flat", "fc", "sig"]
    assert _outputs(_define(text, tmp_path)) == ["decoded"]


def test_a_siamese_network_gives_both_features(tmp_path: Path) -> None:
    text = (
        DATA.replace('top: "label"', 'top: "sim"')
        + 'layer { name: "cut" type: "Slice" bottom: "data" top: "a" top: "b" slice_param { axis: 1 slice_point: 1 } }'
        + 'layer { name: "f" type: "InnerProduct" bottom: "a" top: "f" inner_product_param { num_output: 2 } }'
        + 'layer { name: "g" type: "InnerProduct" bottom: "b" top: "g" inner_product_param { num_output: 2 } }'
        + 'layer { name: "loss" type: "ContrastiveLoss" bottom: "f" bottom: "g" bottom: "sim" top: "loss" }'
    )
    assert _outputs(_define(text, tmp_path)) == ["f", "g"]


def test_a_top_that_only_a_vanished_layer_read_is_no_output(tmp_path: Path) -> None:
    """An image and its target come in one blob: the target's part is cut off, and must not turn up as an output."""
    text = (
        DATA
        + 'layer { name: "cut" type: "Slice" bottom: "data" top: "image" top: "target" slice_param { slice_point: 2 } }'
        + FC.replace('bottom: "data"', 'bottom: "image"')
        + 'layer { name: "l2" type: "EuclideanLoss" bottom: "fc" bottom: "target" top: "l2" }'
    )
    definition = _define(text, tmp_path)
    assert _outputs(definition) == ["fc"]
    assert _layers(definition)[-1] == ("unwanted", "Silence", ["target"], [])


def test_labels_from_an_input_layer_vanish_with_their_shape(tmp_path: Path) -> None:
    text = (
        'layer { name: "in" type: "Input" top: "label" top: "data" '
        "input_param { shape { dim: 2 } shape { dim: [2, 3] } } }" + FC + LOSS
    )
    assert _inputs(_define(text, tmp_path)) == {"data": [2, 3]}


def test_a_loss_that_caffe_lacks_vanishes_with_a_note(tmp_path: Path) -> None:
    python = 'layer { name: "py" type: "Python" bottom: "fc" bottom: "label" top: "py" loss_weight: 1 }'
    definition = _define(DATA + FC + LOSS.replace("SoftmaxWithLoss", "CenterLoss") + python, tmp_path)
    assert _outputs(definition) == ["fc"]
    assert sum("not a loss of Caffe 1.0" in note for note in definition.notes) == 2


def test_the_filler_of_the_label_path_does_not_matter(tmp_path: Path) -> None:
    hidden = 'layer { name: "q" type: "Silence" bottom: "fc" }' + LOSS.replace('"fc"', '"other"')
    definition = _define(DATA + FC + FC.replace('"fc"', '"other"') + hidden, tmp_path)
    assert [name for name, *_ in _layers(definition)] == ["data", "other", "prob"]


# Shapes of inputs


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
        assert _inputs(_define(GRAY + between + conv + LOSS, tmp_path, model)) == {"data": [10, channels, 8, 8]}


def test_channels_come_from_the_weights_of_a_first_inner_product(tmp_path: Path) -> None:
    model = NetParameter()
    blob = BlobProto()
    blob.shape.dim.extend([4, 5 * 64])
    put_values(blob, np.zeros(4 * 5 * 64))
    model.layer.add(name="fc").blobs.append(blob)
    assert _inputs(_define(GRAY + FC + LOSS, tmp_path, model)) == {"data": [10, 5, 8, 8]}


def test_the_mean_image_gives_the_size_where_nothing_is_cropped(tmp_path: Path) -> None:
    (tmp_path / "mean.binaryproto").write_bytes(
        BlobProto(num=1, channels=3, height=2, width=5, data=[0.0] * 30).SerializeToString()
    )
    text = DATA.replace("crop_size: 8 mean_value: [104, 117, 123]", 'mean_file: "mean.binaryproto"')
    assert _inputs(_define(text + FC + LOSS, tmp_path)) == {"data": [10, 3, 2, 5]}


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
    assert _inputs(_define(text, tmp_path)) == {"data": shape}


def test_constant_dummy_data_stays_a_constant_beside_inputs(tmp_path: Path) -> None:
    dummy = 'layer { name: "d" type: "DummyData" top: "%s" dummy_data_param { shape { dim: 1 } data_filler { %s } } }'
    text = 'input: "data" input_shape { dim: 2 }' + dummy % ("one", "value: 1") + dummy % ("noise", 'type: "gaussian"')
    definition = _define(text, tmp_path)
    assert _inputs(definition) == {"data": [2], "noise": [1]}
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
    with pytest.raises(NetworkError, match=reason + r".*input_shapes=\{'data': \(1, channels, height, width\)\}"):
        _define(text, tmp_path)
    assert _inputs(_define(text, tmp_path, input_shapes={"data": (1, 2, 3, 4)})) == {"data": [1, 2, 3, 4]}


def test_given_shapes_replace_those_of_inputs(tmp_path: Path) -> None:
    text = 'layer { name: "i" type: "Input" top: "a" top: "b" input_param { shape { dim: [1, 2] } } }'
    assert _inputs(_define(text, tmp_path, input_shapes={"b": (3, 4)})) == {"a": [1, 2], "b": [3, 4]}
    with pytest.raises(NetworkError, match="has no input 'c'; its inputs: a, b"):
        _define(text, tmp_path, input_shapes={"c": (1,)})
    with pytest.raises(NetworkError, match="at least 1"):
        _define(text, tmp_path, input_shapes={"a": (0, 2)})


def test_an_old_input_without_a_shape_asks_for_one(tmp_path: Path) -> None:
    text = 'input: "data" layer { name: "r" type: "ReLU" bottom: "data" top: "r" }'
    with pytest.raises(NetworkError, match="input 'data' has no shape"):
        _define(text, tmp_path)
    assert _inputs(_define(text, tmp_path, input_shapes={"data": (1, 2)})) == {"data": [1, 2]}


def test_stages_choose_the_deploy_variant_of_an_all_in_one_network(tmp_path: Path) -> None:
    rules = 'include { not_stage: "deploy" }'
    text = (
        DATA.replace("phase: TEST", 'phase: TEST not_stage: "deploy"')
        + 'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: [1, 3, 8, 8] } } '
        + 'include { stage: "deploy" } }'
        + FC
        + LOSS.replace('top: "loss"', f'top: "loss" {rules}')
        + 'layer { name: "softmax" type: "Softmax" bottom: "fc" top: "softmax" include { stage: "deploy" } }'
    )
    deploy = _define(text, tmp_path, stages=["deploy"])
    assert (_inputs(deploy), _outputs(deploy)) == ({"data": [1, 3, 8, 8]}, ["softmax"])
    plain = _define(text, tmp_path)
    assert (_inputs(plain), _outputs(plain)) == ({"data": [10, 3, 8, 8]}, ["prob"])


@pytest.mark.parametrize(
    "text, reason",
    [
        ('layer { name: "r" type: "ReLU" include { phase: TRAIN } }', "no layer belongs to the TEST phase"),
        (DATA, "no layer remains"),
    ],
)
def test_a_network_with_nothing_to_compute_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(NetworkError, match=reason):
        _define(text, tmp_path)
