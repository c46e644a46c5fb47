"""The runs that the ratchet compares with: those of the last release, a git tag, and those of 30 days ago."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inferkit.errors import UsageError
from inferkit.gate.history.ratchet import Moment, days_ago, needed, ratchet, release
from inferkit.gate.history.series import joined
from inferkit.gate.history.store import History
from inferkit.gate.history.summary import RunInfo
from inferkit.gate.metrics import LATENCY, REFERENCE
from inferkit.gate.outcome import Outcome
from inferkit.suite.repository import git


@dataclass(frozen=True)
class Ratchet:
    """The ratchet's outcomes of one run; `remarks` say what it could not compare with."""

    outcomes: tuple[Outcome, ...]
    remarks: tuple[str, ...]


def ratchet_of(history: History, current: RunInfo, folder: Path, tag: str | None = None) -> Ratchet:
    """Compare a run of the history with the release before it (`tag`: with that one) and with 30 days ago.

    `folder` lies in the repository that has the tags. UsageError for a `tag` that it does not have.
    """
    runs = [run for run in history.runs(current.project) if run.date <= current.date]
    moments: list[Moment] = []
    remarks: list[str] = []
    try:
        released: Moment | str = _release(runs, current, folder, tag)
    except UsageError:
        if tag is not None:
            raise
        released = (
            "there is no release to compare with: no tag can be reached from this commit (a shallow clone has none)"
        )
    aged = days_ago(runs, current.date) or "the history has no run that is 30 days older than this one"
    for moment in (released, aged):
        if isinstance(moment, str):
            remarks.append(moment)
        else:
            moments.append(moment)
    if not moments:
        return Ratchet((), tuple(remarks))
    latencies = joined(
        each
        for ids, last in needed(runs, current, moments)
        for each in history.series(metric=LATENCY, project=current.project, runs=ids, like=current.run_id, last=last)
    )
    seen = {point.run.run_id for each in latencies for point in each.points}
    references = history.series(metric=REFERENCE, project=current.project, runs=sorted(seen), like=current.run_id)
    outcomes = ratchet([*latencies, *references], current.run_id, moments)
    compared = {outcome.metric for outcome in outcomes}
    remarks += [
        f"{moment.name}: no case of this run has valid measurements in both runs on this kind of machine"
        for moment in moments
        if moment.metric not in compared
    ]
    return Ratchet(tuple(outcomes), tuple(remarks))


def _release(runs: Sequence[RunInfo], current: RunInfo, folder: Path, tag: str | None) -> Moment | str:
    """The runs of the release; or why there are none. UsageError where git knows no release."""
    if tag is None:
        # A commit that is a release is compared with the one before.
        what = "there is no release"
        tag = git(folder, "describe", "--tags", "--abbrev=0", f"{current.commit or 'HEAD'}^", what=what)
    hashes = git(folder, "rev-list", tag, "--", what=f"{tag!r} is no release of the repository of {folder}").split()
    commits = frozenset(hashes)
    earlier = [run for run in runs if run.run_id != current.run_id]
    return release(earlier, tag, commits.__contains__) or f"the history has no run of {tag} or before"
