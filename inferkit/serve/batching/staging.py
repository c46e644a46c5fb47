"""How batches reach the engine: memory in which they are assembled, and a call when the engine gets busy.

What other threads are to do while the engine runs should begin when it does: Python lets one thread run at a time, and
one that is woken a moment earlier takes its turn from the thread that is about to start the engine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from inferkit.backends.base import Session
from inferkit.backends.feeds import reject_nan
from inferkit.errors import BackendError
from inferkit.serve.batching.errors import BadRequest
from inferkit.serve.batching.layout import Arrays, Layout

if TYPE_CHECKING:
    from inferkit.serve.batching.requests import RequestBatch

Run = Callable[[Arrays], Mapping[str, NDArray[Any]]]

# Bytes that are copied in about the time that a thread takes to wake: above, the sign is given before the copy, during
# which other threads can run.
_LONG_COPY = 1 << 20

# One batch is run while the next is put together.
_MEMORIES = 2


def refuse_nan(arrays: Arrays) -> None:
    """BadRequest with where the first NaN is, if there is one."""
    try:
        for name, array in arrays.items():
            reject_nan(array, name)
    except BackendError as error:
        raise BadRequest(str(error)) from None


class Staging:
    """How batches reach an engine: a Session, or a function from arrays by input name to fresh outputs by name.

    A session with memory of its own gets its batches put together there, so that nothing is copied once more while the
    engine waits. Another copies what it is given, so the memory of its batches is used again. A function may keep its
    arrays: each batch of one gets memory of its own.
    """

    def __init__(self, engine: Session | Run, layout: Layout, max_batch: int) -> None:
        self._layout = layout
        self._max_batch = max_batch
        self._run: Run = getattr(engine, "run", engine)  # type: ignore[arg-type]
        is_plain = isinstance(engine, Session) and type(engine).run is Session.run
        self._session = engine if is_plain and isinstance(engine, Session) else None
        self._spare: deque[Arrays] = deque()
        if self._session is not None:
            memories = [self._session.host_memory(layout.batch or max_batch) for _ in range(_MEMORIES)]
            self._spare.extend(memory for memory in memories if memory is not None)
        self._is_own = bool(self._spare)

    @property
    def refuses_nan(self) -> bool:
        """Whether `check` looks for NaN: in memory of the engine's own nobody looks for it later."""
        return self._is_own

    def check(self, arrays: Arrays) -> None:
        """BadRequest for a request that holds NaN, where `refuses_nan`."""
        if self.refuses_nan:
            refuse_nan(arrays)

    def stack(self, batch: RequestBatch) -> None:
        """Put the batch's arrays together, in memory that `release` gives back."""
        if self._session is not None and (self._is_own or len(batch.requests) > 1):
            try:
                batch.memory = self._spare.pop()
            except IndexError:
                batch.memory = self._layout.memory(self._max_batch)
        batch.arrays = self._layout.stack([request.arrays for request in batch.requests], batch.rows, batch.memory)

    def release(self, batch: RequestBatch) -> None:
        """The engine is done with the batch's arrays."""
        batch.arrays = None
        if batch.memory is not None:
            self._spare.append(batch.memory)
            batch.memory = None

    def run(self, arrays: Arrays, taken: Callable[[], None]) -> Mapping[str, NDArray[Any]]:
        """The outputs; `taken` is called just before the engine is busy, unless what comes before fails."""
        session = self._session
        if session is None:
            taken()
            return self._run(arrays)
        if not self._is_own and sum(array.nbytes for array in arrays.values()) > _LONG_COPY:
            taken()
            session.load(arrays)
        else:
            session.load(arrays)
            taken()
        session.last_trace = session.execute()
        return session.fetch()
