"""Dynamic batching: requests of many clients are collected for a short time, run as one batch, answered one by one.

Two threads share the work. The *runner* makes every call into the engine: it waits until the batch is full or the
oldest request has waited its bound, runs it, and takes the next. The *helper* answers a batch and stacks the next full
one while the engine is busy, so that a saturated engine does not wait for Python. Without load the runner answers by
itself, which saves a change of threads. A loaded runner wakes the helper once the engine has its next batch: a moment
earlier, both would want Python. A batch that is not full is formed only when the engine is free: until then
it can grow.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import BackendError, UsageError
from inferkit.serve.batching.errors import BatcherClosed, DeadlineExceeded, QueueFull
from inferkit.serve.batching.layout import Arrays, Layout
from inferkit.serve.batching.requests import BatchRecord, Outputs, Request, RequestBatch
from inferkit.serve.batching.staging import Run, Staging

if TYPE_CHECKING:
    from inferkit.backends.base import Feeds, Session
    from inferkit.network.network import TensorInfo

# A sleeping thread wakes late: by Linux's timer slack (50 us) and about as much again until Python runs. The delay is a
# bound, so the runner sets its clock this much early.
_WAKES_LATE = 100e-6


class Batcher:
    """Runs requests of many threads and asyncio tasks in batches. Use as a context manager, or call `close`.

    `run` is an open Session (which stays the caller's to close) or a function from a batch (arrays by input name) to
    fresh outputs by name; for a function `inputs` describes a request. UsageError where the rows of a session's outputs
    are not known to be those of its inputs. `delay`: the longest time in seconds that a request waits for others while
    the engine is free. `queue_limit`: the maximum queue length in rows. `observer` is called with a BatchRecord after
    each batch is answered, on the batcher's threads.

    Answers come in the order of submission. A batch that fails is run again request by request, so that only those
    requests fail that fail alone. All calls of `run` come from one thread.
    """

    def __init__(
        self,
        run: Session | Run,
        max_batch: int,
        *,
        inputs: Sequence[TensorInfo] | None = None,
        delay: float = 0.002,
        queue_limit: int = 1024,
        observer: Callable[[BatchRecord], None] | None = None,
    ) -> None:
        if (given := getattr(run, "inputs", None) if inputs is None else inputs) is None:
            raise UsageError("a function needs `inputs`: the names, types and shapes of a request")
        self._layout = Layout(given, getattr(run, "outputs", ()))
        if max_batch < 1 or delay < 0 or queue_limit < max_batch:
            raise UsageError(
                f"max_batch {max_batch}, delay {delay:g} s, queue_limit {queue_limit}: max_batch must be at least 1, "
                "delay at least 0, and queue_limit at least max_batch"
            )
        if self._layout.batch is not None and max_batch > self._layout.batch:
            raise UsageError(f"the network takes batches of {self._layout.batch} only; max_batch is {max_batch}")
        self.max_batch, self.delay, self.queue_limit = max_batch, delay, queue_limit
        self._engine = Staging(run, self._layout, max_batch)
        self.refuses_nan = self._engine.refuses_nan  # whether `submit` looks for NaN
        self._observer = observer
        self._lock = threading.Lock()
        self._for_runner = threading.Condition(self._lock)
        self._for_helper = threading.Condition(self._lock)
        self._queue: deque[Request] = deque()
        self._rows = 0  # in the queue
        self._dated = 0  # how many of them have a deadline
        self._due = float("inf")  # when the first of the queue must go
        self._late: list[Request] = []  # to be failed once the lock is released: callbacks may submit
        self._staged: RequestBatch | None = None
        self._staging = self._busy = self._answering = False
        self._owed = False  # the helper has something to do and was not notified yet
        self._done: deque[RequestBatch] = deque()
        self._closed = self._ended = False
        self._threads = [
            threading.Thread(target=self._runner, name="inferkit-batch-runner", daemon=True),
            threading.Thread(target=self._helper, name="inferkit-batch-helper", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    # -- clients -------------------------------------------------------------------------------------------------

    def submit(self, inputs: Feeds, *, deadline: float | None = None) -> Future[Outputs]:
        """Queue one request: an array [N, …] or a dict of arrays by input name, 1 <= N <= max_batch.

        The future gives the outputs by name, each with N rows, arrays of the caller's own. The inputs must not change
        until then. `deadline`, seconds from now: a request whose turn has not come by then fails with
        DeadlineExceeded; it waits for others at most half of that time. `cancel` works until the request is taken.
        Done-callbacks run on the batcher's threads and must be quick.

        Raises BadRequest for a wrong name, type, shape or number of rows, and for NaN where the engine has memory of
        its own for batches (elsewhere such a request fails later); QueueFull where queue_limit rows wait, BatcherClosed
        after `close`.
        """
        arrays, rows, signature = self._layout.check(inputs, self.max_batch)
        self._engine.check(arrays)
        if deadline is not None and not deadline > 0:
            raise DeadlineExceeded(f"the deadline is {deadline:g} s from now: it has passed")
        wait = self.delay if deadline is None else min(self.delay, deadline / 2)
        request = Request(arrays, rows, signature, deadline)
        with self._lock:
            if self._closed:
                raise BatcherClosed("the service is shutting down and takes no more requests")
            if self._rows + rows > self.queue_limit:
                self._purge()
            waiting = self._rows
            is_full = waiting + rows > self.queue_limit
            if not is_full:
                self._append(request, wait)
        if self._late:
            self._settle_late()
        if is_full:
            raise QueueFull(f"{waiting} rows wait, the maximum queue length is {self.queue_limit}; try again later")
        return request.future

    async def asubmit(self, inputs: Feeds, *, deadline: float | None = None) -> Outputs:
        """`submit` for asyncio: the outputs, once they are there. Cancelling the task cancels the request."""
        return await asyncio.wrap_future(self.submit(inputs, deadline=deadline))

    @property
    def waiting(self) -> int:
        """Rows that wait in the queue."""
        return self._rows

    def close(self, *, drain: bool = True, timeout: float | None = None) -> bool:
        """Take no more requests; run those that wait (`drain`) or fail them with BatcherClosed; then end the threads.

        Safe to call twice. False where the engine did not finish within `timeout` seconds.
        """
        dropped: list[Request] = []
        with self._lock:
            self._closed = True
            if not drain:
                dropped.extend(self._queue)
                self._queue.clear()
                self._rows = self._dated = 0
            self._for_runner.notify_all()
            self._for_helper.notify_all()
        for request in dropped:
            request.fail(BatcherClosed("the service was shut down before this request was run"))
        until = None if timeout is None else time.monotonic() + timeout
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(None if until is None else max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads if thread is not threading.current_thread())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the two threads -----------------------------------------------------------------------------------------

    def _runner(self) -> None:
        while (batch := self._next()) is not None:
            self._execute(batch)
            with self._lock:
                self._busy = False
                is_loaded = self._staged is not None or self._staging or self._rows >= self.max_batch
                is_own = not (self._done or self._answering or is_loaded)
                if not is_own:
                    self._done.append(batch)
                    self._owed = True
            if is_own:
                self._answer(batch)
            del batch  # or the last batch would live until the next one
        with self._lock:
            self._ended = True
            self._for_helper.notify()

    def _next(self) -> RequestBatch | None:
        """Wait for the next batch and take it; None when the batcher is closed and has run everything."""
        batch: RequestBatch | None = None
        is_over = False
        while batch is None and not is_over:
            with self._lock:
                left = self._due - _WAKES_LATE - time.monotonic()
                if self._staging:
                    self._wait()
                elif self._staged is not None:
                    batch, self._staged = self._staged, None
                elif not self._queue:
                    is_over = self._closed
                    if not is_over:
                        self._wait()
                elif self._closed or self._rows >= self.max_batch or left <= 0:
                    requests = self._take()
                    batch = RequestBatch(requests) if requests else None
                else:
                    self._wait(left)
                self._busy = batch is not None
                if self._busy and self._rows >= self.max_batch:
                    self._owed = True
            self._settle_late()
        return batch

    def _wait(self, seconds: float | None = None) -> None:
        self._notify_helper()
        self._for_runner.wait(seconds)

    def _notify_helper(self) -> None:
        if self._owed:
            self._owed = False
            self._for_helper.notify()

    def _engine_taken(self) -> None:
        if self._owed:  # nobody but the runner changes it
            with self._lock:
                self._notify_helper()

    def _helper(self) -> None:
        while True:
            done: RequestBatch | None = None
            requests: list[Request] = []
            with self._lock:
                if self._done:
                    done = self._done.popleft()
                elif self._busy and self._staged is None and self._rows >= self.max_batch:
                    requests = self._take()
                elif self._ended:
                    return
                else:
                    self._for_helper.wait()
                self._answering, self._staging = done is not None, bool(requests)
            self._settle_late()
            if done is not None:
                self._answer(done)
                with self._lock:
                    self._answering = False
            elif requests:
                batch = RequestBatch(requests)
                self._stack(batch)
                with self._lock:
                    self._staging, self._staged = False, batch
                    self._for_runner.notify()
                del batch

    # -- the steps -----------------------------------------------------------------------------------------------

    def _append(self, request: Request, wait: float) -> None:
        """Queue the request and wake whoever has to know; under the lock."""
        now = time.monotonic()
        request.arrived, request.due = now, now + wait
        if request.deadline is not None:
            request.deadline += now
            self._dated += 1
        self._queue.append(request)
        self._rows += request.rows
        is_earlier = request.due < self._due
        if is_earlier:
            self._due = request.due
        if not self._busy:
            if is_earlier or self._rows >= self.max_batch:
                self._for_runner.notify()
        elif self._rows >= self.max_batch and self._staged is None and not self._staging:
            self._for_helper.notify()

    def _take(self) -> list[Request]:
        """The requests of the next batch, off the queue, oldest first, no cancelled or late ones; under the lock."""
        now = time.monotonic()
        taken: list[Request] = []
        rows = 0
        while self._queue and rows < self.max_batch:
            request = self._queue[0]
            if taken and (rows + request.rows > self.max_batch or request.signature != taken[0].signature):
                break
            self._queue.popleft()
            if self._leaves(request, now):
                taken.append(request)
                rows += request.rows
        self._find_due()
        return taken

    def _leaves(self, request: Request, now: float) -> bool:
        """Book a request out of the queue; whether it is to be run, neither cancelled nor late."""
        self._rows -= request.rows
        self._dated -= request.deadline is not None
        if not request.future.set_running_or_notify_cancel():
            return False
        if request.deadline is not None and now >= request.deadline:
            self._late.append(request)
            return False
        return True

    def _purge(self) -> None:
        """Make room: drop requests that were cancelled or are late; under the lock."""
        now = time.monotonic()
        gone = [r for r in self._queue if r.future.cancelled() or (r.deadline is not None and now >= r.deadline)]
        if gone:
            dropped = set(gone)
            self._queue = deque(request for request in self._queue if request not in dropped)
            for request in gone:
                self._leaves(request, now)
            self._find_due()

    def _find_due(self) -> None:
        if not self._queue:
            self._due = float("inf")
        elif not self._dated:
            self._due = self._queue[0].due
        else:
            self._due = min(request.due for request in self._queue)

    def _settle_late(self) -> None:
        """Fail the requests whose deadline has passed; without the lock, since their callbacks may submit."""
        while self._late:
            try:
                request = self._late.pop()
            except IndexError:  # another thread was quicker
                return
            waited = (time.monotonic() - request.arrived) * 1e3
            late = DeadlineExceeded(f"the deadline passed: the request waited {waited:.1f} ms")
            with contextlib.suppress(InvalidStateError):  # a client settled its future by itself
                request.future.set_exception(late)

    def _stack(self, batch: RequestBatch) -> None:
        try:
            self._engine.stack(batch)
        except Exception as error:  # no memory for the batch: its requests fail, the service goes on
            batch.outcomes = [error]

    def _execute(self, batch: RequestBatch) -> None:
        if batch.arrays is None and not batch.outcomes:
            self._stack(batch)
        batch.began = time.monotonic()
        if batch.arrays is not None:
            batch.outcomes = [self._attempt(batch.arrays, batch.rows)]
            if len(batch.requests) > 1 and isinstance(batch.outcomes[0], BaseException):
                batch.outcomes = [self._alone(request) for request in batch.requests]
        batch.seconds = time.monotonic() - batch.began
        self._engine.release(batch)
        self._engine_taken()  # where it was not: the batch could not be staged

    def _alone(self, request: Request) -> Mapping[str, NDArray[Any]] | BaseException:
        try:
            return self._attempt(self._layout.stack([request.arrays], request.rows), request.rows)
        except Exception as error:
            return error

    def _attempt(self, arrays: Arrays, rows: int) -> Mapping[str, NDArray[Any]] | BaseException:
        """The outputs, each with as many rows as the batch, or what went wrong."""
        try:
            outputs = self._engine.run(arrays, self._engine_taken)
            expected = self._layout.batch or rows
            for name, array in outputs.items():
                if array.ndim == 0 or len(array) != expected:
                    raise BackendError(f"output {name} has the shape {list(array.shape)} for a batch of {expected}")
            return outputs
        except BaseException as error:
            # The thread must live to answer the others; and SystemExit would end, StopIteration hang, a client's loop.
            if isinstance(error, Exception) and not isinstance(error, StopIteration):
                return error
            return BackendError(f"the engine raised {type(error).__name__}: {error}")

    def _answer(self, batch: RequestBatch) -> None:
        failed = start = 0
        is_shared = len(batch.outcomes) == 1
        for index, request in enumerate(batch.requests):
            outcome = batch.outcomes[0 if is_shared else index]
            first = start if is_shared else 0
            start += request.rows
            try:
                if isinstance(outcome, BaseException):
                    failed += 1
                    request.future.set_exception(outcome)
                else:
                    # Copies: a slice would keep the whole batch in memory for as long as one client keeps its row.
                    rows = slice(first, first + request.rows)
                    request.future.set_result({name: np.array(array[rows]) for name, array in outcome.items()})
            except InvalidStateError:  # a client settled its future by itself
                continue
            except Exception as error:  # no memory for the copy
                request.future.set_exception(error)
        if self._observer is not None:
            waits = tuple(batch.began - request.arrived for request in batch.requests)
            try:
                self._observer(BatchRecord(batch.rows, waits, batch.seconds, failed))
            except Exception:
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
