"""One session for every power of two of the batch size, for engines that must be made ready for each batch size.

On a GPU each size has an execution context and a captured graph of its own; a session that sees another size makes them
anew, which takes longer than many batches. A service sees a new size with nearly every batch. So each size keeps its
session, all are made ready before the first request, and a batch is filled up to the next size.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.backends.base import Engine, Feeds, Session, Trace
from inferkit.backends.feeds import address_of
from inferkit.errors import BackendError
from inferkit.measure.images import stand_ins
from inferkit.serve.batching.layout import Layout


def sizes_up_to(max_batch: int, min_batch: int = 1) -> tuple[int, ...]:
    """1, 2, 4, … and `max_batch` itself, from `min_batch` on, which need be no power of two."""
    powers = [1 << power for power in range(max_batch.bit_length())]
    return tuple(sorted({min_batch, *(size for size in powers if min_batch < size < max_batch), max_batch}))


def service_session(engine: Engine, max_batch: int, **settings: Any) -> Session:
    """The session that a service runs: buckets where a change of size is dear and the engine takes several sizes."""
    first = engine.session(**settings)
    if not first.prepares_each_size or Layout(first.inputs).batch is not None or max_batch == 1:
        return first
    return Buckets(engine, max_batch, first, **settings)


class Buckets(Session):
    """Sessions of one engine, one for each size; takes any batch up to `max_batch`. Memory is that of all of them.

    `first`, an open session of this engine that has run nothing, becomes that of the smallest size that the engine
    takes; without it one is opened.
    """

    def __init__(self, engine: Engine, max_batch: int, first: Session | None = None, **settings: Any) -> None:
        self._sessions: dict[int, Session] = {}
        self._rows = 0
        self._memories: list[dict[str, NDArray[Any]]] = []
        with contextlib.ExitStack() as stack:
            for size in sizes_up_to(max_batch, engine.info.min_batch):
                session = stack.enter_context(first if first and not self._sessions else engine.session(**settings))
                session.load(stand_ins(session.inputs, size))
                session.execute()
                self._sessions[size] = session
            self._stack = stack.pop_all()
        self._current = self._first = next(iter(self._sessions.values()))
        self.inputs, self.outputs, self.device = self._first.inputs, self._first.outputs, self._first.device
        self.compiled = any(session.compiled for session in self._sessions.values())

    def load(self, images: Feeds) -> None:
        """Stage a batch in the session of the next size, filled up with copies of its last row.

        In memory of this session's own, with the rows that follow there, whatever they hold.
        """
        arrays = images if isinstance(images, Mapping) else {self.inputs[0].name: images}
        rows = min((len(array) for array in arrays.values()), default=0)
        size = next((size for size in self._sessions if size >= rows), max(self._sessions))
        if 0 < rows < size:
            memory = next((memory for memory in self._memories if _begin_alike(arrays, memory)), None)
            if memory is None:
                arrays = {name: _filled(array, size) for name, array in arrays.items()}
            else:
                arrays = {name: memory[name][:size] for name in arrays}
        self._current, self._rows = self._sessions[size], rows
        self._current.load(arrays)

    def host_memory(self, rows: int) -> dict[str, NDArray[Any]] | None:
        """Memory of the largest batch, whatever `rows` is; every size is made ready to take its batches from there."""
        memory = self._first.host_memory(max(self._sessions))
        if memory is None:
            return None
        for size, session in self._sessions.items():
            session.load({name: array[:size] for name, array in memory.items()})
            session.execute()
        self._memories.append(memory)
        return memory

    def execute(self) -> Trace:
        """Run the staged batch."""
        return self._current.execute()

    def fetch(self) -> dict[str, NDArray[Any]]:
        """The results of the rows that were given."""
        outputs = self._current.fetch()
        short = [name for name, array in outputs.items() if len(array) < self._rows]
        if short:
            raise BackendError(f"the outputs {', '.join(short)} have fewer rows than the batch of {self._rows}")
        return {name: array[: self._rows] for name, array in outputs.items()}

    def close(self) -> None:
        """Close all sessions; safe to call twice."""
        self._stack.close()

    def memory_bytes(self) -> int | None:
        """Of all sessions: what the first one to open has seen taken since, by itself and the others. None where the
        backend cannot tell."""
        return self._first.memory_bytes()


def _begin_alike(arrays: Mapping[str, NDArray[Any]], memory: Mapping[str, NDArray[Any]]) -> bool:
    """Whether the arrays are the first rows of this memory."""
    return arrays.keys() == memory.keys() and all(
        array.shape[1:] == memory[name].shape[1:]
        and array.strides == memory[name].strides
        and address_of(array) == address_of(memory[name])
        for name, array in arrays.items()
    )


def _filled(array: NDArray[Any], size: int) -> NDArray[Any]:
    return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])
