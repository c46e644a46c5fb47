"""A replay that does not compute what enqueue computes is found before anything is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, repeat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.backends.agreement import TOLERANCE, relative_difference
from inferkit.backends.tensorrt.running.replay import RUNS, check_replay
from inferkit.errors import BackendError

RIGHT = {"prob": np.linspace(0.1, 1.0, 10, dtype=np.float32), "index": np.arange(3)}


def giving(results: Iterator[dict]) -> Callable[[], dict]:
    return lambda: next(results)


def changed(by: float) -> dict:
    return {**RIGHT, "prob": RIGHT["prob"] * np.float32(1 + by)}


def test_a_replay_of_the_same_results_passes_and_tells_the_largest_difference() -> None:
    replay = giving(iter([RIGHT, changed(1e-3), RIGHT]))
    assert check_replay(giving(repeat(RIGHT)), replay, "net") == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("run", range(RUNS))
def test_one_wrong_replay_of_several_is_enough(run: int) -> None:
    replay = giving(chain(repeat(RIGHT, run), [changed(0.2)], repeat(RIGHT)))
    with pytest.raises(BackendError, match=r"net: the replay of its CUDA graph.*'prob' differs by 0\.2"):
        check_replay(giving(repeat(RIGHT)), replay, "net")


def test_an_engine_that_does_not_repeat_itself_is_wrong_also_without_a_graph() -> None:
    with pytest.raises(BackendError, match="plain enqueue does not repeat"):
        check_replay(giving(chain([RIGHT], repeat(changed(0.1)))), giving(repeat(RIGHT)), "net")


def test_what_was_never_written_is_found() -> None:
    poisoned = {**RIGHT, "prob": np.full(10, np.nan, np.float32)}
    with pytest.raises(BackendError, match="inf of its norm"):
        check_replay(giving(repeat(RIGHT)), giving(repeat(poisoned)), "net")


def test_an_engine_that_answers_infinity_may_do_so_again() -> None:
    overflowed = {"prob": np.array([1.0, np.inf], np.float16)}
    assert check_replay(giving(repeat(overflowed)), giving(repeat(overflowed)), "net") == 0


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=20), st.floats(-0.5, 0.5, width=32))
def test_the_difference_is_relative_to_what_is_wanted(values: list[float], share: float) -> None:
    wanted = np.array(values, np.float64)
    found = relative_difference(wanted * (1 + share), wanted)
    assert found == pytest.approx(abs(share) if np.any(wanted) else 0.0, abs=1e-9)


def test_the_tolerance_lies_between_rounding_and_garbage() -> None:
    half = RIGHT["prob"].astype(np.float16)
    assert relative_difference(half, RIGHT["prob"]) < TOLERANCE / 10
    assert relative_difference(np.roll(half, 1), half) > TOLERANCE * 5
