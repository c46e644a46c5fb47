"""The batcher collects requests, keeps their order, answers each once, and lets no request hurt another."""

import asyncio
import threading
from concurrent.futures import CancelledError, Future

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import inferkit
from inferkit.errors import UsageError
from inferkit.network.network import TensorInfo
from inferkit.serve import BadRequest, Batcher, BatcherClosed, BatchRecord, DeadlineExceeded, QueueFull

INPUT = TensorInfo("x", "float32", (None, 2))
LONG = 30.0  # seconds after which a test that hangs fails


def rows_of(*values: float) -> np.ndarray:
    return np.array([[value, -value] for value in values], np.float32)


class Recorder:
    """An engine that doubles its input, remembers its batches, and fails for batches that hold a negative number."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.threads: set[int] = set()

    def __call__(self, arrays):
        self.threads.add(threading.get_ident())
        values = arrays["x"][:, 0]
        self.batches.append(values.tolist())
        if (values < 0).any():
            raise ValueError(f"cannot take {values.min()}")
        return {"y": arrays["x"] * 2, "z": values.astype(np.float64)}


class Gate:
    """An engine that stands still until it is opened: what is submitted meanwhile has to wait."""

    def __init__(self, engine) -> None:
        self.engine, self.entered, self.open = engine, threading.Event(), threading.Event()

    def __call__(self, arrays):
        self.entered.set()
        assert self.open.wait(LONG)
        return self.engine(arrays)


@pytest.fixture
def gated():
    """A batcher of at most 4 whose engine is busy with one request (100) until `gate.open.set()`."""
    engine = Recorder()
    gate = Gate(engine)
    with Batcher(gate, 4, inputs=[INPUT], delay=0.0, queue_limit=8) as batcher:
        first = batcher.submit(rows_of(100))
        assert gate.entered.wait(LONG)
        yield batcher, gate, engine, first
        gate.open.set()


@given(st.lists(st.integers(1, 5), min_size=1, max_size=40), st.integers(5, 9), st.sampled_from([0.0, 0.0005]))
@settings(max_examples=40, deadline=None)
def test_nothing_is_lost_or_answered_twice_and_batches_keep_order_and_size(sizes, max_batch, delay):
    engine = Recorder()
    settled: list[int] = []
    requests, number = [], 0
    for size in sizes:
        requests.append(rows_of(*range(number, number + size)))
        number += size
    with Batcher(engine, max_batch, inputs=[INPUT], delay=delay) as batcher:
        futures = []
        for index, request in enumerate(requests):
            future = batcher.submit(request)
            future.add_done_callback(lambda _, index=index: settled.append(index))
            futures.append(future)
        for request, future in zip(requests, futures, strict=True):
            answer = future.result(LONG)
            np.testing.assert_array_equal(answer["y"], request * 2)
            np.testing.assert_array_equal(answer["z"], request[:, 0])
    assert settled == list(range(len(requests)))
    assert [value for batch in engine.batches for value in batch] == list(range(number))
    assert max(map(len, engine.batches)) <= max_batch
    assert len(engine.threads) == 1


@given(st.lists(st.booleans(), min_size=1, max_size=30))
@settings(max_examples=30, deadline=None)
def test_only_the_requests_that_fail_alone_fail(bad):
    values = [-(index + 1) if is_bad else index + 1 for index, is_bad in enumerate(bad)]
    with Batcher(Recorder(), 7, inputs=[INPUT], delay=0.001) as batcher:
        futures = [batcher.submit(rows_of(value)) for value in values]
        for value, future in zip(values, futures, strict=True):
            if value < 0:
                with pytest.raises(ValueError, match=f"cannot take {value}"):
                    future.result(LONG)
            else:
                np.testing.assert_array_equal(future.result(LONG)["y"], rows_of(value) * 2)


def test_many_threads_get_their_own_answers_in_their_own_order():
    wrong: list[object] = []

    def client(number: int, batcher: Batcher) -> None:
        order: list[int] = []
        futures: list[Future] = []
        for step in range(200):
            future = batcher.submit(rows_of(number * 1000 + step))
            future.add_done_callback(lambda _, step=step: order.append(step))
            futures.append(future)
        answers = [future.result(LONG)["z"].tolist() for future in futures]
        if answers != [[number * 1000 + step] for step in range(200)] or order != list(range(200)):
            wrong.append((number, answers, order))

    engine = Recorder()
    with Batcher(engine, 16, inputs=[INPUT], queue_limit=2000) as batcher:
        threads = [threading.Thread(target=client, args=(number, batcher)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG)
    assert not wrong
    assert sorted(value for batch in engine.batches for value in batch) == sorted(
        number * 1000 + step for number in range(6) for step in range(200)
    )


def test_what_comes_while_the_engine_is_busy_goes_as_one_batch(gated):
    batcher, gate, engine, first = gated
    futures = [batcher.submit(rows_of(value)) for value in (1, 2, 3)]
    gate.open.set()
    for future in (first, *futures):
        future.result(LONG)
    assert engine.batches == [[100], [1, 2, 3]]


def test_a_full_queue_rejects_and_keeps_what_it_has(gated):
    batcher, gate, _, _ = gated
    futures: list[Future] = []
    with pytest.raises(QueueFull, match="maximum queue length is 8"):  # noqa: PT012
        for number in range(13):  # eight wait, and the helper may have stacked four more
            futures.append(batcher.submit(rows_of(number)))
    assert len(futures) >= 8
    gate.open.set()
    assert [future.result(LONG)["z"].item() for future in futures] == list(range(len(futures)))


def test_cancelled_requests_are_not_run_and_make_room(gated):
    batcher, gate, engine, _ = gated
    keep = batcher.submit(rows_of(1))
    gone = [batcher.submit(rows_of(2)), batcher.submit(rows_of(3))]
    assert all(future.cancel() for future in gone)
    last = batcher.submit(rows_of(4))
    gate.open.set()
    assert keep.result(LONG)["z"] == [1]
    assert last.result(LONG)["z"] == [4]
    assert engine.batches == [[100], [1, 4]]
    with pytest.raises(CancelledError):
        gone[0].result(LONG)


def test_room_is_made_of_cancelled_requests_before_one_is_rejected():
    gate = Gate(Recorder())
    with Batcher(gate, 4, inputs=[INPUT], delay=0.0, queue_limit=4) as batcher:
        batcher.submit(rows_of(0))
        assert gate.entered.wait(LONG)
        waiting = [batcher.submit(rows_of(1, 2, 3))]  # three rows: no full batch, so it stays in the queue
        with pytest.raises(QueueFull):
            batcher.submit(rows_of(4, 5))
        assert waiting[0].cancel()
        later = batcher.submit(rows_of(4, 5))
        gate.open.set()
        assert later.result(LONG)["z"].tolist() == [4, 5]


def test_a_request_whose_turn_comes_after_its_deadline_is_not_run(gated):
    batcher, gate, engine, _ = gated
    late = batcher.submit(rows_of(1), deadline=1e-9)
    fine = batcher.submit(rows_of(2), deadline=LONG)
    resubmitted = []
    late.add_done_callback(lambda _: resubmitted.append(batcher.submit(rows_of(3))))  # a callback may submit
    gate.open.set()
    with pytest.raises(DeadlineExceeded, match="waited"):
        late.result(LONG)
    assert fine.result(LONG)["z"] == [2]
    assert resubmitted[0].result(LONG)["z"] == [3]
    assert sorted(value for batch in engine.batches for value in batch) == [2, 3, 100]


def test_a_deadline_shorter_than_the_delay_is_kept():
    with Batcher(Recorder(), 4, inputs=[INPUT], delay=LONG) as batcher:
        slow = batcher.submit(rows_of(1))
        assert batcher.submit(rows_of(2), deadline=0.5).result(LONG / 2)["z"] == [2]
        assert slow.result(LONG / 2)["z"] == [1]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((1, 3), np.float32), r"shape \[N, 2\]"),
        (np.zeros((2,), np.float32), r"shape \[N, 2\]"),
        (np.zeros((1, 2), np.float64), "type float32; the request's is float64"),
        (np.zeros((5, 2), np.float32), "5 rows; it may have 1 to 4"),
        (np.zeros((0, 2), np.float32), "0 rows"),
        ({"w": np.zeros((1, 2), np.float32)}, "inputs x; the request has w"),
        ([[1.0, 2.0]], "the request has list"),
        ({"x": [[1.0, 2.0]]}, "the request's is list"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_at_once(inputs, message):
    engine = Recorder()
    with Batcher(engine, 4, inputs=[INPUT]) as batcher, pytest.raises(BadRequest, match=message):
        batcher.submit(inputs)
    assert engine.batches == []


def test_requests_of_different_free_shapes_do_not_share_a_batch():
    seen = []

    def engine(arrays):
        seen.append(arrays["x"].shape)
        return {"sum": arrays["x"].sum(axis=1)}

    with Batcher(engine, 4, inputs=[TensorInfo("x", "float32", (None, None))], delay=0.001) as batcher:
        futures = [batcher.submit(np.ones((1, width), np.float32)) for width in (2, 2, 3, 2)]
        assert [future.result(LONG)["sum"].item() for future in futures] == [2, 2, 3, 2]
    assert sum(shape[0] for shape in seen) == 4


def test_a_fixed_batch_is_filled_up_and_cut_again():
    shapes = []

    def engine(arrays):
        shapes.append(arrays["x"].shape)
        return {"y": arrays["x"] + 1}

    with Batcher(engine, 4, inputs=[TensorInfo("x", "float32", (4, 2))], delay=0.0) as batcher:
        answer = batcher.submit(rows_of(7)).result(LONG)
    assert shapes == [(4, 2)]
    np.testing.assert_array_equal(answer["y"], rows_of(7) + 1)


def test_an_output_without_the_batch_is_an_error_not_a_wrong_answer():
    with Batcher(lambda arrays: {"y": np.zeros(3)}, 4, inputs=[INPUT], delay=0.0) as batcher:
        error = batcher.submit(rows_of(1, 2)).exception(LONG)
    assert isinstance(error, inferkit.InferkitError)
    assert "shape [3] for a batch of 2" in str(error)


@pytest.mark.parametrize("error", [SystemExit(3), StopIteration(), KeyboardInterrupt()])
def test_what_would_end_a_client_becomes_an_error_of_the_backend(error):
    def engine(arrays):
        raise error

    with Batcher(engine, 4, inputs=[INPUT], delay=0.0) as batcher:
        assert isinstance(batcher.submit(rows_of(1)).exception(LONG), inferkit.errors.BackendError)
        with pytest.raises(inferkit.errors.BackendError, match=type(error).__name__):
            asyncio.run(batcher.asubmit(rows_of(2)))


def test_a_client_that_settles_its_own_future_harms_nobody(gated):
    batcher, gate, _, first = gated
    first.set_result({})
    untouched = batcher.submit(rows_of(1))
    gate.open.set()
    assert untouched.result(LONG)["z"] == [1]


def test_close_runs_what_waits_and_then_refuses():
    gate = Gate(Recorder())
    batcher = Batcher(gate, 4, inputs=[INPUT], delay=LONG)
    futures = [batcher.submit(rows_of(value)) for value in range(11)]
    gate.open.set()
    assert batcher.close(timeout=LONG)
    assert [future.result(0)["z"].item() for future in futures] == list(range(11))
    with pytest.raises(BatcherClosed):
        batcher.submit(rows_of(1))
    assert batcher.close()


def test_close_without_draining_fails_what_waits(gated):
    batcher, gate, engine, first = gated
    waiting = batcher.submit(rows_of(1))
    assert not batcher.close(drain=False, timeout=0)
    with pytest.raises(BatcherClosed, match="before this request was run"):
        waiting.result(LONG)
    gate.open.set()
    assert first.result(LONG)["z"] == [100]
    assert engine.batches == [[100]]


def test_asyncio_tasks_share_batches_and_can_be_cancelled(gated):
    batcher, gate, engine, _ = gated

    async def clients():
        tasks = [asyncio.create_task(batcher.asubmit(rows_of(value))) for value in (1, 2, 3)]
        while batcher.waiting < 3:
            await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.sleep(0)
        gate.open.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    one, two, three = asyncio.run(clients())
    assert (one["z"], three["z"]) == ([1], [3])
    assert isinstance(two, asyncio.CancelledError)
    assert engine.batches == [[100], [1, 3]]


def test_the_observer_hears_of_every_batch_and_may_fail():
    records: list[BatchRecord] = []
    with Batcher(Recorder(), 4, inputs=[INPUT], observer=records.append) as batcher:
        futures = [batcher.submit(rows_of(1, 2)), batcher.submit(rows_of(-1))]
        futures[0].result(LONG)
    assert sum(record.rows for record in records) == 3
    assert sum(record.requests for record in records) == 2
    assert sum(record.failed for record in records) == 1
    assert all(wait >= 0 for record in records for wait in record.queue_seconds)


def test_answers_belong_to_the_client():
    with Batcher(lambda arrays: {"y": arrays["x"]}, 4, inputs=[INPUT], delay=0.0) as batcher:
        sent = rows_of(1)
        answer = batcher.submit(sent).result(LONG)["y"]
    answer[:] = 9
    assert sent[0, 0] == 1


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(UsageError, match="needs `inputs`"):
        Batcher(Recorder(), 4)
    with pytest.raises(UsageError, match="max_batch 0"):
        Batcher(Recorder(), 0, inputs=[INPUT])
    with pytest.raises(UsageError, match="batches of 2 only"):
        Batcher(Recorder(), 4, inputs=[TensorInfo("x", "float32", (2, 2))])
    with pytest.raises(UsageError, match="no axis that is known to be the batch"):
        Batcher(Recorder(), 4, inputs=[TensorInfo("x", "float32", ())])


@pytest.mark.slow
def test_a_million_requests_leave_memory_flat():
    """A soak on a null engine: at most 1,000,000 requests, bounded at ten minutes of time."""
    import time

    import psutil

    process = psutil.Process()
    answer = np.zeros((64, 1), np.float32)
    request = rows_of(1)
    answered, began, early = 0, time.monotonic(), 0
    with Batcher(lambda arrays: {"y": answer[: len(arrays["x"])]}, 64, inputs=[INPUT], queue_limit=4096) as batcher:
        while answered < 1_000_000 and time.monotonic() - began < 600:
            futures = [batcher.submit(request) for _ in range(2000)]
            answered += sum(future.result(LONG)["y"].shape == (1, 1) for future in futures)
            if answered == 100_000:
                early = process.memory_info().rss
    assert answered == 1_000_000
    assert process.memory_info().rss - early < 8 << 20  # the allocator's own ups and downs are below 8 MiB
