"""Several runs as one: their replicates pooled, for base or head of a comparison, or a baseline of several machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path

from inferkit.errors import BaselineError
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.run import CaseRun, Run


def pooled(runs: Sequence[Run]) -> Run:
    """Runs as one run: what each measured of a case are replicates of that case.

    Machines of one kind (one fingerprint) differ a little; replicates of several make a baseline for all of them. A
    case that was measured as INVALID in one run, or on machines of several kinds, is INVALID.
    """
    first, *others = runs
    if not others:
        return first
    fingerprints = {slug: fingerprint for run in runs for slug, fingerprint in run.fingerprints.items()}
    cases: dict[str, CaseRun] = {}
    invalid = {name: reason for run in runs for name, reason in run.invalid.items()}
    declared: dict[str, dict[str, None]] = {}
    for run in runs:
        for name, case in run.cases.items():
            first_case = cases.get(name)
            if first_case is not None and first_case.fingerprint != case.fingerprint:
                machines = fingerprints[first_case.fingerprint], fingerprints[case.fingerprint]
                differences = machines[0].differences(machines[1], ("one", "another"))
                invalid[name] = f"its files are of different machines ({'; '.join(differences)})"
            cases[name] = case if first_case is None else first_case.pooled(case)
        for slug, names in run.declared.items():
            declared.setdefault(slug, {}).update(dict.fromkeys(names))
    return replace(
        first,
        name=" + ".join(Path(run.name).name for run in runs),
        fingerprints=fingerprints,
        cases=cases,
        accuracy={name: case for run in runs for name, case in run.accuracy.items()},
        references=_pooled_references([run.references for run in runs], runs),
        memory_references=_pooled_references([run.memory_references for run in runs], runs),
        outcomes=tuple(outcome for run in runs for outcome in run.outcomes if _of_replicates(run, outcome)),
        invalid=invalid,
        failures={name: reason for run in runs for name, reason in run.failures.items()},
        declared={slug: tuple(names) for slug, names in declared.items()},
        origin=replace(
            first.origin,
            source=" + ".join(Path(run.name).name for run in runs),
            date=max(run.origin.date for run in runs),
            dirty=any(run.origin.dirty for run in runs),
        ),
        ours=all(run.ours for run in runs),
        narrowed=any(run.narrowed for run in runs),
        smoke=any(run.smoke for run in runs),
        busy_host=tuple(dict.fromkeys(name for run in runs for name in run.busy_host)),
        files=sum(run.files for run in runs),
        remarks=tuple(remark for run in runs for remark in run.remarks),
    )


def require_alike(runs: Sequence[Run]) -> None:
    """BaselineError for runs that make no baseline together: of others, of several commits, machines or networks."""
    first = runs[0]
    cases: dict[str, CaseRun] = {}
    for run in runs:
        if not run.ours:
            raise BaselineError(
                f"{run.name}: was not written by a pytest run with inferkit; it holds no replicates to promote"
            )
        if run.origin.commit != first.origin.commit:
            raise BaselineError(
                f"{run.name} was measured at commit {run.origin.commit[:12] or 'unknown'}, {first.name} at "
                f"{first.origin.commit[:12] or 'unknown'}: what is pooled must be of one"
            )
        for name, case in run.cases.items():
            known = cases.setdefault(name, case)
            if known.fingerprint != case.fingerprint:
                raise BaselineError(
                    f"{run.name}: {name} was measured on another kind of machine than in the files before it"
                )
            if known.network != case.network or sorted(known.files.values()) != sorted(case.files.values()):
                raise BaselineError(f"{run.name}: {name} is another network than in the files before it")


def _of_replicates(run: Run, outcome: Outcome) -> bool:
    """Not so of a case that was refused unmeasured, by workers of pytest-xdist: that spoils no other run."""
    return outcome.verdict is not Verdict.INVALID or outcome.case in run.cases or outcome.case in run.accuracy


def _pooled_references(references_of: Sequence[Mapping[str, CaseRun]], runs: Sequence[Run]) -> dict[str, CaseRun]:
    """The references by fingerprint slug, pooled; none where versions differ or a run has none."""
    references: dict[str, CaseRun] = {}
    for slug in dict.fromkeys(slug for run in runs for slug in run.fingerprints):
        pairs = zip(references_of, runs, strict=True)
        measured = [of_run.get(slug) for of_run, run in pairs if slug in run.fingerprints]
        if None not in measured and len({each.case for each in measured if each}) == 1:
            references[slug] = reduce(CaseRun.pooled, filter(None, measured))
    return references
