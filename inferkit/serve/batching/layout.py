"""The layout of requests: names, types and shapes of an engine's inputs, and batches made of such requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import UsageError
from inferkit.serve.batching.errors import BadRequest

if TYPE_CHECKING:
    from inferkit.backends.base import Feeds
    from inferkit.network.network import TensorInfo

Arrays = dict[str, NDArray[Any]]
# The dimensions after the batch, input by input; requests go into one batch only where these are equal.
Signature = tuple[tuple[int, ...], ...]


_HINT = "run it in a session, batch by batch"


def _check_inputs(inputs: Sequence[TensorInfo]) -> None:
    """UsageError with the reason where requests cannot be put together into one batch, along axis 0 of every input."""
    if not inputs:
        raise UsageError(f"batching needs an input; {_HINT}")
    for info in inputs:
        if info.batch_axis is None:
            raise UsageError(
                f"input {info.name!r} {info.text} has no axis that is known to be the batch, so it cannot be batched; "
                f"declare it (--batch-axis, `batch_axis` in the matrix), or {_HINT}"
            )
        if info.batch_axis:
            raise UsageError(
                f"input {info.name!r} {info.text} has its batch on axis {info.batch_axis}, but requests are put "
                f"together along axis 0; {_HINT}"
            )
    names = {info.axis_name(0): info.name for info in inputs if info.batch is None and info.axis_name(0)}
    if len(names) > 1:
        shown = ", ".join(f"{name!r} [{axis}, …]" for axis, name in names.items())
        raise UsageError(
            f"batching needs one batch for all inputs, but the model names it differently: {shown}; declare it "
            f"(--batch-axis, `batch_axis` in the matrix), or {_HINT}"
        )
    fixed = {info.batch for info in inputs}
    if len(fixed) != 1:
        raise UsageError(
            f"batching needs one batch size for all inputs; they have {', '.join(sorted(map(str, fixed)))}; {_HINT}"
        )


def _check_outputs(inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> None:
    """UsageError with the reason where the outputs of a batch cannot be cut into those of its requests."""
    batch = inputs[0].batch
    wanted = (inputs[0].axis_name(0) or "N") if batch is None else batch
    hint = _HINT
    for info in outputs:
        if not info.shape:
            raise UsageError(f"output {info.name!r} is one number for the whole batch, so it cannot be batched; {hint}")
        rows = info.shape[0]
        if info.batch_axis:
            reason = f"{info.text} has its batch on axis {info.batch_axis}"
        elif rows is not None and rows != batch:
            reason = f"has {rows} rows for a batch of {wanted}"
        elif info.batch_axis is None or rows != batch:
            reason = f"has {info.axis_name(0) or 'an unknown number of'} rows, which are not known to be the batch's"
            hint = f"{hint}, or name its first dimension {wanted!r} in the file if it is the batch"
        else:
            continue
        raise UsageError(f"output {info.name!r} {reason}, so a batch of requests cannot be cut into theirs; {hint}")


class Layout:
    """The inputs of an engine whose first axis is the batch; `batch` is set where that axis is fixed in the graph.

    UsageError where it is not, and where the rows of `outputs` are not known to be those of the inputs.
    """

    def __init__(self, inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo] = ()) -> None:
        _check_inputs(inputs)
        _check_outputs(inputs, outputs)
        self.batch: int | None = inputs[0].batch
        self.names = tuple(info.name for info in inputs)
        self._name_set = frozenset(self.names)
        self._expected = [(info.name, np.dtype(info.dtype), info.shape[1:], None in info.shape[1:]) for info in inputs]

    def check(self, inputs: Feeds, max_batch: int) -> tuple[Arrays, int, Signature]:
        """The request's arrays by name, its number of rows, and its signature. Raises BadRequest for what is wrong."""
        if len(self._expected) == 1:  # nearly all requests, in a third of the time
            name, dtype, tail, _ = self._expected[0]
            array = inputs.get(name) if type(inputs) is dict and len(inputs) == 1 else inputs
            if type(array) is np.ndarray and array.dtype == dtype and array.ndim and array.shape[1:] == tail:
                rows = len(array)
                if 1 <= rows <= max_batch:
                    return {name: array}, rows, ()
        if isinstance(inputs, np.ndarray):
            if len(self.names) != 1:
                raise BadRequest(f"the network has the inputs {', '.join(self.names)}: give a dict of arrays by name")
            inputs = {self.names[0]: inputs}
        if not isinstance(inputs, Mapping) or inputs.keys() != self._name_set:
            given = ", ".join(map(str, inputs)) if isinstance(inputs, Mapping) else type(inputs).__name__
            raise BadRequest(f"the network has the inputs {', '.join(self.names)}; the request has {given or 'none'}")
        arrays: Arrays = {}
        rows = -1
        signature = []
        for name, dtype, tail, is_free in self._expected:
            array = inputs[name]
            if not isinstance(array, np.ndarray) or array.dtype != dtype:
                kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
                raise BadRequest(f"input {name} is of type {dtype}; the request's is {kind}")
            shape = array.shape
            if shape[1:] != tail and not (
                len(shape) == len(tail) + 1
                and all(want is None or want == has for want, has in zip(tail, shape[1:], strict=True))
            ):
                wanted = ", ".join("any" if dim is None else str(dim) for dim in tail)
                raise BadRequest(f"input {name} has the shape [N, {wanted}]; the request's is {list(shape)}")
            if rows not in (-1, shape[0]):
                raise BadRequest(f"input {name} has {shape[0]} rows, another input {rows}")
            rows = shape[0]
            if is_free:
                signature.append(shape[1:])
            arrays[name] = array
        if not 1 <= rows <= max_batch:
            raise BadRequest(f"the request has {rows} rows; it may have 1 to {max_batch}")
        return arrays, rows, tuple(signature)

    def memory(self, max_batch: int) -> Arrays | None:
        """Uninitialized arrays for the largest batch; None where the sizes of an input are not known."""
        rows = self.batch or max_batch
        arrays: Arrays = {}
        for name, dtype, tail, _ in self._expected:
            dims = [dim for dim in tail if dim is not None]
            if len(dims) < len(tail):
                return None
            arrays[name] = np.empty((rows, *dims), dtype)
        return arrays

    def stack(self, requests: Sequence[Arrays], rows: int, memory: Arrays | None = None) -> Arrays:
        """One batch of all requests' rows; where the graph's batch is fixed, filled up with copies of the last row.

        In the first rows of `memory` where that is given; otherwise a single request that fills the batch is given as
        it is.
        """
        missing = 0 if self.batch is None else self.batch - rows
        if len(requests) == 1 and not missing and memory is None:
            return requests[0]
        batch = {}
        for name in self.names:
            parts = [arrays[name] for arrays in requests]
            if missing:
                parts.append(np.repeat(parts[-1][-1:], missing, axis=0))
            batch[name] = np.concatenate(parts, out=None if memory is None else memory[name][: rows + missing])
        return batch
