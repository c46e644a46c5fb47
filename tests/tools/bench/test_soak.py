"""The soak of the batcher, in short: every request ends once and rightly, whatever happens to it."""

from __future__ import annotations

import pytest

from tools.bench.soak import problems, soak


@pytest.mark.slow
def test_a_short_soak_loses_nothing():
    found = soak(0.5, 4000)
    assert problems(found, growth=16 << 20) == []  # a process of pytest grows for reasons of its own
    assert found["submitted"] > 20_000
    assert {"answered", "cancelled", "refused"} <= set(found["ended"])


def test_what_a_soak_must_not_show_is_said():
    fine = {"lost": 0, "ended": {"answered": 5}, "growth": 100}
    assert problems(fine, growth=100) == []
    wrong = problems({"lost": 1, "ended": {"WRONG": 2}, "growth": 5 << 20}, growth=4 << 20)
    assert wrong == [
        "1 requests have no end, or two",
        "2 answers were another request's",
        "memory grew by 5.0 MiB",
    ]
