"""Floors: the counted work of known networks, and which of the two limits binds."""

from __future__ import annotations

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inferkit
from inferkit.measure.layers.network_layers import layers_of
from inferkit.measure.layers.roofline import CARDS, Work, card_of, limit_of, work_of
from inferkit.network import zoo
from inferkit.network.network import Network


@pytest.mark.parametrize("name", ["lenet", "fashion_resnet", "squeezenet1_1", "mobilenet_v2", "googlenet"])
def test_work_is_what_the_layers_say(name: str) -> None:
    work = work_of(inferkit.load(name))
    net = zoo.build(name)
    assert work.operations == 2 * net.macs
    assert work.inputs == net.shapes["data"][0] * net.shapes["data"][1] * net.shapes["data"][2]
    assert work.outputs == net.shapes["prob"][0]


@pytest.mark.parametrize("name", ["lenet", "squeezenet1_1"])
def test_the_work_of_one_image_does_not_depend_on_the_batch_that_a_network_is_fixed_to(name: str) -> None:
    network = inferkit.load(name)
    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 16
    fixed = Network.from_model(model, name)
    assert fixed.inputs[0].shape[0] == 16
    assert work_of(fixed) == work_of(network)
    layers, of_one = layers_of(fixed), layers_of(network)
    assert [layer.operations for layer in layers] == [layer.operations for layer in of_one]
    assert [layer.output_bytes for layer in layers] == [layer.output_bytes for layer in of_one]


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_precision_changes_how_not_how_much(precision: str) -> None:
    import numpy as np

    network = inferkit.load("lenet")
    calibration = {"calibration": np.ones((1, 1, 28, 28), np.float32)} if precision == "int8" else {}
    assert work_of(inferkit.at_precision(network, precision, **calibration)) == work_of(network)


def test_vgg16_on_an_h100_is_bound_by_weights_alone_and_by_operations_in_batches() -> None:
    card = card_of("NVIDIA H100 80GB HBM3")
    assert card is not None
    # 30.94 GFLOP and 138.3 million weights an image.
    work = Work(operations=30_940_000_000, weights=138_300_000, inputs=150_528, outputs=1000)
    single, batch = limit_of(work, "fp16", 1, card), limit_of(work, "fp16", 64, card)
    assert single.bound_by == "bytes"
    assert single.seconds == pytest.approx(83e-6, rel=0.02)
    assert batch.bound_by == "operations"
    assert 64 / batch.seconds == pytest.approx(31_980, rel=0.01)


@given(st.integers(1, 10**12), st.integers(0, 10**9), st.integers(1, 512), st.sampled_from(["fp32", "fp16", "int8"]))
def test_a_floor_is_the_larger_of_two_and_grows_with_the_batch(
    operations: int, weights: int, batch: int, precision: str
) -> None:
    work = Work(operations, weights, 1000, 10)
    for _, card in CARDS:
        limit = limit_of(work, precision, batch, card)
        assert limit.seconds == max(limit.operations, limit.bytes)
        assert limit_of(work, precision, batch + 1, card).seconds >= limit.seconds


@pytest.mark.parametrize(
    "name, known",
    [
        ("NVIDIA H200", True),
        ("NVIDIA H100 80GB HBM3", True),
        ("NVIDIA H100 PCIe", True),
        ("Tesla T4", True),
        ("Tesla V100-SXM2-16GB", True),
        ("NVIDIA A100-SXM4-40GB", True),
        ("NVIDIA L4", True),
        ("NVIDIA L40S", True),
        ("NVIDIA H200 NVL", False),
        ("NVIDIA Something New", False),
        ("", False),
        (None, False),
    ],
)
def test_only_cards_with_known_rates_have_a_floor(name: str | None, known: bool) -> None:
    assert (card_of(name) is not None) is known


def test_half_the_weights_take_half_the_time() -> None:
    card = card_of("NVIDIA H200")
    assert card is not None
    work = Work(1, 10**9, 0, 0)
    assert limit_of(work, "fp32", 1, card).bytes == 2 * limit_of(work, "fp16", 1, card).bytes
