"""One model as a service, whatever the protocol: metadata, the token, one inference, and how its end is counted."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inferkit.errors import UsageError
from inferkit.precision.input_range import unlike_calibration
from inferkit.serve.batching.batcher import Batcher
from inferkit.serve.batching.errors import BadRequest, BatcherClosed, DeadlineExceeded, QueueFull
from inferkit.serve.batching.staging import refuse_nan
from inferkit.serve.protocol.metrics import Metrics
from inferkit.serve.protocol.tensors import datatype

if TYPE_CHECKING:
    from inferkit.backends.base import Session
    from inferkit.network.network import TensorInfo
    from inferkit.serve.batching.layout import Arrays
    from inferkit.serve.batching.requests import Outputs

VERSION = "1"
# In the protocol's addresses a name ends where one of these begins; slashes before that are part of it.
MODEL_NAME = "(?:(?!/(?:versions/|ready$|infer$)).)+"
_LOG = logging.getLogger("inferkit.serve")
_SEEN = 20  # requests of which none reaches a tenth of the calibrated range
LONGEST_WAIT = 86_400  # seconds; whoever would wait longer has no deadline


class Unauthorized(BadRequest):
    """The request has no token, or a wrong one."""


class UnknownModel(BadRequest):
    """The request names a model, or a version of it, that this server does not have."""


@dataclass(frozen=True)
class TensorMetadata:
    """Name, the protocol's datatype and shape (-1 is free) of an input or output."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class Service:
    """Runs requests on a session through a batcher of its own; `close` drains it. The session stays the caller's.

    `calibrated` is the largest magnitude of each input that a quantized network was calibrated for: requests that do
    not fit it are logged, once.
    """

    def __init__(
        self,
        name: str,
        session: Session,
        max_batch: int,
        *,
        platform: str = "inferkit",
        delay: float = 0.002,
        queue_limit: int = 1024,
        token: str | None = None,
        calibrated: Mapping[str, float] | None = None,
    ) -> None:
        check_name(name)
        self.name, self.platform = name, platform
        self.inputs, self.outputs = _tensors(session.inputs), _tensors(session.outputs)
        self._token = token
        self._range = _Range(name, calibrated or {})
        self.metrics = Metrics(max_batch, lambda: self.batcher.waiting)
        self.is_ready = True
        self.batcher = Batcher(
            session, max_batch, delay=delay, queue_limit=queue_limit, observer=lambda record: self.metrics.batch(record)
        )

    def close(self) -> None:
        """Take no more requests, answer those that wait."""
        self.is_ready = False
        self.batcher.close()

    def is_allowed(self, authorization: str | None) -> bool:
        """Whether a request with this Authorization header may be served."""
        if self._token is None:
            return True
        given = (authorization or "").encode("utf-8", "surrogateescape")
        return hmac.compare_digest(given, f"Bearer {self._token}".encode())

    def check_token(self, authorization: str | None) -> None:
        """Raise Unauthorized unless `is_allowed`."""
        if not self.is_allowed(authorization):
            raise Unauthorized("the token is missing or wrong")

    def check_model(self, name: str, version: str | None) -> None:
        """Raise UnknownModel unless this is the model, and its version where one is asked for."""
        if name != self.name or version not in (None, "", VERSION):
            asked = f"{name}, version {version}" if version else name
            raise UnknownModel(f"unknown model {asked}; this server has {self.name}, version {VERSION}")

    async def infer(self, inputs: Arrays, wanted: Sequence[str], deadline: float | None = None) -> Outputs:
        """The outputs that are `wanted` (all where none is named). Raises the batcher's errors and BadRequest."""
        names = [tensor.name for tensor in self.outputs]
        for name in wanted:
            if name not in names:
                raise BadRequest(f"the network has no output {name}; it has {', '.join(names)}")
            if wanted.count(name) > 1:
                raise BadRequest(f"output {name} is asked for twice")
        if not self.batcher.refuses_nan:  # else the engine would refuse the whole batch
            refuse_nan(inputs)
        self._range.see(inputs)
        outputs = await self.batcher.asubmit(inputs, deadline=deadline)
        return {name: outputs[name] for name in wanted or names}

    @contextmanager
    def counted(self, protocol: str) -> Iterator[None]:
        """Around all that is done for one inference request: counts it by how it ends."""
        began = time.monotonic()
        outcome = "failed"
        try:
            yield
            outcome = "answered"
        except BadRequest:
            outcome = "refused"
            raise
        except (QueueFull, BatcherClosed):
            outcome = "rejected"
            raise
        except DeadlineExceeded:
            outcome = "late"
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            self.metrics.request(protocol, outcome, time.monotonic() - began)


class _Range:
    """Compares what is sent with the calibration, until it has warned. One dark image says nothing: several do."""

    def __init__(self, model: str, calibrated: Mapping[str, float]) -> None:
        self._model = model
        self._calibrated = dict(calibrated)
        self._largest: dict[str, float] = {}
        self._requests = 0

    def see(self, inputs: Arrays) -> None:
        """Take a request into account; it may be of any numbers."""
        if not self._calibrated:
            return
        self._requests += 1
        for name, array in inputs.items():
            if name in self._calibrated and array.size:
                seen = float(np.abs(array.astype(np.float32)).max())
                self._largest[name] = max(self._largest.get(name, 0.0), seen)
        reached = {name: np.array([seen], np.float32) for name, seen in self._largest.items()}
        warning = unlike_calibration(self._calibrated, reached, "the model")
        above = any(seen > self._calibrated[name] for name, seen in self._largest.items())
        if warning and (above or self._requests >= _SEEN):
            _LOG.warning("%s: in %d requests %s", self._model, self._requests, warning)
            self._calibrated = {}


def _tensors(infos: Sequence[TensorInfo]) -> tuple[TensorMetadata, ...]:
    return tuple(
        TensorMetadata(info.name, datatype(info.dtype), (-1, *(-1 if dim is None else dim for dim in info.shape[1:])))
        for info in infos
    )


def check_name(name: str) -> None:
    """UsageError for the name of a model under which a client could not reach it."""
    dotted = {".", "..", ""} & set(name.split("/"))  # clients and proxies resolve these
    if dotted or not name.isprintable() or not re.fullmatch(MODEL_NAME, name) or f"{name}/".endswith("/versions/"):
        raise UsageError(
            f"no address of the protocol leads to a model named {name!r}: choose a --name of printable characters "
            "without empty or dotted parts, /versions/, and /ready or /infer at its end"
        )


def timeout_seconds(value: Any) -> float | None:
    """The protocol's `timeout` parameter, in microseconds, as seconds; None where there is none, or a day or more.

    BadRequest for what is no such number.
    """
    if value is None or value == 0:
        return None
    if type(value) is not int or value < 0:
        raise BadRequest(f"timeout must be a number of microseconds, not {value!r}")
    return value / 1e6 if value < LONGEST_WAIT * 1_000_000 else None


def refuse_parameters(parameters: Mapping[str, Any], supported: Collection[str], where: str) -> None:
    """BadRequest for a parameter that is not `supported`: what it asks for would not be done.

    One that is off (0, false, empty) asks for nothing, and some clients send it always.
    """
    for name, value in parameters.items():
        if value and name not in supported:
            has = f"supported: {', '.join(supported)}" if supported else "there are none"
            raise BadRequest(f"{where}: the parameter {name!r} is not supported; {has}")
