"""A training network gives its inference part: what its losses train, from inputs in place of data layers."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferkit.errors import NetworkError
from inferkit.network.caffe.files.read import parse_prototxt
from inferkit.network.caffe.files.schema import TRAIN
from inferkit.network.caffe.prototxt.upgrade import upgrade
from tests.network.caffe.prototxt.caffe_training import DATA, FC, LOSS, defined, inputs_of, layers_of, outputs_of

ACCURACY = 'layer { name: "acc" type: "Accuracy" bottom: "fc" bottom: "label" top: "acc" include { phase: TEST } }\n'


def test_a_deploy_network_is_left_as_it_is(tmp_path: Path) -> None:
    text = (
        'input: "data" input_dim: [1, 3, 8, 8]'
        'layer { name: "s" type: "Slice" bottom: "data" top: "a" top: "b" top: "c" }'
        'layer { name: "q" type: "Silence" bottom: "b" }'
        'layer { name: "r" type: "ReLU" bottom: "c" top: "c" }'
    )
    definition = defined(text, tmp_path)
    written = parse_prototxt(text, "net.prototxt")
    upgrade(written, "net.prototxt")
    assert list(definition.net.layer) == list(written.layer)
    assert outputs_of(definition) == ["a", "c"]
    assert definition.notes == ()


def test_loss_accuracy_and_labels_vanish_and_probabilities_come_out(tmp_path: Path) -> None:
    definition = defined(DATA + FC + ACCURACY + LOSS, tmp_path)
    assert layers_of(definition) == [
        ("data", "Input", [], ["data"]),
        ("fc", "InnerProduct", ["data"], ["fc"]),
        ("prob", "Softmax", ["fc"], ["prob"]),
    ]
    assert inputs_of(definition) == {"data": [10, 3, 8, 8]}
    assert outputs_of(definition) == ["prob"]
    assert any("replaced by the input 'data' of shape [10, 3, 8, 8]" in note for note in definition.notes)


def test_the_old_form_without_a_top_for_the_loss(tmp_path: Path) -> None:
    text = """
    layers { name: "data" type: DATA top: "data" top: "label" data_param { crop_size: 8 batch_size: 2 }
             transform_param { force_gray: true } }
    layers { name: "fc" type: INNER_PRODUCT bottom: "data" top: "fc" inner_product_param { num_output: 4 } }
    layers { name: "loss" type: SOFTMAX_LOSS bottom: "fc" bottom: "label" }
    """
    definition = defined(text, tmp_path)
    assert outputs_of(definition) == ["prob"]
    assert inputs_of(definition) == {"data": [2, 1, 8, 8]}


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
        ('layer { name: "q" type: "Silence" bottom: "label" }' + ACCURACY, ["fc"]),
    ],
    ids=[
        "second-top", "softmax-there", "prob-taken", "sigmoid", "infogain", "hinge", "euclidean", "euclidean-swapped",
        "accuracy-only", "loss-in-train-only", "softmax-then-loss", "softmax-then-infogain", "argmax", "silence",
    ],
)  # fmt: skip
def test_what_comes_out_of_each_kind_of_loss(tmp_path: Path, layers: str, outputs: list[str]) -> None:
    definition = defined(DATA + FC + layers, tmp_path)
    assert outputs_of(definition) == outputs
    assert inputs_of(definition) == {"data": [10, 3, 8, 8]}


def test_the_axis_of_a_loss_is_the_axis_of_its_softmax(tmp_path: Path) -> None:
    spatial = DATA + LOSS.replace('"fc"', '"data"').replace('top: "loss"', 'top: "loss" softmax_param { axis: 3 }')
    (_, softmax) = defined(spatial, tmp_path).net.layer
    assert softmax.softmax_param.axis == 3
    infogain = DATA + LOSS.replace('"fc"', '"data"').replace(
        'SoftmaxWithLoss"', 'InfogainLoss" infogain_loss_param { axis: 2 }'
    )
    (_, softmax) = defined(infogain, tmp_path).net.layer
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
    definition = defined(DATA + TWO + LOSS + _second("label", 0.3) + ACCURACY + top5, tmp_path)
    assert [name for name, *_ in layers_of(definition)] == ["data", "fc", "prob"]
    notes = [note.rpartition("prototxt: ")[2] for note in definition.notes]
    assert "layer 'loss2' (SoftmaxWithLoss): auxiliary loss: left out with its branch (layers 'fc2')" in notes
    assert "layer 'acc2' (Accuracy): accuracy of an auxiliary loss: left out with its branch (layers 'fc2')" in notes


def test_an_auxiliary_loss_whose_branch_stays_is_left_out_alone(tmp_path: Path) -> None:
    """The main loss needs the layer before the auxiliary one, and a Softmax of its own shows its result."""
    shown = 'layer { name: "early" type: "Softmax" bottom: "fc" top: "early" }'
    first = LOSS.replace('top: "loss"', 'top: "loss" loss_weight: 0.5')
    definition = defined(DATA + TWO + first + _second("label", 1) + shown, tmp_path)
    assert outputs_of(definition) == ["early", "prob"]
    assert [note for note in definition.notes if "auxiliary loss" in note] == [
        f"{tmp_path / 'net.prototxt'}: layer 'loss' (SoftmaxWithLoss): auxiliary loss: left out"
    ]


def test_losses_of_equal_weight_or_on_other_labels_all_count(tmp_path: Path) -> None:
    definition = defined(DATA + TWO + LOSS + _second("label", 1), tmp_path)
    assert outputs_of(definition) == ["fc2_prob", "fc_prob"]
    labels = 'layer { name: "cut" type: "Slice" bottom: "label" top: "age" top: "sex" }\n'
    definition = defined(DATA + labels + TWO + LOSS.replace('"label"', '"age"') + _second("sex", 0.1), tmp_path)
    assert outputs_of(definition) == ["fc2_prob", "fc_prob"]
    assert "cut" not in [name for name, *_ in layers_of(definition)]


def test_two_losses_on_one_blob_make_one_output(tmp_path: Path) -> None:
    definition = defined(DATA + FC + LOSS + LOSS.replace('"loss"', '"again"'), tmp_path)
    assert outputs_of(definition) == ["prob"]


def test_an_autoencoder_gives_what_it_decodes(tmp_path: Path) -> None:
    text = (
        DATA
        + 'layer { name: "flat" type: "Flatten" bottom: "data" top: "flat" }'
        + FC.replace('bottom: "data"', 'bottom: "flat"')
        + 'layer { name: "ce" type: "SigmoidCrossEntropyLoss" bottom: "fc" bottom: "flat" top: "ce" loss_weight: 1 }'
        + 'layer { name: "sig" type: "Sigmoid" bottom: "fc" top: "decoded" }'
        + 'layer { name: "l2" type: "EuclideanLoss" bottom: "decoded" bottom: "flat" top: "l2" loss_weight: 0 }'
    )
    assert [name for name, *_ in layers_of(defined(text, tmp_path))] == ["data", "flat", "fc", "sig"]
    assert outputs_of(defined(text, tmp_path)) == ["decoded"]


def test_a_siamese_network_gives_both_features(tmp_path: Path) -> None:
    text = (
        DATA.replace('top: "label"', 'top: "sim"')
        + 'layer { name: "cut" type: "Slice" bottom: "data" top: "a" top: "b" slice_param { axis: 1 slice_point: 1 } }'
        + 'layer { name: "f" type: "InnerProduct" bottom: "a" top: "f" inner_product_param { num_output: 2 } }'
        + 'layer { name: "g" type: "InnerProduct" bottom: "b" top: "g" inner_product_param { num_output: 2 } }'
        + 'layer { name: "loss" type: "ContrastiveLoss" bottom: "f" bottom: "g" bottom: "sim" top: "loss" }'
    )
    assert outputs_of(defined(text, tmp_path)) == ["f", "g"]


def test_a_top_that_only_a_vanished_layer_read_is_no_output(tmp_path: Path) -> None:
    """An image and its target come in one blob: the target's part is cut off, and must not turn up as an output."""
    text = (
        DATA
        + 'layer { name: "cut" type: "Slice" bottom: "data" top: "image" top: "target" slice_param { slice_point: 2 } }'
        + FC.replace('bottom: "data"', 'bottom: "image"')
        + 'layer { name: "l2" type: "EuclideanLoss" bottom: "fc" bottom: "target" top: "l2" }'
    )
    definition = defined(text, tmp_path)
    assert outputs_of(definition) == ["fc"]
    assert layers_of(definition)[-1] == ("unwanted", "Silence", ["target"], [])


