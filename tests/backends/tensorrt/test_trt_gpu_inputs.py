"""Engines on a real GPU against ONNX Runtime: inputs of other kinds, new engines. Skipped where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import parser

import inferkit
from inferkit.backends.uint8_input import Uint8Input
from inferkit.network.network import Network
from tests.backends.tensorrt.test_trt_gpu import build, error_of, on_cpu

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("gpu_backend", "cache")]

# As in test_trt_gpu.py: TF32 where TensorRT-RTX takes it for FP32.
CLOSE = 2e-3


def test_states_with_their_batch_on_another_axis_and_scalars_are_fed_as_onnxruntime_is(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[N, 4] x, float[2, N, 4] state, float gain) => (float[N, 4] y, float[2, N, 4] next)
    { y = Mul(x, gain) next = Add(state, y) }"""
    onnx.save(parser.parse_model(text), tmp_path / "state.onnx")
    network = inferkit.load(tmp_path / "state.onnx")
    random = np.random.default_rng(2)
    results = {}
    for backend in ("onnxruntime", "tensorrt"):
        with inferkit.build(network, backend=backend, max_batch=5).session() as session:
            for batch in (5, 2):
                feeds = {"x": random.standard_normal((batch, 4)), "state": random.standard_normal((2, batch, 4))}
                feeds = {name: value.astype(np.float32) for name, value in feeds.items()}
                feeds["gain"] = np.array(3, np.float32)
                results[backend, batch] = session.run(feeds)
        random = np.random.default_rng(2)
    for batch in (5, 2):
        for name, expected in results["onnxruntime", batch].items():
            np.testing.assert_allclose(results["tensorrt", batch][name], expected, atol=CLOSE)


@pytest.mark.parametrize("options", [{}, {"static": True}, {"uint8_input": Uint8Input(scale=1 / 255)}])
def test_a_new_engine_was_compared_with_onnx_runtime(tiny: Network, options: dict[str, Any]) -> None:
    engine = inferkit.build(tiny, backend="tensorrt", max_batch=4, cache=False, **options)
    comparison = engine.info.details["comparison"]
    assert comparison.startswith("agrees with ONNX Runtime"), comparison


def test_raw_pixels_give_what_preprocessed_images_give(tiny: Network) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (8, 3, 12, 12)).astype(np.uint8)
    mean, scale = np.float32([104, 117, 123]), 0.017
    floats = ((pixels.astype(np.float32) - mean[:, None, None]) * np.float32(scale)).astype(np.float32)
    with build(tiny, 8, uint8_input=Uint8Input(mean, scale)).session() as session:
        assert session.inputs[0].dtype == "uint8"
        assert error_of(session.run(pixels)["prob"], on_cpu(tiny, floats)) < CLOSE


@pytest.mark.parametrize("mode", ["latency", "throughput"])
def test_raw_pixels_are_copied_as_bytes(tiny: Network, mode: str) -> None:
    """A quarter of what float32 takes, page-locked and on the device; in throughput mode in each of two sets."""
    pixels = np.random.default_rng(2).integers(0, 256, (8, 3, 12, 12)).astype(np.uint8)
    scale = Uint8Input(scale=1 / 256)
    bytes_of = {}
    for dtype, options in (("float32", {}), ("uint8", {"uint8_input": scale})):
        with build(tiny, 8, **options).session(mode=mode) as session:
            memory = session.host_memory(8)["data"]
            assert memory.dtype == dtype
            session.load(pixels if options else scale.normalize(pixels))
            session.execute()
            assert error_of(session.fetch()["prob"], on_cpu(tiny, scale.normalize(pixels))) < CLOSE
            bytes_of[dtype] = (memory.nbytes, session.details()["memory"]["buffer_bytes"])
    sets = 2 if mode == "throughput" else 1
    assert bytes_of["uint8"][0] == pixels.nbytes
    assert bytes_of["float32"][0] == 4 * pixels.nbytes
    assert bytes_of["float32"][1] - bytes_of["uint8"][1] == sets * 3 * pixels.nbytes
