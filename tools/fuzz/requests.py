"""What a server is sent: bodies of the Open Inference Protocol, over HTTP and as gRPC messages."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np

from inferkit.network.network import TensorInfo
from inferkit.serve.batching.errors import BadRequest
from inferkit.serve.batching.layout import Layout
from inferkit.serve.protocol import grpc_service, http
from inferkit.serve.protocol.messages import messages
from tools.fuzz.target import Target

_LAYOUT = Layout([TensorInfo("data", "float32", (None, 1, 2, 2))])


def bodies() -> Iterable[bytes]:
    """The length of the JSON in one byte, then the body: numbers in the JSON, and bytes behind it."""
    tensor = {"name": "data", "datatype": "FP32", "shape": [1, 1, 2, 2]}
    numbers = json.dumps({"inputs": [{**tensor, "data": [1.5, 2, 3, 4]}]}).encode()
    behind = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": 16}}]}).encode()
    return b"\0" + numbers, bytes([len(behind)]) + behind + bytes(16)


def read_body(content: bytes) -> None:
    length = content[0] if content else 0
    _, arrays = http._read(content[1:], str(length) if length else None)
    _LAYOUT.check(arrays, 4)


def calls() -> Iterable[bytes]:
    request = messages()["ModelInferRequest"](model_name="m", id="1")
    request.inputs.add(name="data", datatype="FP32", shape=[1, 1, 2, 2]).contents.fp32_contents.extend([1, 2, 3, 4])
    yield request.SerializeToString()
    del request.inputs[0].contents.fp32_contents[:]
    request.raw_input_contents.append(np.ones(4, "<f4").tobytes())
    yield request.SerializeToString()


def read_call(content: bytes) -> None:
    from google.protobuf.message import DecodeError

    try:
        request = messages()["ModelInferRequest"].FromString(content)
    except DecodeError as error:  # gRPC answers such a call itself
        raise BadRequest(str(error)) from None
    _LAYOUT.check(grpc_service._arrays(request), 4)


TARGETS = (
    Target(
        "http_body", read_body, bodies, (b'"BOOL"', b'"INT64"', b"1e999", b"[[[[", b"9" * 30, b'"parameters"', b"NaN")
    ),
    Target("grpc_call", read_call, calls, (b"BOOL", b"INT64", b"FP64", b"\xff" * 9 + b"\x01")),
)