def test_labels_from_an_input_layer_vanish_with_their_shape(tmp_path: Path) -> None:
    text = (
        'layer { name: "in" type: "Input" top: "label" top: "data" '
        "input_param { shape { dim: 2 } shape { dim: [2, 3] } } }" + FC + LOSS
    )
    assert inputs_of(defined(text, tmp_path)) == {"data": [2, 3]}


def test_a_loss_that_caffe_lacks_vanishes_with_a_note(tmp_path: Path) -> None:
    python = 'layer { name: "py" type: "Python" bottom: "fc" bottom: "label" top: "py" loss_weight: 1 }'
    definition = defined(DATA + FC + LOSS.replace("SoftmaxWithLoss", "CenterLoss") + python, tmp_path)
    assert outputs_of(definition) == ["fc"]
    notes = [note for note in definition.notes if "not a loss of Caffe 1.0" in note]
    assert len(notes) == 2
    assert all(note.endswith("left out; the blob 'fc' that it evaluates is an output as it is") for note in notes)


def test_a_note_on_a_loss_names_no_output_that_is_none(tmp_path: Path) -> None:
    deeper = FC.replace('"fc"', '"fc2"').replace('"data"', '"fc"')
    text = DATA + FC + deeper + LOSS.replace("SoftmaxWithLoss", "CenterLoss") + _second("label", 1)
    definition = defined(text, tmp_path)
    assert outputs_of(definition) == ["prob"]
    assert [note for note in definition.notes if "CenterLoss" in note] == [
        f"{tmp_path / 'net.prototxt'}: layer 'loss' (CenterLoss): not a loss of Caffe 1.0: left out"
    ]


