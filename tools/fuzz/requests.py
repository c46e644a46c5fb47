"""What a server is sent: bodies of the Open Inference Protocol, over HTTP and as gRPC messages, and whole requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from inferkit.network.network import TensorInfo
from inferkit.serve.batching.errors import BadRequest
from inferkit.serve.batching.layout import Layout
from inferkit.serve.protocol import grpc_service, http
from inferkit.serve.protocol.messages import messages
from inferkit.serve.protocol.service import Service
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


class _Call:
    """What gRPC knows of a call: here its deadline, and how it was answered."""

    def __init__(self) -> None:
        self.code: Any = None

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    def time_remaining(self) -> float:
        return 10.0

    async def abort(self, code: Any, text: str) -> None:
        self.code = code


def answer_call(content: bytes) -> None:
    """One call to the whole service: whatever it is, the fault is not the server's."""
    import grpc
    from google.protobuf.message import DecodeError

    try:
        request = messages()["ModelInferRequest"].FromString(content)
    except DecodeError as error:
        raise BadRequest(str(error)) from None

    async def answered() -> Any:
        service, call = _service("m"), _Call()
        await grpc_service._guarded(service, "ModelInfer", grpc_service._Answers(service).ModelInfer)(request, call)
        return call.code

    code = asyncio.run(answered())
    if code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN):
        raise AssertionError(f"answered with {code}")


class _Echo:
    """An engine that answers with its input."""

    inputs = outputs = (TensorInfo("data", "float32", (None, 1, 2, 2)),)

    def run(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {"data": arrays["data"].copy()}


def requests() -> Iterable[bytes]:
    """A path, headers line by line, an empty line, and the body."""
    plain, behind = bodies()
    yield b"/v2/models/group/net/infer\r\ncontent-type: application/json\r\n\r\n" + plain[1:]
    length = b"Inference-Header-Content-Length: %d" % behind[0]
    yield b"/v2/models/group/net/versions/1/infer\r\n" + length + b"\r\n\r\n" + behind[1:]
    for path in (b"/v2/models/group/net/ready", b"/v2/models/group%2Fnet", b"/v2/health/ready", b"/metrics"):
        yield path + b"\r\nAuthorization: Bearer x\r\n\r\n"


@cache
def _service(name: str) -> Service:
    return Service(name, _Echo(), 4, delay=0.0)  # type: ignore[arg-type]


@cache
def _application() -> Any:
    return http.application(_service("group/net"), 1 << 16)


def answer_request(content: bytes) -> None:
    """One request to the whole application: whatever it is, the fault is not the server's."""
    head, _, body = content.partition(b"\r\n\r\n")
    path, *lines = head.split(b"\r\n")
    headers = [(name.strip().lower(), text.strip()) for name, _, text in (line.partition(b":") for line in lines)]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST" if body else "GET",
        "scheme": "http",
        "path": unquote(path.decode("latin-1")),
        "raw_path": path,
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    asyncio.run(_application()(scope, receive, send))
    if len(statuses) != 1 or statuses[0] >= 500:
        raise AssertionError(f"answered with {statuses}")


_WORDS = (b"BOOL", b"INT64", b"FP64", b"\xff" * 9 + b"\x01", b"timeout", b"classification")
TARGETS = (
    Target(
        "http_body", read_body, bodies, (b'"BOOL"', b'"INT64"', b"1e999", b"[[[[", b"9" * 30, b'"parameters"', b"NaN")
    ),
    Target(
        "http_request",
        answer_request,
        requests,
        (b"Inference-Header-Content-Length", b"content-length", b"\xb2", b"9" * 30, b"%2F", b"\r\n", b'"timeout":'),
    ),
    Target("grpc_call", read_call, calls, _WORDS),
    Target("grpc_request", answer_call, calls, _WORDS),
)
