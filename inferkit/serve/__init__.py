"""The service view: dynamic batching, load scenarios, a server that speaks the Open Inference Protocol."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inferkit.serve.batcher import Batcher as Batcher
    from inferkit.serve.errors import BadRequest as BadRequest
    from inferkit.serve.errors import BatcherClosed as BatcherClosed
    from inferkit.serve.errors import DeadlineExceeded as DeadlineExceeded
    from inferkit.serve.errors import QueueFull as QueueFull
    from inferkit.serve.errors import RequestError as RequestError
    from inferkit.serve.requests import BatchRecord as BatchRecord

_WHERE = {
    "Batcher": "inferkit.serve.batcher",
    "BatchRecord": "inferkit.serve.requests",
    "BadRequest": "inferkit.serve.errors",
    "BatcherClosed": "inferkit.serve.errors",
    "DeadlineExceeded": "inferkit.serve.errors",
    "QueueFull": "inferkit.serve.errors",
    "RequestError": "inferkit.serve.errors",
}

__all__ = [
    "BadRequest",
    "BatchRecord",
    "Batcher",
    "BatcherClosed",
    "DeadlineExceeded",
    "QueueFull",
    "RequestError",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'inferkit.serve' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