def test_an_unknown_layer_on_the_way_of_the_labels_is_noted(tmp_path: Path) -> None:
    text = (
        DATA
        + FC
        + 'layer { name: "warp" type: "WarpLabels" bottom: "label" top: "warped" }'
        + LOSS.replace('"label"', '"warped"')
    )
    definition = defined(text, tmp_path)
    assert outputs_of(definition) == ["prob"]
    (note,) = [note for note in definition.notes if "'warp'" in note]
    assert note.endswith("layer 'warp' (WarpLabels): not a layer of Caffe 1.0: left out, since no output needs it")


@pytest.mark.parametrize("loss", ["", 'layer { name: "l" type: "EuclideanLoss" bottom: "fc" bottom: "fc" top: "l" }'])
def test_a_blob_of_another_phase_names_its_layer_and_rule(tmp_path: Path, loss: str) -> None:
    text = (
        'layer { name: "noise" type: "DummyData" top: "noise" include { phase: TRAIN stage: "rich" } '
        + "dummy_data_param { shape { dim: 1 } } }"
        + 'layer { name: "cut" type: "Split" bottom: "noise" top: "fc" }'
        + loss
    )
    with pytest.raises(
        NetworkError,
        match=r"'cut' \(Split\): no earlier layer produces its bottom 'noise'; layer 'noise' \(DummyData\) does, but "
        r'is left out in the phase TEST: include \{ phase: TRAIN stage: "rich" \}; give another phase, level or stage',
    ):
        defined(text, tmp_path)
    defined(text, tmp_path, phase=TRAIN, stages=["rich"])


def test_the_filler_of_the_label_path_does_not_matter(tmp_path: Path) -> None:
    hidden = 'layer { name: "q" type: "Silence" bottom: "fc" }' + LOSS.replace('"fc"', '"other"')
    definition = defined(DATA + FC + FC.replace('"fc"', '"other"') + hidden, tmp_path)
    assert [name for name, *_ in layers_of(definition)] == ["data", "other", "prob"]


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
    deploy = defined(text, tmp_path, stages=["deploy"])
    assert (inputs_of(deploy), outputs_of(deploy)) == ({"data": [1, 3, 8, 8]}, ["softmax"])
    plain = defined(text, tmp_path)
    assert (inputs_of(plain), outputs_of(plain)) == ({"data": [10, 3, 8, 8]}, ["prob"])


@pytest.mark.parametrize(
    "text, reason",
    [
        ('layer { name: "r" type: "ReLU" include { phase: TRAIN } }', "no layer belongs to the TEST phase"),
        (DATA, "no layer remains"),
    ],
)
def test_a_network_with_nothing_to_compute_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(NetworkError, match=reason):
        defined(text, tmp_path)
