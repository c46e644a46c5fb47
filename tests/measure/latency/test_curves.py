"""Curves over batch size: crossings that error bars allow to be seen, saturation, and curves that fall."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from inferkit.measure.latency.curves import Curve, crossings, falls, findings, saturation, sentences
from inferkit.measure.latency.rounds import Interval


def curve(times: dict[int, float], share: float = 0.01) -> Curve:
    """A curve with error bars of ± `share`."""
    return {batch: Interval(time * (1 - share), time, time * (1 + share)) for batch, time in times.items()}


HALF = curve({1: 1.0, 5: 2.0, 10: 4.0, 25: 8.0})


def test_a_crossing_lies_between_two_batch_sizes() -> None:
    found = crossings("HALF", HALF, "INT8", curve({1: 1.5, 5: 2.5, 10: 3.0, 25: 5.0}))
    (crossing,) = found.found
    assert (crossing.faster, crossing.after, crossing.by) == ("INT8", 5, 10)
    assert found.text() == "HALF and INT8 cross: INT8 becomes faster between batch 5 and 10"


def test_a_batch_size_without_a_difference_widens_the_crossing() -> None:
    found = crossings("HALF", HALF, "INT8", curve({1: 1.5, 5: 2.01, 10: 3.0, 25: 5.0}))
    assert found.faster[5] is None
    assert [(each.after, each.by) for each in found.found] == [(1, 10)]
    assert found.text().endswith("between batch 1 and 10; no difference is seen at batch 5")


def test_curves_that_do_not_cross_say_which_one_is_faster() -> None:
    slower = {batch: 2 * each.median for batch, each in HALF.items()}
    found = crossings("HALF", HALF, "FLOAT", curve(slower))
    assert found.found == ()
    assert found.text() == "HALF and FLOAT do not cross: HALF is faster at every batch size"


def test_curves_within_their_error_bars_are_never_called_different() -> None:
    near = curve({batch: each.median * (1.01 if batch < 10 else 0.99) for batch, each in HALF.items()})
    found = crossings("HALF", HALF, "INT8", near)
    assert set(found.faster.values()) == {None}
    assert found.text() == "HALF and INT8 do not cross: no difference is seen at any batch size"


def test_only_common_batch_sizes_are_compared() -> None:
    assert set(crossings("HALF", HALF, "INT8", curve({5: 1.0, 50: 9.0})).faster) == {5}
    assert "no batch size in common" in crossings("HALF", HALF, "INT8", curve({50: 1.0})).text()


times = st.dictionaries(st.sampled_from((1, 5, 10, 25, 50)), st.floats(0.1, 10), min_size=1)


@given(times, times, st.floats(0, 0.5))
def test_it_does_not_matter_which_curve_comes_first(first: dict[int, float], second: dict[int, float], share: float):
    forwards = crossings("a", curve(first, share), "b", curve(second, share))
    backwards = crossings("b", curve(second, share), "a", curve(first, share))
    assert forwards.faster == backwards.faster
    assert forwards.found == backwards.found


@given(times, times)
def test_crossings_alternate(first: dict[int, float], second: dict[int, float]) -> None:
    found = crossings("a", curve(first), "b", curve(second)).found
    for earlier, later in pairwise(found):
        assert earlier.faster != later.faster
        assert earlier.by <= later.after


def test_throughput_is_reached_at_the_first_batch_size_that_has_nearly_all_of_it() -> None:
    assert saturation(curve({1: 1.0, 10: 2.0, 50: 9.8, 100: 20.0})) == 10
    assert saturation(curve({1: 1.0, 10: 2.0, 100: 4.0})) is None  # 25 images a second at the largest


def test_a_curve_falls_only_by_more_than_its_error_bars() -> None:
    noisy = curve({100: 0.29, 125: 0.13, 150: 0.56})
    assert falls(noisy) == ((100, 125),)
    assert falls(curve({100: 0.29, 125: 0.13, 150: 0.56}, share=0.5)) == ()
    assert falls(HALF) == ()


def test_findings_say_all_of_it_in_words() -> None:
    lines = sentences(findings({"HALF": HALF, "INT8": curve({100: 0.29, 125: 0.13})}))
    assert "HALF and INT8 have no batch size in common" in lines
    assert "INT8: batch 125 takes less time than batch 100, by more than the error bars" in lines
    assert "no curve falls with the batch size by more than its error bars" in sentences(findings({"HALF": HALF}))
