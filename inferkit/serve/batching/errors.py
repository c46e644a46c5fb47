"""Errors of requests: one class for each reason, which a server maps to its protocol's codes."""

from __future__ import annotations

from inferkit.errors import InferkitError


class RequestError(InferkitError):
    """Base: this request got no answer. Others are not concerned."""


class BadRequest(RequestError):
    """The request does not fit the engine: a wrong name, type, shape or number of rows."""


class QueueFull(RequestError):
    """The queue has its maximum length: try again later, or elsewhere."""


class DeadlineExceeded(RequestError):
    """The request's deadline passed before its turn came; it was not run."""


class BatcherClosed(RequestError):
    """The batcher takes no more requests, or was closed without running those that waited."""
