"""uint8 input: the graph with mean and scale inside computes what preprocessing outside computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import inferkit
from inferkit.backends.tensorrt.building.batch_range import make_profile
from inferkit.backends.tensorrt.building.builder import BuildOptions, build_plan
from inferkit.backends.uint8_input import Uint8Input, with_uint8_input
from inferkit.errors import UsageError
from inferkit.network.network import Network, TensorInfo
from tests.backends.tensorrt.trt_models import tiny_model

TINY = Network.from_model(tiny_model(), "tiny")


def outputs(network: Network, images: Any) -> Any:
    session = onnxruntime.InferenceSession(network.model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["prob"], {"data": images})[0]


def pixels(seed: int, batch: int = 3) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (batch, 3, 12, 12)).astype(np.uint8)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 999), kind=st.sampled_from(["none", "one", "channel", "column", "image"]), scaled=st.booleans()
)
def test_the_graph_subtracts_and_scales_as_the_host_does(seed: int, kind: str, scaled: bool) -> None:
    random = np.random.default_rng(seed)
    shapes = {"one": (), "channel": (3,), "column": (3, 1, 1), "image": (3, 12, 12)}
    mean = None if kind == "none" else random.uniform(0, 255, shapes[kind]).astype(np.float32)
    scale = 0.0078125 if scaled else 1.0
    images = pixels(seed)
    subtracted = 0 if mean is None else mean if mean.ndim != 1 else mean[:, None, None]
    floats = ((images.astype(np.float32) - subtracted) * np.float32(scale)).astype(np.float32)
    changed = with_uint8_input(TINY, Uint8Input(mean, scale))
    np.testing.assert_allclose(outputs(changed, images), outputs(TINY, floats), rtol=2e-6, atol=1e-7)


def test_name_and_shape_of_the_input_stay(tiny: Network) -> None:
    changed = with_uint8_input(tiny, Uint8Input([1, 2, 3], 0.5))
    assert changed.inputs == (TensorInfo("data", "uint8", (None, 3, 12, 12)),)
    assert changed.outputs == tiny.outputs
    assert tiny.inputs[0].dtype == "float32"
    assert changed.digest != tiny.digest


def test_the_preprocessing_of_a_dataset_fits(tiny: Network) -> None:
    from inferkit.data import Preprocessing

    steps = Preprocessing(mean_values=(104.0, 117.0, 123.0), scale=0.5)
    mean, scale = steps.normalization((3, 12, 12))
    images = pixels(4)
    expected = outputs(tiny, steps.apply(list(images), layout="CHW"))
    changed = with_uint8_input(tiny, Uint8Input(mean, scale))
    np.testing.assert_allclose(outputs(changed, images), expected, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_it_is_built(rtx: Any, tiny: Network, precision: str) -> None:
    changed = with_uint8_input(inferkit.at_precision(tiny, precision), Uint8Input([104, 117, 123], 0.017))
    info = build_plan(changed, rtx, BuildOptions(make_profile(changed, 4))).plan.info
    assert info.inputs == (TensorInfo("data", "uint8", (None, 3, 12, 12)),)
    assert info.outputs[0].dtype == "float32"


def test_names_that_are_taken_are_not_taken_again() -> None:
    model = tiny_model()
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["data_pixels" if name == "relu" else "data_mean" if name == "pool" else name for name in names]
    network = Network.from_model(model, "odd")
    changed = with_uint8_input(network, Uint8Input([9.0, 8.0, 7.0]))
    images = pixels(1)
    floats = images.astype(np.float32) - np.float32([9, 8, 7])[:, None, None]
    np.testing.assert_allclose(outputs(changed, images), outputs(network, floats), rtol=2e-6, atol=1e-7)


def test_a_mean_of_another_size_is_refused(tiny: Network) -> None:
    for mean in (np.zeros(4), np.zeros((3, 11, 12)), np.zeros((1, 2, 3, 12, 12))):
        with pytest.raises(UsageError, match="mean has shape"):
            with_uint8_input(tiny, Uint8Input(mean))


def test_only_a_float_input_can_become_uint8(tiny: Network) -> None:
    once = with_uint8_input(tiny, Uint8Input())
    with pytest.raises(UsageError, match="uint8"):
        with_uint8_input(once, Uint8Input())
    with pytest.raises(UsageError, match="it has data"):
        with_uint8_input(tiny, Uint8Input(input="image"))
