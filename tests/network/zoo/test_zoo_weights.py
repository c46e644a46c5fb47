"""Made-up weights: the same everywhere, of the right shapes and scale, with activations in range at any depth."""

from __future__ import annotations

import hashlib
import math
from itertools import islice

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import inferkit
from inferkit.network import zoo
from inferkit.network.zoo import weights
from inferkit.network.zoo.moments import Moments, relu

SMALL = ("squeezenet1_1", "mobilenet_v2", "googlenet")
LARGE = ("alexnet", "densenet121", "inception_v3", "resnet50", "resnet152", "vgg19")
ALL = [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]

# Over all blobs. They change with any change of the recipe: raise RECIPE in zoo/store.py then, so that no cache keeps
# the old ones. They must not change with the machine, numpy or Python.
DIGESTS = {
    "squeezenet1_1": "4ca5922b633bf3cd69d72f4a0dc19de612f06b3b699f5ce89a68e6fbc0c159c3",
    "mobilenet_v2": "3139a11745b30a874d29887fcfd00d20c68e2d292cef2a2ce2ffcc27c4f9d9a8",
    "densenet121": "59ecc4c5c84b3c776e2a709a1ca274e7f4e298972fe092f627ca8c90f2ffe3b0",
}


def digest(name: str) -> str:
    content = hashlib.sha256()
    for _, blobs in weights.made_up(zoo.build(name)):
        for blob in blobs:
            content.update(blob.astype("<f4").tobytes())
    return content.hexdigest()


@pytest.mark.parametrize("name", sorted(DIGESTS))
def test_weights_are_the_same_on_every_machine(name: str) -> None:
    assert digest(name) == DIGESTS[name]


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v2", "densenet121", "inception_v3"])
def test_blobs_have_the_shapes_that_the_layers_need(name: str) -> None:
    for layer, blobs in weights.made_up(zoo.build(name)):
        assert tuple(blob.shape for blob in blobs) == layer.blobs, layer.name
        assert all(blob.dtype == np.float32 and np.isfinite(blob).all() for blob in blobs), layer.name


def test_layers_do_not_share_numbers() -> None:
    blobs = [blob for _, blobs in weights.made_up(zoo.build("squeezenet1_1")) for blob in blobs]
    beginnings = {blob.ravel()[:8].tobytes() for blob in blobs}
    assert len(beginnings) == len(blobs)


def test_weights_have_he_s_scale_behind_a_relu() -> None:
    # vgg16's conv1_2 reads ReLUs of inputs near 1: variance 2 / fan-in, less what turning away from the mean spares.
    beginning = islice(weights.made_up(zoo.build("vgg16")), 4)  # conv1_1 to relu1_2
    result = {layer.name: blobs for layer, blobs in beginning}
    fan_in = 64 * 9
    assert float(np.std(result["conv1_2"][0])) == pytest.approx(math.sqrt(2 / fan_in), rel=0.35)
    assert abs(float(np.mean(result["conv1_1"][0]))) < 0.1 * float(np.std(result["conv1_1"][0]))


def test_the_numbers_are_normally_distributed() -> None:
    from scipy import stats

    sample = weights.normal("any key", (200_000,))
    # The table's steps of 2^-12 are far below what a sample of this size can resolve.
    assert stats.kstest(sample, "norm").pvalue > 1e-3
    assert not np.array_equal(sample[:1000], weights.normal("another key", (1000,)))


@given(st.floats(-3, 3), st.floats(0.05, 4))
def test_the_moments_of_a_relu_are_those_of_a_sample(mean: float, spread: float) -> None:
    sample = np.maximum(np.random.default_rng(0).normal(mean, spread, 200_000), 0)
    result = relu(Moments(np.array([mean]), spread**2))
    # Five standard errors of a sample of this size.
    assert result.mean[0] == pytest.approx(sample.mean(), abs=5 * spread / math.sqrt(200_000))
    assert result.variance == pytest.approx(sample.var(), rel=0.05, abs=2e-3 * spread**2)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("scale", [1.0, 64.0], ids=["unit inputs", "pixels"])
def test_activations_stay_in_range_through_the_whole_depth(name: str, scale: float) -> None:
    network = inferkit.load(name)
    images = smooth_images(network.inputs[0].shape[1:], 2) * scale
    for blob, values in every_blob(network.model, images).items():
        assert np.isfinite(values).all(), blob
        if blob == "prob":
            continue
        # An eighth of FP16's largest number: room for what INT8 or FP16 errors add.
        assert np.abs(values).max() < 65504 / 8, blob
        # Neither vanishing (FP16's smallest normal number is 6e-5) nor out of proportion to the inputs.
        assert 0.01 < values.std() < 64, blob


@pytest.mark.parametrize("name", ALL)
def test_outputs_are_neither_uniform_nor_certain_and_differ_between_images(name: str) -> None:
    network = inferkit.load(name)
    images = smooth_images(network.inputs[0].shape[1:], 4) * 64
    session = onnxruntime.InferenceSession(network.model.SerializeToString(), providers=["CPUExecutionProvider"])
    (prob,) = session.run(["prob"], {"data": images})
    prob = prob.reshape(len(images), -1)
    best = prob.max(axis=1)
    assert (best > 2 / prob.shape[1]).all()  # uniform would be 1 / 1000
    assert np.median(best) < 0.999
    logs = np.log(prob)
    distances = [float(np.abs(logs[0] - logs_of_image).max()) for logs_of_image in logs[1:]]
    assert min(distances) > 0.1


def smooth_images(shape: tuple[int | None, ...], count: int) -> NDArray[np.float32]:
    """Colour images with as much energy in each octave of detail, as photographs have; zero mean, unit spread."""
    channels, height, width = (int(side or 1) for side in shape)
    rough = np.random.default_rng(5).standard_normal((count, channels, height, width))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    spectrum = np.fft.fft2(rough) / np.maximum(frequency, 1 / max(height, width))
    spectrum[..., 0, 0] = 0
    images = np.fft.ifft2(spectrum).real
    images += images.mean(axis=1, keepdims=True)  # colours go together
    return (images / images.std()).astype(np.float32)


def every_blob(model: onnx.ModelProto, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """All intermediate results by name."""
    open_model = onnx.ModelProto()
    open_model.CopyFrom(model)
    outputs = {output.name for output in open_model.graph.output}
    for node in open_model.graph.node:
        for name in node.output:
            if name and name not in outputs:
                open_model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
                outputs.add(name)
    session = onnxruntime.InferenceSession(open_model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    values = dict(zip(names, session.run(names, {"data": images}), strict=True))
    return {name: value for name, value in values.items() if value.dtype == np.float32 and value.ndim > 1}
