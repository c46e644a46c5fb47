"""A model that doubles, and clients that ask a server for it over HTTP and gRPC."""

import http.client
import json

import numpy as np
import pytest

from inferkit.network.network import TensorInfo
from inferkit.serve.protocol.messages import messages


class Doubling:
    """A session that doubles, fails for negative numbers, and makes 100 infinite."""

    inputs = (TensorInfo("x", "float32", (None, 3)),)
    outputs = (TensorInfo("y", "float32", (None, 3)), TensorInfo("sum", "float64", (None,)))

    def run(self, arrays):
        if (arrays["x"] < 0).any():
            raise ValueError("negative")
        doubled = np.where(arrays["x"] == 100, np.float32("inf"), arrays["x"] * 2)
        return {"y": doubled, "sum": arrays["x"].sum(axis=1).astype(np.float64)}


def ask(server, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def infer(server, request, headers=None):
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    status, content = ask(server, "POST", "/v2/models/doubling/infer", body, headers)
    return status, json.loads(content)


def an_input(data=(1.0, 2.0, 3.0), shape=(1, 3), kind="FP32", name="x"):
    return {"inputs": [{"name": name, "datatype": kind, "shape": list(shape), "data": list(data)}]}


def grpc_request(data=(1, 2, 3), model="doubling"):
    request = messages()["ModelInferRequest"](model_name=model)
    tensor = request.inputs.add(name="x", datatype="FP32", shape=[1, 3])
    tensor.contents.fp32_contents.extend(data)
    return request


def ask_grpc(server, request, **options):
    grpc = pytest.importorskip("grpc")
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=messages()["ModelInferRequest"].SerializeToString,
            response_deserializer=messages()["ModelInferResponse"].FromString,
        )
        return call(request, timeout=60, **options)
