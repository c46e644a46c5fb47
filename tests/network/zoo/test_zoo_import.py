"""Imported zoo networks compute what real PyCaffe computes from the same files."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

import inferkit
from inferkit.network import zoo
from inferkit.network.network import Network

# What an import may differ by, relative to the largest output.
TOLERANCE = 1e-4
QUICK = ("lenet", "fashion_vgg", "fashion_resnet", "squeezenet1_1", "mobilenet_v1")
ALL = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in zoo.names()]


@pytest.mark.pycaffe
@pytest.mark.parametrize("name", ALL)
def test_the_import_agrees_with_pycaffe(name: str) -> None:
    network = inferkit.load(name)
    # Two images at once: a wrong stride over the batch would show.
    images = some_images(network, 2)
    with inferkit.build(network, backend="caffe", max_batch=2).session() as session:
        expected = session.run(images)["prob"]
    actual = in_onnxruntime(network, images)
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize("name", [name for name in zoo.names() if zoo.is_trained(name)])
def test_trained_networks_classify_as_their_card_says(name: str) -> None:
    from inferkit.data.fashion_mnist import read_embedded

    card = zoo.card(name)
    network = inferkit.load(name)
    pixels, labels = read_embedded()
    count = 2000
    images = pixels[:count, np.newaxis].astype(np.float32) * np.float32(card["preprocessing"]["scale"])
    top1 = float(np.mean(in_onnxruntime(network, images).argmax(axis=1) == labels[:count]))
    expected = card["accuracy"]["onnxruntime"]["top1"]
    # The first 2,000 of the 10,000 images measured: three standard errors of a share this large.
    assert abs(top1 - expected) < 3 * np.sqrt(expected * (1 - expected) / count)
    assert card["accuracy"]["caffe"]["top1"] == pytest.approx(expected, abs=2e-4)  # two images of 10,000


def some_images(network: Network, count: int) -> NDArray[np.float32]:
    """Random pixels, scaled for trained networks and less their mean for the others."""
    shape = (count, *(int(side or 1) for side in network.inputs[0].shape[1:]))
    pixels = np.random.default_rng(3).integers(0, 256, shape).astype(np.float32)
    return pixels / 256 if zoo.is_trained(network.name) else pixels - 128


def in_onnxruntime(network: Network, images: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(network.model.SerializeToString(), providers=["CPUExecutionProvider"])
    (prob,) = session.run(["prob"], {"data": images})
    return np.asarray(prob)
