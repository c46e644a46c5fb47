"""Iterations until there are enough, and copies of an engine that take turns meanwhile: real sessions, on the CPU."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import inferkit
from inferkit.backends.base import Session, Trace
from inferkit.errors import BackendError, WrongResults
from inferkit.measure.copies import Copies
from inferkit.measure.iterations import COLUMNS, TURN_SECONDS, iterate
from inferkit.measure.replicate import ReplicateSpec
from inferkit.measure.turns import Turns
from tests.suite.tiny_project import tiny_images, tiny_model


class Engine:
    """Opens sessions with a batch staged and run, and remembers them."""

    def __init__(self, folder: Path) -> None:
        onnx.save(tiny_model(), str(folder / "tiny.onnx"))
        self.engine = inferkit.build(inferkit.load(folder / "tiny.onnx"), backend="onnxruntime", max_batch=4)
        self.images = tiny_images()[0][:4].astype(np.float32)
        self.opened: list[Session] = []

    def session(self) -> Session:
        session = self.engine.session()
        self.opened.append(session)
        session.load(self.images)
        session.execute()
        return session


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = Engine(tmp_path)
    yield made
    for session in made.opened:
        session.close()


def limits(**changes: Any) -> ReplicateSpec:
    return ReplicateSpec("", "onnxruntime", 1, **{"max_iterations": 10**7, **changes})


def test_turns_are_no_measuring(engine: Engine) -> None:
    seen: list[int] = []

    def turn(last: Sequence[Trace]) -> None:
        seen.append(len(last))
        time.sleep(0.1)

    session = engine.session()
    began = time.perf_counter()
    trace = iterate(session.execute, limits(min_time=3.5 * TURN_SECONDS), turn)
    passed = time.perf_counter() - began
    ended = trace[:, 0] + trace[:, COLUMNS.index("wall")]
    assert trace[0, 0] >= 0.1  # one comes before anything is measured
    assert seen[0] == 0
    assert len(seen) >= 2
    assert sum(seen) <= len(trace)
    assert passed >= 3.5 * TURN_SECONDS + 0.1 * len(seen)
    assert (trace[1:, 0] - ended[:-1]).max() >= 0.1  # the others lie between two iterations, inside none


def test_three_copies_take_turns_and_two_are_closed(engine: Engine) -> None:
    first = engine.session()
    with Copies(first, engine.session) as copies:
        assert len(copies.sessions) == 3
        ran = []
        for _ in range(6):
            copies.turn()
            copies.execute()
            ran.append(copies.sessions.index(copies._current))
        assert ran == [1, 2, 0, 1, 2, 0]
        assert copies.runs == 6 * 2
        for each in copies.sessions:
            np.testing.assert_array_equal(each.fetch()["prob"], first.fetch()["prob"])
    first.execute()
    for other in engine.opened[1:]:
        with pytest.raises(BackendError, match="closed"):
            other.execute()


def test_a_long_run_has_no_copies(engine: Engine) -> None:
    first = engine.session()
    plain = first.execute

    def long() -> Trace:
        time.sleep(0.001)
        trace = plain()
        return Trace(**{**trace.__dict__, "wall": trace.wall + 0.001})

    first.execute = long  # type: ignore[method-assign]
    with Copies(first, engine.session) as copies:
        copies.turn()
        assert copies.sessions == [first]
        assert copies.runs == 0


@pytest.mark.parametrize("fits", (0, 1))
def test_where_memory_ends_there_are_fewer(engine: Engine, fits: int) -> None:
    first = engine.session()

    def another() -> Session:
        if len(engine.opened) > fits:
            raise BackendError("out of memory: 300.0 MiB of device memory")
        return engine.session()

    with Copies(first, another) as copies:
        assert len(copies.sessions) == 1 + fits
        for _ in range(3):
            copies.turn()
            copies.execute()


def test_a_copy_that_computes_something_else_is_an_error(engine: Engine) -> None:
    first = engine.session()

    def another() -> Session:
        if len(engine.opened) > 1:
            raise WrongResults("tiny: plain enqueue does not repeat what it computed")
        return engine.session()

    with pytest.raises(WrongResults), Copies(first, another):
        pass
    with pytest.raises(BackendError, match="closed"):  # nothing is left open
        engine.opened[1].execute()


def test_turns_give_the_core_back_and_close_the_copies(engine: Engine) -> None:
    before = os.sched_getaffinity(0)
    first = engine.session()
    with Turns(first, engine.session) as turns:
        trace = iterate(turns.execute, limits(min_time=4 * TURN_SECONDS), turns.turn)
        told = turns.as_dict()
        runs = turns.runs
    assert len(trace) >= 11
    assert told["copies"] == 3
    assert told["core"] in (None, *before)
    assert runs >= 2 * told["copies"]
    assert os.sched_getaffinity(0) == before
    assert [session for session in engine.opened if _is_open(session)] == [first]


def _is_open(session: Session) -> bool:
    try:
        session.execute()
    except BackendError:
        return False
    return True
