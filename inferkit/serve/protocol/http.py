"""The Open Inference Protocol (KServe v2) over HTTP: JSON, with tensors as numbers or as bytes behind the JSON."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from inferkit.errors import BackendError, InferkitError
from inferkit.serve.batching.errors import BadRequest, BatcherClosed, DeadlineExceeded, QueueFull
from inferkit.serve.protocol.service import (
    MODEL_NAME,
    VERSION,
    Unauthorized,
    UnknownModel,
    refuse_parameters,
    timeout_seconds,
)
from inferkit.serve.protocol.tensors import from_bytes, from_numbers
from inferkit.version import __version__

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from inferkit.serve.batching.layout import Arrays
    from inferkit.serve.batching.requests import Outputs
    from inferkit.serve.protocol.service import Service

JSON_LENGTH = "Inference-Header-Content-Length"
_STATUS = ((UnknownModel, 404), (BadRequest, 400), (QueueFull, 503), (BatcherClosed, 503), (DeadlineExceeded, 504))
Handler = Callable[["Request"], Awaitable["Response"]]


class _TooLarge(BadRequest):
    """The body is over the limit."""


def application(service: Service, max_bytes: int) -> Starlette:
    """The ASGI application. A body of more than `max_bytes` gets 413 and is not read further."""
    from starlette.applications import Starlette
    from starlette.convertors import StringConvertor, register_url_convertor
    from starlette.exceptions import HTTPException
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    class ModelName(StringConvertor):
        regex = MODEL_NAME

    register_url_convertor("model", ModelName())

    def failure(text: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
        """An answer in JSON; halves of surrogate pairs, which a client may have sent, are no text and become "?"."""
        return JSONResponse({"error": text.encode("utf-8", "replace").decode()}, status, headers)

    def guarded(handler: Handler, *, is_open: bool = False, is_counted: bool = False) -> Handler:
        async def handle(request: Request) -> Response:
            try:
                with service.counted("http") if is_counted else nullcontext():
                    if not is_open:
                        service.check_token(request.headers.get("authorization"))
                    return await handler(request)
            except asyncio.CancelledError:  # by the HTTP library, once its patience with a stopping server is over
                if service.is_ready:
                    raise
                return failure("the service was shut down before this request was answered", 503)
            except Unauthorized as error:
                return failure(str(error), 401, {"WWW-Authenticate": "Bearer"})
            except _TooLarge as error:
                return failure(str(error), 413, {"Connection": "close"})
            except InferkitError as error:
                status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
                return failure(str(error), status)
            except Exception as error:  # the engine's own: the message is the client's, the traceback is not
                return failure(f"inference failed: {type(error).__name__}: {error}", 500)

        return handle

    async def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return failure(error.detail, error.status_code, error.headers)

    async def live(request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(request: Request) -> Response:
        return JSONResponse({"ready": service.is_ready}, 200 if service.is_ready else 503)

    async def server(request: Request) -> Response:
        return JSONResponse({"name": "inferkit", "version": __version__, "extensions": ["binary_tensor_data"]})

    async def model(request: Request) -> Response:
        _check_model(service, request)
        tensors = {
            key: [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in infos]
            for key, infos in (("inputs", service.inputs), ("outputs", service.outputs))
        }
        return JSONResponse({"name": service.name, "versions": [VERSION], "platform": service.platform, **tensors})

    async def model_ready(request: Request) -> Response:
        _check_model(service, request)
        return JSONResponse({"name": service.name, "ready": service.is_ready}, 200 if service.is_ready else 503)

    async def infer(request: Request) -> Response:
        _check_model(service, request)
        body = await _body(request, max_bytes)
        header, arrays = _read(body, request.headers.get(JSON_LENGTH))
        if header.get("id") is not None:
            _text(header["id"], "id")
        parameters = _parameters(header, ("timeout", "binary_data_output"), "the request")
        asked = [_object(entry, "outputs") for entry in _list(header.get("outputs", []), "outputs")]
        names = [_text(entry.get("name"), "an output's name") for entry in asked]
        default = _flag(parameters, "binary_data_output", False)
        chosen = {}
        for entry, name in zip(asked, names, strict=True):
            wishes = _parameters(entry, ("binary_data",), f"output {name}")
            chosen[name] = _flag(wishes, "binary_data", default)
        outputs = await service.infer(arrays, names, timeout_seconds(parameters.get("timeout")))
        as_bytes = {**dict.fromkeys(outputs, default), **chosen}
        content, headers = _written(service, header.get("id"), outputs, as_bytes)
        return Response(content, headers=headers)

    async def metrics(request: Request) -> Response:
        content, kind = service.metrics.text()
        return Response(content, media_type=kind)

    routes = [
        Route("/v2/health/live", guarded(live, is_open=True)),
        Route("/v2/health/ready", guarded(ready, is_open=True)),
        Route("/v2", guarded(server)),
        Route("/v2/", guarded(server)),
        Route("/metrics", guarded(metrics)),
    ]
    for path in ("/v2/models/{name:model}", "/v2/models/{name:model}/versions/{version}"):
        routes += [
            Route(path, guarded(model)),
            Route(f"{path}/ready", guarded(model_ready)),
            Route(f"{path}/infer", guarded(infer, is_counted=True), methods=["POST"]),
        ]
    return Starlette(routes=routes, exception_handlers={HTTPException: unknown})


def _check_model(service: Service, request: Request) -> None:
    service.check_model(request.path_params["name"], request.path_params.get("version"))


async def _body(request: Request, max_bytes: int) -> bytes:
    from starlette.requests import ClientDisconnect

    if request.headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
        raise BadRequest("compressed requests are not supported: send the body uncompressed")
    length = _size(request.headers.get("content-length", "0"))
    if length is not None and length > max_bytes:
        raise _TooLarge(f"the request has {length} bytes; the maximum is {max_bytes}")
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > max_bytes:
                raise _TooLarge(f"the request has more than {max_bytes} bytes, the maximum")
    except ClientDisconnect:  # nobody reads the answer; it is not the engine's failure
        raise BadRequest(f"the client disconnected after {len(body)} bytes of its request") from None
    return bytes(body)


def _size(header: str) -> int | None:
    """A number of bytes; None for what is no number, or one that no memory holds."""
    return int(header) if re.fullmatch("[0-9]{1,18}", header) else None


def _read(body: bytes, json_length: str | None) -> tuple[dict[str, Any], Arrays]:
    """The JSON, and the input tensors, from it or from the bytes behind it. BadRequest for what is wrong."""
    end = len(body)
    if json_length is not None:
        size = _size(json_length)
        if size is None or size > end:
            raise BadRequest(f"{JSON_LENGTH} is {json_length[:40]!r}, for a body of {end} bytes")
        end = size
    try:
        header = _object(json.loads(body[:end]), "the request")
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the request is not valid JSON: {error}") from None
    arrays: Arrays = {}
    rest = memoryview(body)[end:]
    for entry in _list(header.get("inputs"), "inputs"):
        tensor = _object(entry, "inputs")
        name = _text(tensor.get("name"), "an input's name")
        kind, shape = _text(tensor.get("datatype"), "a datatype"), _list(tensor.get("shape"), "a shape")
        if name in arrays:
            raise BadRequest(f"input {name} is given twice")
        size = _parameters(tensor, ("binary_data_size",), f"input {name}").get("binary_data_size")
        if size is None:
            arrays[name] = from_numbers(name, kind, shape, _list(tensor.get("data"), f"the data of {name}"))
            continue
        if type(size) is not int or not 0 <= size <= len(rest):
            raise BadRequest(f"input {name}: binary_data_size is {size!r}, {len(rest)} bytes are left")
        arrays[name] = from_bytes(name, kind, shape, rest[:size])
        rest = rest[size:]
    if len(rest):
        raise BadRequest(f"{len(rest)} bytes follow the last input")
    return header, arrays


def _written(
    service: Service, number: Any, outputs: Outputs, as_bytes: dict[str, bool]
) -> tuple[bytes, dict[str, str]]:
    kinds = {tensor.name: tensor.datatype for tensor in service.outputs}
    entries, behind = [], []
    for name, array in outputs.items():
        entry: dict[str, Any] = {"name": name, "datatype": kinds[name], "shape": list(array.shape)}
        if as_bytes[name]:
            behind.append(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
            entry["parameters"] = {"binary_data_size": len(behind[-1])}
        else:
            entry["data"] = array.ravel().tolist()
        entries.append(entry)
    answer = {"model_name": service.name, "model_version": VERSION, "outputs": entries}
    if isinstance(number, str):
        answer["id"] = number
    try:
        text = json.dumps(answer, allow_nan=False).encode()
    except ValueError:
        wrong = next(name for name, array in outputs.items() if not (as_bytes[name] or np.isfinite(array).all()))
        raise BackendError(
            f"output {wrong} has NaN or infinite values, which JSON cannot hold; request binary_data"
        ) from None
    if not behind:
        return text, {"Content-Type": "application/json"}
    return b"".join([text, *behind]), {"Content-Type": "application/octet-stream", JSON_LENGTH: str(len(text))}


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRequest(f"{what}: must be an object")
    return value


def _parameters(entry: dict[str, Any], supported: tuple[str, ...], where: str) -> dict[str, Any]:
    parameters = _object(entry.get("parameters", {}), "parameters")
    refuse_parameters(parameters, supported, where)
    return parameters


def _flag(parameters: dict[str, Any], name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise BadRequest(f"{name}: must be true or false, not {value!r}")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadRequest(f"{what}: must be a list")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise BadRequest(f"{what}: must be a string")
    return value
