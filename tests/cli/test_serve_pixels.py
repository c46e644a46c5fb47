"""`--uint8-input` of `serve`: the model's metadata says UINT8, and clients send bytes."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest

import inferkit
from inferkit.cli.serving import add_served_model, open_session, settle
from inferkit.data.fashion_mnist import read_embedded
from inferkit.errors import UsageError
from inferkit.network import zoo

for library in ("grpc", "prometheus_client", "starlette", "uvicorn"):
    pytest.importorskip(library, reason=f"{library} is missing: pip install grpcio prometheus-client starlette uvicorn")


def settled(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_served_model(parser)
    args = parser.parse_args(["lenet", "--threads", "1", "--max-batch", "4", *words])
    settle(args)
    return args


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_metadata_says_uint8_and_bytes_are_answered(precision: str) -> None:
    from inferkit.serve.protocol.server import InferenceServer
    from inferkit.serve.protocol.service import Service
    from tests.serve.protocol.doubling import ask

    words = ["--uint8-input", "--precision", precision]
    words += ["--calibration-data", "fashion_mnist"] if precision == "int8" else []
    pixels = read_embedded()[0][:3, np.newaxis]
    scale = np.float32(zoo.card("lenet")["preprocessing"]["scale"])
    with inferkit.build(inferkit.load("lenet"), max_batch=3).session() as session:
        expected = session.run(pixels * scale)["prob"].reshape(3, -1)
    with open_session(settled(*words)) as (name, session, calibrated):
        service = Service(name, session, 4, calibrated=calibrated)
        with InferenceServer(service, http_port=0, grpc_port=None) as server:
            (metadata,) = service.inputs
            assert metadata.datatype == "UINT8"
            content = {"name": "data", "datatype": "UINT8", "shape": list(pixels.shape)}
            body = {"inputs": [{**content, "data": pixels.reshape(-1).tolist()}]}
            status, text = ask(server, "POST", "/v2/models/lenet/infer", json.dumps(body).encode())
            assert status == 200, text
        service.close()
    scores = np.array(json.loads(text)["outputs"][0]["data"]).reshape(3, -1)
    # INT8 rounds to 127 steps; the same classes, and probabilities that differ by a few hundredths.
    np.testing.assert_allclose(scores, expected, atol=1e-5 if precision == "fp32" else 0.1)
    if precision == "int8":
        assert calibrated["data"] > 200  # of the pixels that it is sent, not of what becomes of them


def test_mean_and_scale_need_pixels() -> None:
    with pytest.raises(UsageError, match="need --uint8-input"), open_session(settled("--mean", "1")):
        pass
