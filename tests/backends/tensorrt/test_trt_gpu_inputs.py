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
