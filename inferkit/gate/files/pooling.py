"""Several runs as one: their replicates pooled, for a side of a comparison or for a baseline of several machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from inferkit.errors import BaselineError
from inferkit.gate.files.run_file import RunCase, RunFile, RunReference
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.side import SideFacts


def pooled_run(runs: Sequence[RunFile]) -> RunFile:
    """Runs of one commit as one run: what each measured of a case are replicates of that case.

    Machines of one kind (one fingerprint) differ a little; replicates of several make a baseline for all of them. A
    case that was measured as INVALID in one run is so in all. BaselineError for runs that inferkit did not write, of
    different commits, or of different networks under one name.
    """
    first, *others = runs
    if not others:
        return first
    for run in runs:
        if not run.ours:
            raise BaselineError(f"{run.name}: was not written by `pytest bench`; it holds no replicates to promote")
        if run.commit != first.commit:
            raise BaselineError(
                f"{run.name} was measured at commit {run.commit[:12] or 'unknown'}, {first.name} at "
                f"{first.commit[:12] or 'unknown'}: what is pooled must be of one"
            )
    cases: dict[str, RunCase] = {}
    for run in runs:
        for name, case in run.cases.items():
            known = cases.get(name)
            if known is not None:
                _require_alike(known, case, name, run.name)
            cases[name] = case if known is None else pooled_case(known, case)
    declared: dict[str, dict[str, None]] = {}
    for run in runs:
        for slug, names in run.declared.items():
            declared.setdefault(slug, {}).update(dict.fromkeys(names))
    return replace(
        first,
        name=" + ".join(Path(run.name).name for run in runs),
        fingerprints={slug: found for run in runs for slug, found in run.fingerprints.items()},
        cases=cases,
        accuracy={name: found for run in runs for name, found in run.accuracy.items()},
        outcomes=tuple(outcome for run in runs for outcome in run.outcomes if is_of_replicates(run, outcome)),
        declared={slug: tuple(names) for slug, names in declared.items()},
        narrowed=any(run.narrowed for run in runs),
        smoke=any(run.smoke for run in runs),
        date=max(run.date for run in runs),
        dirty=any(run.dirty for run in runs),
        references=pooled_references(runs),
        failures={name: reason for run in runs for name, reason in run.failures.items()},
    )


def is_of_replicates(run: RunFile, outcome: Outcome) -> bool:
    """Not so of a case that was refused unmeasured (by workers of pytest-xdist): it spoils nobody's replicates."""
    return outcome.verdict is not Verdict.INVALID or outcome.case in run.cases or outcome.case in run.accuracy


def pooled_case(known: RunCase, more: RunCase) -> RunCase:
    """Replicates of two files as one's, and the figures beside them; the other facts are those of `known`.

    Where one of them has several builds, each file's builds are its own.
    """
    builds: tuple[int, ...] = ()
    if known.builds or more.builds:
        first = known.builds or (0,) * len(known.log_medians)
        others = more.builds or (0,) * len(more.log_medians)
        builds = first + tuple(max(first) + 1 + number for number in others)
    facts = SideFacts.of(known.facts).pooled(SideFacts.of(more.facts)).__dict__
    memories = [value for case in (known, more) if isinstance(value := case.facts.get("memory"), int | float)]
    memory = {"memory": max(memories)} if memories else {}
    return replace(
        known,
        log_medians=known.log_medians + more.log_medians,
        builds=builds,
        facts={**known.facts, **facts, **memory},
    )


def pooled_references(files: Sequence[RunFile]) -> dict[str, RunReference]:
    """The references of files by fingerprint slug, pooled; none where versions differ or a file has none."""
    found: dict[str, RunReference] = {}
    measured = {slug for file in files for slug in file.fingerprints}
    for slug in measured:
        known = [file.references.get(slug) for file in files if slug in file.fingerprints]
        if None not in known and len({each.name for each in known if each}) == 1:
            pooled = tuple(value for each in known if each for value in each.log_medians)
            assert known[0] is not None
            found[slug] = replace(known[0], log_medians=pooled)
    return found


def _require_alike(known: RunCase, more: RunCase, name: str, file: str) -> None:
    if known.fingerprint != more.fingerprint:
        raise BaselineError(f"{file}: {name} was measured on another kind of machine than in the files before it")
    if known.facts.get("network") != more.facts.get("network"):
        raise BaselineError(f"{file}: {name} is another network than in the files before it")
