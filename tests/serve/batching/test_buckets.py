"""A session per batch size: batches are filled up to the next one, answers are those of the rows given."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import inferkit
from inferkit.errors import BackendError
from inferkit.measure.images import stand_in
from inferkit.serve import Batcher
from inferkit.serve.batching.buckets import Buckets, service_session, sizes_up_to
from tests.serve.batching.owning import OwningSession


@pytest.fixture(scope="module")
def engine():
    return inferkit.build(inferkit.load("lenet"), max_batch=6)


def test_sizes_are_powers_of_two_and_the_largest():
    assert [sizes_up_to(most) for most in (1, 2, 6, 8)] == [(1,), (1, 2), (1, 2, 4, 6), (1, 2, 4, 8)]
    assert [sizes_up_to(most, least) for most, least in ((8, 3), (8, 4), (8, 8))] == [(3, 4, 8), (4, 8), (8,)]


def test_every_batch_is_answered_as_by_a_session_of_its_own(engine):
    with Buckets(engine, 6, threads=1) as buckets, engine.session(threads=1) as plain:
        images = stand_in(plain.inputs[0], 6)
        for rows in range(1, 7):
            outputs = buckets.run(images[:rows])["prob"]
            assert len(outputs) == rows
            np.testing.assert_allclose(outputs, plain.run(images[:rows])["prob"], rtol=1e-5, atol=1e-7)
        with pytest.raises(BackendError):
            buckets.run(np.concatenate([images, images]))


def test_no_session_ever_sees_another_size(engine):
    with Buckets(engine, 6, threads=1) as buckets:
        seen: dict[int, set[int]] = {size: set() for size in buckets._sessions}
        for size, session in buckets._sessions.items():
            load = session.load
            session.load = lambda arrays, size=size, load=load: (  # type: ignore[method-assign]
                seen[size].add(len(next(iter(arrays.values())))),
                load(arrays),
            )
        image = stand_in(buckets.inputs[0], 1)
        with Batcher(buckets, 6, delay=0.0005) as batcher:
            futures = [batcher.submit(image) for _ in range(200)]
            answers = [future.result(30)["prob"] for future in futures]
        expected = buckets.run(image)["prob"]
        for answer in answers:
            np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=1e-7)
    assert all(sizes <= {size} for size, sizes in seen.items())
    assert any(seen.values())


@pytest.mark.parametrize("least", [3, 4, 6])
def test_an_engine_for_larger_batches_gets_no_smaller_one(engine, least):
    larger = dataclasses.replace(engine, info=dataclasses.replace(engine.info, min_batch=least))
    with Buckets(larger, 6, engine.session(threads=1), threads=1) as buckets, engine.session(threads=1) as plain:
        assert min(buckets._sessions) == least
        images = stand_in(plain.inputs[0], 6)
        for rows in range(1, 7):
            outputs = buckets.run(images[:rows])["prob"]
            assert len(outputs) == rows
            np.testing.assert_allclose(outputs, plain.run(images[:rows])["prob"], rtol=1e-5, atol=1e-7)


def test_only_where_sizes_are_dear(engine):
    with service_session(engine, 6, threads=1) as session:
        assert not isinstance(session, Buckets)
    with service_session(OwningEngine(engine), 6) as session:
        assert isinstance(session, Buckets)
    with service_session(OwningEngine(engine), 1) as session:
        assert not isinstance(session, Buckets)


def test_the_session_that_was_asked_first_serves_too(engine):
    owning = OwningEngine(engine)
    with service_session(owning, 6) as session:
        assert len(owning.opened) == len(sizes_up_to(6))
        session.run(stand_in(session.inputs[0], 1))
    for opened in owning.opened:
        with pytest.raises(BackendError, match="closed"):
            opened.load({"data": stand_in(opened.inputs[0], 1)})


class OwningEngine:
    """Opens sessions that share their memories, as those of one GPU do."""

    def __init__(self, engine) -> None:
        self.engine, self.info = engine, engine.info
        self.opened: list[OwningSession] = []

    def session(self, **_settings):
        session = OwningSession(self.engine, strict=False)
        if self.opened:
            session.memories = self.opened[0].memories
        self.opened.append(session)
        return session


def test_batches_from_memory_of_its_own_are_filled_up_in_place(engine):
    owning = OwningEngine(engine)
    with Buckets(owning, 6) as buckets, engine.session(threads=1) as plain:
        images = stand_in(plain.inputs[0], 6)
        memory = buckets.host_memory(3)
        assert len(memory["data"]) == 6  # every size has to fit
        for session in owning.opened:
            session.strict = True
        for rows in (5, 3, 1, 6):
            memory["data"][:rows] = images[:rows]
            buckets.load({"data": memory["data"][:rows]})
            buckets.execute()
            outputs = buckets.fetch()["prob"]
            assert len(outputs) == rows
            np.testing.assert_allclose(outputs, plain.run(images[:rows])["prob"], rtol=1e-5, atol=1e-7)
        for session in owning.opened:
            session.strict = False
        elsewhere = images[:5] + 1  # is filled up with copies, as ever
        np.testing.assert_allclose(buckets.run(elsewhere)["prob"], plain.run(elsewhere)["prob"], rtol=1e-5, atol=1e-7)


def test_memory_is_counted_once_however_many_sessions_there_are(engine):
    with engine.session(threads=1) as plain, Buckets(engine, 6, threads=1) as buckets:
        image = stand_in(plain.inputs[0], 1)
        plain.run(image)
        buckets.run(image)
        # Both tell what the process took since the engine was built, whichever session took it.
        assert buckets.memory_bytes() <= plain.memory_bytes() + (4 << 20)
