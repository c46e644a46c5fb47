"""An engine file behind the batcher, on a real GPU; skipped where there is none."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import inferkit
from inferkit.cli.serving import add_served_model, open_session, settle
from inferkit.network.network import Network
from inferkit.serve.batching.batcher import Batcher

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("gpu_backend", "cache")]


def test_every_request_is_answered_from_the_file(tiny: Network, tmp_path: Path) -> None:
    path = tmp_path / "tiny.plan"
    inferkit.build(tiny, backend="tensorrt", max_batch=6, min_batch=2).save(path)
    parser = argparse.ArgumentParser()
    add_served_model(parser)
    args = parser.parse_args([str(path)])
    settle(args)
    images = np.random.default_rng(11).normal(size=(24, 3, 12, 12)).astype(np.float32)
    runtime = onnxruntime.InferenceSession(tiny.model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = runtime.run(None, {tiny.inputs[0].name: images})[0]

    with open_session(args) as (name, session, _), Batcher(session, args.max_batch, delay=0.001) as batcher:
        answers = [batcher.submit(image[None]) for image in images]
        found = np.concatenate([answer.result(60)["prob"] for answer in answers])

    assert name == "tiny"
    assert np.linalg.norm(found - expected) < 2e-3 * np.linalg.norm(expected)  # RTX 1.4 computes FP32 in TF32
