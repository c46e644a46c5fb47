"""The service view: dynamic batching, load scenarios, a server that speaks the Open Inference Protocol."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inferkit.serve.batching.batcher import Batcher as Batcher
    from inferkit.serve.batching.errors import BadRequest as BadRequest
    from inferkit.serve.batching.errors import BatcherClosed as BatcherClosed
    from inferkit.serve.batching.errors import DeadlineExceeded as DeadlineExceeded
    from inferkit.serve.batching.errors import QueueFull as QueueFull
    from inferkit.serve.batching.errors import RequestError as RequestError
    from inferkit.serve.batching.requests import BatchRecord as BatchRecord

_WHERE = {
    "Batcher": "inferkit.serve.batching.batcher",
    "BatchRecord": "inferkit.serve.batching.requests",
    "BadRequest": "inferkit.serve.batching.errors",
    "BatcherClosed": "inferkit.serve.batching.errors",
    "DeadlineExceeded": "inferkit.serve.batching.errors",
    "QueueFull": "inferkit.serve.batching.errors",
    "RequestError": "inferkit.serve.batching.errors",
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
