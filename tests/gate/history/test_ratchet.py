"""The ratchet: ten slips of 1 % are one of 10 %; what did not slip is left alone, and what the machine did too."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from inferkit.gate.history.ratchet import MARGIN, RECENT, Moment, days_ago, needed, ratchet, release, slips
from inferkit.gate.history.series import HistoryPoint, HistorySeries, RunInfo
from inferkit.gate.metrics import LATENCY, REFERENCE
from inferkit.gate.outcome import Verdict
from tests.gate.run_files import point

BEGAN = datetime(2026, 9, 1, tzinfo=UTC)
REPLICATES = 3


def runs(count: int, every: float = 3.0) -> list[RunInfo]:
    return [RunInfo(f"r{n:03}", BEGAN + timedelta(days=every * n), commit=f"c{n:03}") for n in range(count)]


def history(
    seed: int,
    infos: list[RunInfo],
    *,
    cases: int = 12,
    process: float = 0.003,
    session: float = 0.003,
    slip: float = 0.0,
    slipping: int = 1,
    slips_from: int = 0,
    reference: float = 0.0,
    margin: float = 0.05,
) -> list[HistorySeries]:
    """A replayed history: each run's replicates around the case's time, some of which slip by `slip` at each run.

    Runs differ by `session`, processes by `process` (standard deviations of logarithms). `reference` is the slip of
    the reference network at each run.
    """
    chance = np.random.default_rng(seed)
    found = []
    for number in range(cases + 1):
        rate = reference if number == cases else slip if number < slipping else 0.0
        points = []
        for index, info in enumerate(infos):
            centre = np.log(0.001 * (number + 1)) + np.log1p(rate) * max(index - slips_from, 0)
            logs = centre + chance.normal(0, session) + chance.normal(0, process, REPLICATES)
            name, metric = ("reference-1", REFERENCE) if number == cases else (f"case-{number}", LATENCY)
            points.append(point(info, name, metric, np.exp(logs), margin=margin))
        found.append(HistorySeries("mine", name, metric, "m", tuple(points)))
    return found


def slipped(seed: int, **how) -> set[str]:
    infos = runs(11)
    before = days_ago(infos, infos[-1].date)
    released = release(infos, "v1", lambda commit: commit == "c000")
    assert before is not None
    assert released is not None
    found = ratchet(history(seed, infos, **how), infos[-1].run_id, [released, before])
    return {outcome.case for outcome in slips(found)}


def test_ten_slips_of_one_percent_are_seen():
    """Each step is a fifth of the margin; ten of them are twice the margin."""
    found = [slipped(seed, slip=0.01) for seed in range(100)]
    assert sum("case-0" in cases for cases in found) >= 95
    assert set().union(*found) == {"case-0"}


def test_they_are_seen_among_noisier_processes_too():
    found = [slipped(seed, slip=0.01, process=0.01, session=0.01) for seed in range(100)]
    assert sum("case-0" in cases for cases in found) >= 90


@pytest.mark.parametrize("noise", [0.003, 0.02, 0.1])
def test_where_nothing_slipped_nothing_is_seen(noise):
    """The nominal error is 1 % of the suites: seven of 200 or more would have a chance of 0.5 %."""
    assert sum(bool(slipped(seed, process=noise, session=noise)) for seed in range(200)) < 7


def test_what_slips_with_the_reference_network_is_the_machines():
    infos = runs(11)
    moment = Moment("v1", frozenset({"r000"}))
    series = history(1, infos, slip=0.01, slipping=12, reference=0.01)
    found = ratchet(series, infos[-1].run_id, [moment])
    assert {outcome.verdict for outcome in found} == {Verdict.INCONCLUSIVE}
    assert "the reference network moved by +" in found[0].line


def test_the_line_tells_the_moment_the_change_and_what_it_rests_on():
    infos = runs(11)
    found = slips(ratchet(history(1, infos, slip=0.01), "r010", [Moment("v1", frozenset({"r000"}))]))
    (outcome,) = found
    assert outcome.metric == "latency since v1"
    assert outcome.change == pytest.approx(1.01**10 - 1, abs=0.015)
    assert outcome.line.startswith("case-0 latency since v1: REGRESSED: ")
    assert "against 1 run until 2026-09-01 (c000)" in outcome.line
    assert f"margin {100 * MARGIN:g} %" in outcome.line


def test_a_wide_margin_is_no_licence_to_drift_and_a_finer_one_counts():
    infos = runs(11)
    moment = Moment("v1", frozenset({"r000"}))
    wide, fine = (ratchet(history(1, infos, margin=margin), "r010", [moment])[0] for margin in (0.25, 0.02))
    assert (wide.margin, fine.margin) == (MARGIN, 0.02)


def test_two_runs_say_nothing_of_how_much_runs_differ():
    infos = runs(2, every=40)
    found = ratchet(history(1, infos, slip=0.2, cases=1), "r001", [Moment("v1", frozenset({"r000"}))])
    assert [outcome.verdict for outcome in found] == [Verdict.INCONCLUSIVE]


def test_a_step_that_was_named_does_not_hide_later_slips():
    """A regression of 50 % that was seen and mended would count as noise of the runs otherwise."""
    infos = runs(14)
    series = history(2, infos, slip=0.01, slips_from=3)[0]
    mended = []
    for number, each in enumerate(series.points):
        values = np.array(each.values) * (1.5 if number == 2 else 1.0)
        verdict = "REGRESSED" if number == 2 else "PASS"
        mended.append(point(each.run, "case-0", LATENCY, values, verdict, 0.05))
    found = ratchet(
        [HistorySeries("mine", "case-0", LATENCY, "m", tuple(mended))], "r013", [Moment("v1", frozenset({"r003"}))]
    )
    assert [outcome.verdict for outcome in found] == [Verdict.REGRESSED]


def test_runs_measured_as_invalid_are_not_compared_with():
    infos = runs(6)
    series = history(1, infos, cases=1)[0]
    spoiled = point(infos[0], "case-0", LATENCY, (9.0,), "INVALID")
    assert ratchet([HistorySeries("mine", "case-0", LATENCY, "m", (spoiled, *series.points[1:]))], "r005",
                   [Moment("v1", frozenset({"r000"}))]) == []  # fmt: skip


def test_a_moment_has_every_run_that_may_stand_for_it():
    infos = runs(20)
    assert days_ago(infos, infos[-1].date).runs == {f"r{n:03}" for n in range(10)}
    assert days_ago(infos[-3:], infos[-1].date) is None
    released = release(infos, "v2", lambda commit: commit <= "c004")
    assert (released.name, released.runs) == ("v2", {f"r{n:03}" for n in range(5)})
    assert release(infos, "v0", lambda commit: False) is None


def only(series: HistorySeries, numbers) -> HistorySeries:
    """As if these runs alone had measured it."""
    wanted = {f"r{n:03}" for n in numbers}
    return replace(series, points=tuple(each for each in series.points if each.run.run_id in wanted))


def test_each_series_is_compared_with_the_newest_runs_that_it_has_itself():
    infos = runs(30)
    often, seldom, *_ = history(1, infos, cases=2)
    seldom = only(seldom, (1, 4, 9, 13, 20, 29))
    old = frozenset(info.run_id for info in infos[:16])
    found = ratchet([often, seldom], "r029", [Moment("long ago", old), Moment("v1", old, of_one_commit=True)])
    against = {(outcome.case, outcome.metric): outcome.reason.split(":")[0] for outcome in found}
    last, before = (f"{infos[n].date:%Y-%m-%d} (c{n:03})" for n in (15, 13))
    assert against == {
        ("case-0", "latency since long ago"): f"against 3 runs until {last}",
        ("case-0", "latency since v1"): f"against 1 run until {last}",
        ("case-1", "latency since long ago"): f"against 3 runs until {before}",
        ("case-1", "latency since v1"): f"against 1 run until {before}",
    }


def test_the_reference_is_looked_at_between_the_runs_that_the_case_is_of():
    """The machine got slower between the case's last run and this one; another case has older runs that saw it.

    What the reference did since those says nothing of what happened to this case.
    """

    def slower(each: HistoryPoint) -> HistoryPoint:
        if int(each.run.run_id[1:]) < 10:
            return each
        values = tuple(1.3 * value for value in each.values)
        # The gate saw it when it came.
        return point(each.run, each.measured.case, each.metric, values, "REGRESSED", each.margin)

    infos = runs(30)
    series = [replace(each, points=tuple(map(slower, each.points))) for each in history(1, infos, cases=2)]
    always, left_out, reference = series
    left_out = only(left_out, (*range(10), 28, 29))
    old = Moment("long ago", frozenset(info.run_id for info in infos[:20]))
    found = {outcome.case: outcome for outcome in ratchet([always, left_out, reference], "r029", [old])}
    assert found["case-0"].verdict is Verdict.PASS
    assert found["case-1"].verdict is Verdict.INCONCLUSIVE
    assert "the reference network moved by +" in found["case-1"].reason


def test_only_the_newest_points_of_each_series_are_asked_for():
    infos = runs(100)
    wanted = needed(infos, infos[90], [Moment("v1", frozenset({"r001", "r000"}))])
    assert wanted == [([f"r{n:03}" for n in range(91)], RECENT), (["r000", "r001"], 3)]
