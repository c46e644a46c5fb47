"""The ratchet of a history that several machines and narrowed runs share: each case against its own runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from inferkit.gate.history.series import HistoryPoint, RunInfo
from inferkit.gate.history.store import History
from inferkit.gate.history.summary import RunSummary
from inferkit.gate.metrics import LATENCY, REFERENCE
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.run import CaseRun
from inferkit.suite.session.releases import ratchet_of
from tests.git_folder import git

BEGAN = datetime(2026, 9, 1, 22, tzinfo=UTC)
DAYS = 63
CASES = tuple(f"case-{number}" for number in range(6))


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A folder with three commits, the second of which is a release; and the commits."""
    folder = tmp_path_factory.mktemp("repository")
    git(folder, "init", "-q")
    for number in range(3):
        git(folder, "commit", "-q", "--allow-empty", "-m", str(number))
    git(folder, "tag", "v1.0", "HEAD~1")
    return folder, git(folder, "rev-list", "--reverse", "HEAD").split()


def run(machine, day, commit="", *, cases=CASES, slip=0.0):
    """A run of that day, whose first case is slower by `slip` a day. What it finds depends on machine and day alone."""
    chance = np.random.default_rng([*machine.encode(), round(day * 24)])

    told = RunInfo(f"{machine}-{day:06.2f}", BEGAN + timedelta(days=day), commit, project="mine")

    def point(name, metric, rate=0.0):
        logs = np.log(0.001) + np.log1p(rate) * day + chance.normal(0, 0.003) + chance.normal(0, 0.003, 3)
        measured = CaseRun(case=name, fingerprint=machine, margin=0.05, data={"log_medians": tuple(logs)})
        return HistoryPoint(told, metric, measured, Outcome(name, metric, Verdict.PASS, margin=0.05))

    everything = {name: point(name, LATENCY, slip if name == CASES[0] else 0.0) for name in CASES}
    return RunSummary(told, (*(everything[name] for name in cases), point("reference-1", REFERENCE)))


def looked_back(path, summaries, current, folder):
    """What the ratchet finds of one of these runs."""
    history = History(path)
    history.append(summaries)
    return ratchet_of(history, current.run, folder)


def test_a_machine_that_runs_weekly_is_compared_with_itself_among_nightly_runs_of_another(tmp_path, repository):
    folder, (first, released, last) = repository
    commits = [first if day < 14 else released if day < 21 else last for day in range(DAYS + 1)]
    weekly = [run("weekly", day, commits[day], slip=0.005) for day in range(0, DAYS + 1, 7)]
    nightly = [run("nightly", day + part / 24, commits[day]) for day in range(DAYS) for part in (1, 2, 3)]
    alone = looked_back(tmp_path / "alone.duckdb", weekly, weekly[-1], folder)
    result = looked_back(tmp_path / "both.duckdb", [*weekly, *nightly], weekly[-1], folder)
    regressed = {outcome.metric for outcome in result.outcomes if outcome.verdict is Verdict.REGRESSED}
    assert regressed == {"latency since v1.0", "latency since 30 days ago"}
    assert {outcome.case for outcome in result.outcomes} == set(CASES)
    assert result == alone


def test_every_machine_that_measured_a_release_is_compared_with_it(tmp_path, repository):
    folder, (_, released, last) = repository
    names = [f"machine-{number}" for number in range(4)]
    before = [run(name, day, released) for day in (0, 1) for name in names]
    after = [run(name, day, last) for day in range(2, 8) for name in names]
    for current in after[-4:]:
        result = looked_back(tmp_path / "history.duckdb", [*before, *after], current, folder)
        assert {outcome.case for outcome in result.outcomes} == set(CASES)
        assert all("against 2 runs until 2026-09-02" in outcome.reason for outcome in result.outcomes)


def test_a_case_that_recent_runs_left_out_is_compared_with_the_last_that_had_it(tmp_path, repository):
    folder, _ = repository
    whole = [run("machine", day, slip=0.005) for day in range(0, 20, 2)]
    narrowed = [run("machine", day, cases=CASES[1:]) for day in range(20, DAYS)]
    current = run("machine", DAYS, slip=0.005)
    result = looked_back(tmp_path / "history.duckdb", [*whole, *narrowed, current], current, folder)
    against = {outcome.case: outcome.reason for outcome in result.outcomes if "30 days" in outcome.metric}
    assert set(against) == set(CASES)
    assert "against 3 runs until 2026-09-19" in against[CASES[0]]
    assert "against 3 runs until 2026-10-04" in against[CASES[1]]
    changes = {outcome.case: outcome.change for outcome in result.outcomes}
    assert changes[CASES[0]] == pytest.approx(1.005 ** (DAYS - 16) - 1, abs=0.03)  # runs differ by 0.3 %
    assert max(changes[case] for case in CASES[1:]) < 0.03


def test_a_machine_that_has_no_run_from_then_is_told(tmp_path, repository):
    folder, (_, released, last) = repository
    old = [run("old", day, released) for day in range(5)]
    current = run("new", DAYS, last)
    result = looked_back(tmp_path / "history.duckdb", [*old, current], current, folder)
    assert result.outcomes == ()
    assert [remark.split(":")[0] for remark in result.remarks] == ["v1.0", "30 days ago"]
    assert all("on this kind of machine" in remark for remark in result.remarks)
