"""Why a request got no answer: each reason is an error of its own, so that a server can say it in its protocol."""

from __future__ import annotations

from inferkit.errors import InferkitError


class RequestError(InferkitError):
    """Base: this request got no answer. Others are not concerned."""


class BadRequest(RequestError):
    """The request does not fit the engine: a wrong name, type, shape or number of images."""


class QueueFull(RequestError):
    """As many images wait as may wait: try again later, or elsewhere."""


class DeadlineExceeded(RequestError):
    """The request's deadline passed before its turn came; it was not run."""


class BatcherClosed(RequestError):
    """The batcher takes no more requests, or was closed without running those that waited."""
