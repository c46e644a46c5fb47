"""Moving a baseline: what a run would change in it, and what is refused without a reason given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from inferkit.errors import BaselineError
from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.files.layer_store import read_layers, write_layers
from inferkit.gate.files.output_store import read_outputs, write_outputs
from inferkit.gate.judging import judge
from inferkit.gate.machines.carrying import Carried, carried
from inferkit.gate.metrics import CPU_MARGIN, LATENCY, REFERENCE
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.reference import Movement
from inferkit.gate.rules.outputs import is_changed
from inferkit.gate.run import AccuracyRun, CaseRun, Measured, Origin, Run
from inferkit.measure.machine import busy_host
from inferkit.version import __version__

# Replicates of the reference that a baseline keeps when runs of parts of its cases add theirs.
_MOST_REFERENCES = 12
_DIGITS = 6  # of a percentage
_REFUSED = (Verdict.REGRESSED, Verdict.SUSPECT, Verdict.FAILED, Verdict.WAIVED, Verdict.INVALID)
_Kind = TypeVar("_Kind", bound=Measured)
_Beside = TypeVar("_Beside")


@dataclass(frozen=True)
class Promotion:
    """What happens to one baseline: `base` is the stored one, None where there is none, `head` what it becomes.

    `outcomes` compare the run's latencies and other figures with what it had. `removed` are cases that the matrix no
    longer declares, `kept` those that it does but the run did not measure (of which it `failed` at some), `left_out`
    those measured as INVALID that keep what they had. `refused` is empty, or what needs a reason to be promoted.
    `remarks` say what the reference network says of the machine. `carried` is what it takes over from the baseline of
    another machine.
    """

    path: Path
    base: Run | None
    head: Run
    outcomes: tuple[Outcome, ...]
    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    refused: tuple[Outcome, ...] = ()
    remarks: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    carried: Carried = field(default_factory=Carried)


def plan_promotion(
    run: Run,
    store: BaselineStore,
    *,
    accept: str | None = None,
    skip_invalid: bool = False,
    accept_busy_host: bool = False,
    source: Run | None = None,
    engine_parts: Collection[str] = (),
) -> list[Promotion]:
    """What promoting this run would do, one entry per fingerprint; nothing is written.

    `accept` is the reason for taking regressed and INVALID cases; it is stored with them. `skip_invalid` leaves out
    those that were not measured properly. `accept_busy_host` takes what was measured on a busy host too, and says so in
    the baseline. `source` is the baseline of another machine that accuracies and sizes are taken over from
    (carrying.py); its engines depend on `engine_parts` of it. BaselineError for a run that inferkit did not write, that
    measured nothing properly, or for a stored baseline that is damaged.
    """
    if not run.ours:
        raise BaselineError(
            f"{run.name}: was not written by a pytest run with inferkit; it holds no replicates to promote"
        )
    if run.smoke:
        raise BaselineError(f"{run.name}: was made with --benchmark-disable; its times say nothing")
    if run.busy_host and not accept_busy_host:
        count = "1 case was" if len(run.busy_host) == 1 else f"{len(run.busy_host)} cases were"
        raise BaselineError(
            f"{run.name}: {count} measured on a busy machine, and such times make no reliable baseline; measure "
            f"again on a quiet one, or promote with {busy_host.OPTION}"
        )
    stored = {slug: store.find(fingerprint) for slug, fingerprint in run.fingerprints.items()}
    taken = {slug: _carried(run, slug, source, engine_parts) for slug in stored}
    return [_planned(run, slug, base, store, accept, skip_invalid, taken[slug]) for slug, base in stored.items()]


def _carried(run: Run, slug: str, source: Run | None, engine_parts: Collection[str]) -> Carried:
    """Nothing where there is no source, or it is of another backend."""
    if source is None:
        return Carried()
    (of_source,) = source.fingerprints.values()
    if of_source.as_dict().get("backend") != run.fingerprints[slug].as_dict().get("backend"):
        return Carried()
    return carried(source, run.of(slug), slug, engine_parts)


def _planned(
    run: Run,
    slug: str,
    stored: Run | None,
    store: BaselineStore,
    accept: str | None,
    skip_invalid: bool,
    taken: Carried,
) -> Promotion:
    mine, base = run.of(slug), stored or Run()
    left_out = tuple(name for name in mine.cases if name in run.invalid) if skip_invalid else ()
    measured = {name: case for name, case in mine.cases.items() if name not in left_out}
    declared = set(run.declared.get(slug, ()))
    removed = tuple(name for name in base.cases if declared and name not in declared)
    path = store.path(run.fingerprints[slug])
    tables, outputs = _readable(read_layers, path), _readable(read_outputs, path)
    base = replace(base, cases={name: replace(case, outputs=outputs.get(name)) for name, case in base.cases.items()})
    kept = {
        name: replace(case, layers=tables.get(name, ()))
        for name, case in base.cases.items()
        if name not in measured and name not in removed
    }
    carried_accuracies = {name: case for name, case in taken.accuracy.items() if name not in base.accuracy}
    kept_accuracies = {name: case for name, case in base.accuracy.items() if name not in mine.accuracy}
    head = replace(mine, cases=measured, failures={})
    judged = judge(
        replace(base, cases={name: case for name, case in base.cases.items() if name in measured}, accuracy={}),
        replace(head, accuracy={}),
        default_margin=CPU_MARGIN,
        absent=dict.fromkeys(measured, "new"),
    )
    outcomes = [
        each
        for each in judged.outcomes
        if each.metric == LATENCY or each.verdict in _SHOWN or each.machine is not None or is_changed(each)
    ]
    outcomes += taken.outcomes
    first = {name: case for name, case in measured.items() if name not in base.cases}
    moved, memory_moved = judged.movements.get(slug), judged.memory_movements.get(slug)
    refused = [outcome for outcome in outcomes if outcome.verdict in _REFUSED or outcome.machine is not None]
    refused += _refused_in_run(head, refused)
    waivers = {(each.case, each.metric): each for each in mine.outcomes if each.verdict is Verdict.WAIVED}
    refused = [waivers.get((each.case, each.metric), each) for each in refused]
    refused += [each for each in waivers.values() if each.case in removed]
    refused += [_of_two_states(each, len(kept)) for each in (moved, memory_moved) if kept and each and each.moved]
    reasons = dict.fromkeys(run.busy_host, "measured on a busy machine")
    reasons |= {outcome.case: accept for outcome in refused} if accept else {}
    reference = _reference(mine.references.get(slug), base.references.get(slug), bool(kept), moved)
    memory = _reference(mine.memory_references.get(slug), base.memory_references.get(slug), bool(kept), memory_moved)
    after = Run(
        fingerprints=mine.fingerprints,
        cases={**kept, **_accepted({**measured, **taken.into(first)}, reasons)},
        accuracy={
            **carried_accuracies,
            **kept_accuracies,
            **_accepted({name: _rounded(case) for name, case in mine.accuracy.items()}, reasons),
        },
        references={} if reference is None else {slug: reference},
        memory_references={} if memory is None else {slug: memory},
        origin=Origin(
            Path(run.name).name, run.origin.commit, run.origin.date, version=__version__, dirty=run.origin.dirty
        ),
    )
    return Promotion(
        path,
        stored,
        after,
        tuple(outcomes),
        removed,
        (*kept, *carried_accuracies, *kept_accuracies),
        left_out,
        () if accept else tuple(refused),
        (*judged.remarks, *(_no_longer_waived(refused) if accept else ())),
        tuple(run.failures),
        replace(taken, accuracy=carried_accuracies),
    )


def _no_longer_waived(accepted: Sequence[Outcome]) -> list[str]:
    """A line for each waived figure that the new baseline has: nothing fails any more that its waiver is about."""
    waived = [outcome for outcome in accepted if outcome.verdict is Verdict.WAIVED]
    return [f"{each.case} {each.metric} was waived: with this baseline its waiver can go" for each in waived]


# Of the metrics beside the latency only what changed is shown.
_SHOWN = (Verdict.REGRESSED, Verdict.SUSPECT, Verdict.FAILED, Verdict.IMPROVED, Verdict.INVALID)


def _refused_in_run(head: Run, refused: Sequence[Outcome]) -> list[Outcome]:
    """What the run itself was judged as: it must not become a baseline without a reason either."""
    named = {(outcome.case, outcome.metric) for outcome in refused}
    return [
        outcome
        for outcome in head.outcomes
        if outcome.verdict in _REFUSED
        and outcome.machine is None
        and (outcome.case, outcome.metric) not in named
        and (outcome.case in head.cases or outcome.case in head.accuracy)
    ]


def _of_two_states(moved: Movement, kept: int) -> Outcome:
    reason = f"it moved by {moved.change:+.1%}: the machine did; {kept} cases would stay as before"
    return Outcome(moved.name, REFERENCE, Verdict.INVALID, reason=reason, hint="promote a run of all cases")


def _accepted(cases: Mapping[str, _Kind], reasons: Mapping[str, str]) -> dict[str, _Kind]:
    return {name: replace(case, accepted=reasons.get(name)) for name, case in cases.items()}


def _rounded(case: AccuracyRun) -> AccuracyRun:
    top5 = None if case.top5 is None else round(case.top5, _DIGITS)
    return replace(case, top1=round(case.top1, _DIGITS), top5=top5)


def _reference(head: CaseRun | None, base: CaseRun | None, kept: bool, moved: Movement | None) -> CaseRun | None:
    """The run's; with the stored one's replicates where cases are kept, and the machine is as it was."""
    if head is None:
        return base if kept else None
    if base is None or not kept or moved is None or moved.moved:
        return head
    (datum,) = base.data
    return replace(head, data={datum: (*base.data[datum], *head.data[datum])[-_MOST_REFERENCES:]})


def _readable(read: Callable[[Path], Mapping[str, _Beside]], path: Path) -> Mapping[str, _Beside]:
    """What lies beside a baseline; nothing of a damaged file, which is written anew."""
    try:
        return read(path)
    except BaselineError:
        return {}


def promote(promotions: list[Promotion], store: BaselineStore) -> list[Path]:
    """Write the planned baselines. BaselineError, and nothing written, where anything is refused."""
    refused = [outcome for promotion in promotions for outcome in promotion.refused]
    if refused:
        lines = "".join(f"\n  {outcome.line}" for outcome in refused)
        skip = any(outcome.verdict is Verdict.INVALID and outcome.machine is None for outcome in refused)
        other = "; --skip-invalid lets the cases measured as INVALID keep what they had" if skip else ""
        raise BaselineError(
            f"{len(refused)} regressed, waived or INVALID figures are not promoted without a reason:{lines}\n"
            f"say why with --accept-regression REASON, which is stored in the baseline{other}"
        )
    paths = []
    for promotion in promotions:
        if promotion.head.cases or promotion.head.accuracy:
            path = store.write(promotion.head)
            layers = write_layers(path, {name: case.layers for name, case in promotion.head.cases.items()})
            outputs = write_outputs(path, {name: case.outputs for name, case in promotion.head.cases.items()})
            paths += [written for written in (path, layers, outputs) if written is not None]
    return paths
