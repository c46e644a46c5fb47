"""Pixels as input: what a network makes of them is Preprocessing's, and they stay bytes all the way to the engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest

import inferkit
from inferkit.backends.caffe import BACKEND as CAFFE
from inferkit.backends.feeds import check_feeds
from inferkit.backends.tensorrt.running.buffers import BufferSet
from inferkit.backends.uint8_input import Uint8Input, normalization_of, with_uint8_input
from inferkit.data.pixels.preprocessing import Preprocessing
from inferkit.errors import BackendUnavailable, DataError, UsageError
from inferkit.network.network import Network, TensorInfo

CHANNELS, SIDE, UNCROPPED = 3, 6, 10
RANDOM = np.random.default_rng(5)
PIXELS = RANDOM.integers(0, 256, (4, CHANNELS, UNCROPPED, UNCROPPED)).astype(np.uint8)
INPUT = TensorInfo("data", "float32", (None, CHANNELS, SIDE, SIDE))
STEPS = {
    "nothing": Preprocessing(crop=SIDE),
    "scale": Preprocessing(crop=SIDE, scale=1 / 256),
    "mean of all": Preprocessing(crop=SIDE, mean_values=(33.5,), scale=0.5),
    "mean of each": Preprocessing(crop=SIDE, mean_values=(103.939, 116.779, 123.68), scale=0.017),
    "mean image": Preprocessing(crop=SIDE, mean=RANDOM.uniform(90, 130, (CHANNELS, UNCROPPED, UNCROPPED)), scale=0.3),
    "another order": Preprocessing(crop=SIDE, channel_order=(2, 1, 0), mean_values=(1.5, 2.5, 3.5)),
}


@pytest.fixture(scope="module")
def same() -> Network:
    """A network whose output is its input."""
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        same (float[N, {CHANNELS}, {SIDE}, {SIDE}] data) => (float[N, {CHANNELS}, {SIDE}, {SIDE}] out)
        {{ out = Identity (data) }}"""
    )
    return Network.from_model(model, "same")


@pytest.mark.parametrize("name", STEPS)
def test_the_engine_s_normalization_is_that_of_preprocessing_to_the_bit(same: Network, name: str) -> None:
    expected = STEPS[name].apply(list(PIXELS), layout="CHW")
    pixels = STEPS[name].pixels_only().apply(list(PIXELS), layout="CHW", dtype=np.uint8)
    asked = normalization_of(STEPS[name], INPUT)
    np.testing.assert_array_equal(asked.normalize(pixels), expected)
    with inferkit.build(same, max_batch=4, uint8_input=asked).session() as session:
        assert session.inputs[0].dtype == "uint8"
        np.testing.assert_array_equal(session.run(pixels)["out"], expected)


def test_a_mean_for_other_channels_is_refused() -> None:
    with pytest.raises(DataError, match="3 channels, but there are 2 mean values"):
        normalization_of(Preprocessing(mean_values=(1.0, 2.0)), INPUT)
    with pytest.raises(UsageError, match="mean has shape"):
        Uint8Input([1.0, 2.0]).normalize(PIXELS)


def test_caffe_which_computes_the_prototxt_itself_is_not_given_pixels() -> None:
    network = with_uint8_input(inferkit.load("lenet"), Uint8Input(scale=1 / 256))
    with pytest.raises(BackendUnavailable, match="float32 input"):
        CAFFE.build(network, 1)


def test_pixels_are_checked_where_they_lie_and_are_not_converted() -> None:
    info = replace(INPUT, dtype="uint8", shape=(None, CHANNELS, UNCROPPED, UNCROPPED))
    arrays, batch = check_feeds(PIXELS, (info,), 4)
    assert batch == 4
    assert arrays["data"].dtype == np.uint8
    assert np.shares_memory(arrays["data"], PIXELS)


class Memory:
    """What BufferSet asks of a device, with numpy's memory in its place: how many bytes, and of which type."""

    def __init__(self) -> None:
        self.allocated: list[int] = []

    def allocate(self, size: int, what: str) -> int:
        self.allocated.append(size)
        return len(self.allocated)

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.empty(shape, dtype)


def test_the_page_locked_input_holds_a_quarter_of_the_bytes() -> None:
    """The copy to the device is of exactly this array (LatencySession._copies, ThroughputSession._make_submit)."""
    sizes = {}
    for dtype in ("float32", "uint8"):
        memory = Memory()
        info = replace(INPUT, dtype=dtype)
        buffers = BufferSet(memory, (info,), (), 64)  # type: ignore[arg-type]
        pixels = RANDOM.integers(0, 256, (5, CHANNELS, SIDE, SIDE)).astype(dtype)
        buffers.stage({"data": pixels}, 5)
        (binding,) = buffers.inputs
        assert binding.at(5).dtype == dtype
        np.testing.assert_array_equal(binding.at(5), pixels)
        sizes[dtype] = (memory.allocated[0], binding.host.nbytes, binding.at(5).nbytes)
    values = CHANNELS * SIDE * SIDE
    assert sizes["uint8"] == (64 * values, 64 * values, 5 * values)
    assert sizes["float32"] == tuple(4 * size for size in sizes["uint8"])
