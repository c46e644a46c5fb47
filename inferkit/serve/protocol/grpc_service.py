"""The Open Inference Protocol (KServe v2) over gRPC."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from inferkit.errors import InferkitError
from inferkit.serve.batching.errors import BadRequest, BatcherClosed, DeadlineExceeded, QueueFull
from inferkit.serve.protocol.messages import SERVICE, messages
from inferkit.serve.protocol.service import (
    LONGEST_WAIT,
    VERSION,
    Unauthorized,
    UnknownModel,
    refuse_parameters,
    timeout_seconds,
)
from inferkit.serve.protocol.tensors import from_bytes, from_numbers
from inferkit.version import __version__

if TYPE_CHECKING:
    from inferkit.serve.batching.layout import Arrays
    from inferkit.serve.protocol.service import Service

_CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}
_OPEN = ("ServerLive", "ServerReady")
# What the message is beside its tensors; the limit is on the tensors and this together.
_ENVELOPE = 1 << 16


def start_server(service: Service, address: str, max_bytes: int) -> tuple[Any, int]:
    """A grpc.aio server for `address` ("127.0.0.1:0"), not yet started, and its port. To be called in its event loop.

    gRPC refuses messages of more than `max_bytes` with RESOURCE_EXHAUSTED.
    """
    import grpc

    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", max_bytes + _ENVELOPE),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ]
    )
    answers = _Answers(service)
    handlers = {}
    for method in ("ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelInfer"):
        handlers[method] = grpc.unary_unary_rpc_method_handler(
            _guarded(service, method, getattr(answers, method)),
            request_deserializer=messages()[f"{method}Request"].FromString,
            response_serializer=messages()[f"{method}Response"].SerializeToString,
        )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    return server, server.add_insecure_port(address)


def _guarded(service: Service, method: str, answer: Callable[[Any, Any], Awaitable[Any]]) -> Any:
    import grpc

    codes = (
        (Unauthorized, grpc.StatusCode.UNAUTHENTICATED),
        (UnknownModel, grpc.StatusCode.NOT_FOUND),
        (BadRequest, grpc.StatusCode.INVALID_ARGUMENT),
        (QueueFull, grpc.StatusCode.UNAVAILABLE),
        (BatcherClosed, grpc.StatusCode.UNAVAILABLE),
        (DeadlineExceeded, grpc.StatusCode.DEADLINE_EXCEEDED),
    )

    async def handle(request: Any, context: Any) -> Any:
        try:
            with service.counted("grpc") if method == "ModelInfer" else nullcontext():
                if method not in _OPEN:
                    metadata = {key: text for key, text in context.invocation_metadata() or () if isinstance(text, str)}
                    service.check_token(metadata.get("authorization"))
                return await answer(request, context)
        except InferkitError as error:
            failure, text = error, str(error)
            code = next((code for kind, code in codes if isinstance(failure, kind)), grpc.StatusCode.INTERNAL)
        except Exception as error:  # the engine's own: the message is the client's, the traceback is not
            code, text = grpc.StatusCode.INTERNAL, f"inference failed: {type(error).__name__}: {error}"
        return await context.abort(code, text)

    return handle


class _Answers:
    """One method for each of the protocol's, under its name there."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._messages = messages()

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._messages["ServerLiveResponse"](live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._messages["ServerReadyResponse"](ready=self._service.is_ready)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._messages["ServerMetadataResponse"](name="inferkit", version=__version__)

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._service.check_model(request.name, request.version)
        return self._messages["ModelReadyResponse"](ready=self._service.is_ready)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        service = self._service
        service.check_model(request.name, request.version)
        answer = self._messages["ModelMetadataResponse"](
            name=service.name, versions=[VERSION], platform=service.platform
        )
        for entries, tensors in ((answer.inputs, service.inputs), (answer.outputs, service.outputs)):
            for tensor in tensors:
                entries.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        return answer

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        service = self._service
        service.check_model(request.model_name, request.model_version)
        _refuse_parameters(request, ("timeout",), "the request")
        for kind, tensors in (("input", request.inputs), ("output", request.outputs)):
            for tensor in tensors:
                _refuse_parameters(tensor, (), f"{kind} {tensor.name}")
        arrays = _arrays(request)
        limits = [context.time_remaining()]
        if "timeout" in request.parameters:
            limits.append(timeout_seconds(_value(request.parameters["timeout"])))
        # A client without a deadline has one far beyond any wait, or None.
        deadline = min((limit for limit in limits if limit is not None and limit < LONGEST_WAIT), default=None)
        outputs = await service.infer(arrays, [output.name for output in request.outputs], deadline)
        kinds = {tensor.name: tensor.datatype for tensor in service.outputs}
        answer = self._messages["ModelInferResponse"](model_name=service.name, model_version=VERSION, id=request.id)
        for name, array in outputs.items():
            answer.outputs.add(name=name, datatype=kinds[name], shape=array.shape)
            answer.raw_output_contents.append(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        return answer


def _refuse_parameters(message: Any, supported: tuple[str, ...], where: str) -> None:
    refuse_parameters({name: _value(entry) for name, entry in message.parameters.items()}, supported, where)


def _value(parameter: Any) -> Any:
    """The parameter's value, of whatever type it was given; None where it has none."""
    kind = parameter.WhichOneof("parameter_choice")
    return None if kind is None else getattr(parameter, kind)


def _arrays(request: Any) -> Arrays:
    """The input tensors, from raw bytes or from numbers; the protocol forbids a mixture. BadRequest."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise BadRequest(f"the request has {len(raw)} raw contents for {len(request.inputs)} inputs")
    arrays: Arrays = {}
    for index, tensor in enumerate(request.inputs):
        if tensor.name in arrays:
            raise BadRequest(f"input {tensor.name} is given twice")
        shape = list(tensor.shape)
        if raw and tensor.contents.ByteSize():
            raise BadRequest(f"input {tensor.name} has raw and typed contents; send one of them")
        if raw:
            arrays[tensor.name] = from_bytes(tensor.name, tensor.datatype, shape, raw[index])
        elif tensor.datatype not in _CONTENTS:
            raise BadRequest(f"input {tensor.name}: {tensor.datatype or 'no datatype'} needs raw contents")
        elif others := [f.name for f, _ in tensor.contents.ListFields() if f.name != _CONTENTS[tensor.datatype]]:
            raise BadRequest(f"input {tensor.name}: {tensor.datatype} has no {' and no '.join(others)}")
        else:
            numbers = getattr(tensor.contents, _CONTENTS[tensor.datatype])
            arrays[tensor.name] = from_numbers(tensor.name, tensor.datatype, shape, list(numbers))
    return arrays
