"""Moving a baseline: what a run would change in it, and what is refused without a reason given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inferkit import __version__
from inferkit.errors import BaselineError
from inferkit.gate.builds import comparable, judge_levels
from inferkit.gate.comparison import side_case
from inferkit.gate.files.baseline import AccuracyBaseline, Baseline, BaselineStore, CaseBaseline, ReferenceBaseline
from inferkit.gate.files.layer_store import read_layers, write_layers
from inferkit.gate.files.run_file import RunCase, RunFile
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.margins import CPU_MARGIN
from inferkit.gate.outcome import REFERENCE, Outcome, Verdict
from inferkit.gate.reference import Movement, moved_between
from inferkit.gate.rules.default import default_rule
from inferkit.gate.rules.rule import CaseLatency, Rule
from inferkit.gate.side import SideFacts, judge_sides
from inferkit.measure.layers.table import LayerTable, readable_table

# Replicates of the reference that a baseline keeps when runs of parts of its cases add theirs.
_MOST_REFERENCES = 12
_REFUSED = (Verdict.REGRESSED, Verdict.INVALID)


@dataclass(frozen=True)
class Promotion:
    """What happens to one baseline. `outcomes` compare the run's latencies and other figures with what it had.

    `removed` are cases that the matrix no longer declares, `kept` those that it does but the run did not measure (of
    which it `failed` at some), `left_out` those measured as INVALID that keep what they had. `refused` is empty, or
    what needs a reason to be promoted. `layers` are the layer tables that are kept beside the baseline, `remarks` tell
    what the reference network says of the machine.
    """

    path: Path
    before: Baseline | None
    after: Baseline
    outcomes: tuple[Outcome, ...]
    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    refused: tuple[Outcome, ...] = field(default=())
    layers: Mapping[str, LayerTable] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


def plan_promotion(
    run: RunFile,
    store: BaselineStore,
    *,
    accept: str | None = None,
    skip_invalid: bool = False,
    rule: Rule | None = None,
) -> list[Promotion]:
    """What promoting this run would do, one entry per fingerprint; nothing is written.

    `accept` is the reason for taking regressed and INVALID cases; it is stored with them. `skip_invalid` leaves out
    those that were not measured properly. BaselineError for a run that inferkit did not write, that measured nothing
    properly, or for a stored baseline that is damaged.
    """
    if not run.ours:
        raise BaselineError(f"{run.name}: was not written by `pytest bench`; it holds no replicates to promote")
    if run.smoke:
        raise BaselineError(f"{run.name}: was made with --benchmark-disable; its times say nothing")
    stored = {slug: store.find(fingerprint) for slug, fingerprint in run.fingerprints.items()}
    planned = (_Plan(run, slug, before, skip_invalid) for slug, before in stored.items())
    return [plan.promotion(store, accept, rule or default_rule(measuring=False)) for plan in planned]


class _Plan:
    """One fingerprint of a run beside its baseline."""

    def __init__(self, run: RunFile, slug: str, before: Baseline | None, skip_invalid: bool) -> None:
        self.run, self.slug, self.before = run, slug, before
        self.fingerprint: Fingerprint = run.fingerprints[slug]
        mine = {name: case for name, case in run.cases.items() if case.fingerprint == slug}
        # Where the reference network moved the measurement is sound: the comparison below comes to its own verdict.
        self.spoiled = {
            outcome.case: outcome.reason or "measured as INVALID"
            for outcome in run.outcomes
            if outcome.verdict is Verdict.INVALID and outcome.machine is None
        }
        self.left_out = tuple(name for name in mine if name in self.spoiled) if skip_invalid else ()
        self.cases = {name: case for name, case in mine.items() if name not in self.left_out}
        self.accuracies = {name: found for name, found in run.accuracy.items() if found.fingerprint == slug}
        self.old: Mapping[str, CaseBaseline] = before.cases if before else {}
        declared = set(run.declared.get(slug, ()))
        self.removed = tuple(name for name in self.old if declared and name not in declared)
        self.kept = {
            name: case for name, case in self.old.items() if name not in self.cases and name not in self.removed
        }
        stored = before.accuracy if before else {}
        self.kept_accuracies = {name: case for name, case in stored.items() if name not in self.accuracies}

    def promotion(self, store: BaselineStore, accept: str | None, rule: Rule) -> Promotion:
        moved = self._moved()
        outcomes = self._compared(rule)
        if moved is not None:
            outcomes = [moved.blamed(outcome) for outcome in outcomes]
        refused = self._refused(outcomes, moved)
        reasons = {outcome.case: accept for outcome in refused} if accept else {}
        accuracies = {
            name: AccuracyBaseline(round(a.top1, 6), round(a.top5, 6), a.images, reasons.get(name))
            for name, a in self.accuracies.items()
        }
        after = Baseline(
            self.fingerprint,
            {**self.kept, **{name: _stored(case, reasons.get(name)) for name, case in self.cases.items()}},
            {**self.kept_accuracies, **accuracies},
            _origin(self.run),
            self._reference(moved),
        )
        line = moved.line(outcomes) if moved is not None else ""
        return Promotion(
            store.path(self.fingerprint),
            self.before,
            after,
            tuple(outcomes),
            self.removed,
            (*self.kept, *self.kept_accuracies),
            self.left_out,
            () if accept else tuple(refused),
            {
                **{name: table for name, table in _kept_layers(store, self.fingerprint).items() if name in self.kept},
                **{name: readable_table(case.facts.get("layers")) for name, case in self.cases.items()},
            },
            (line,) if line else (),
            tuple(self.run.failures),
        )

    def _compared(self, rule: Rule) -> list[Outcome]:
        """Latencies, and what else changed: on the level that `compare` judges them on, processes or engines."""
        before = {name: _as_measured(self.old[name], self.slug) for name in self.cases if name in self.old}
        suite = [self._evidence(name, case, before.get(name)) for name, case in self.cases.items()]
        rebuilt = {
            name: bool(case.builds or (name in before and before[name].builds)) for name, case in self.cases.items()
        }
        pairs = [(name, self.cases[name], there) for name, there in before.items()]
        sides = judge_sides([side_case(name, here, there, _margin(here.margin)) for name, here, there in pairs])
        changed = [side for side in sides if side.verdict in (Verdict.REGRESSED, Verdict.IMPROVED)]
        return [*judge_levels(rule, suite, rebuilt), *changed]

    def _evidence(self, name: str, here: RunCase, there: RunCase | None) -> CaseLatency:
        now: tuple[float, ...] = here.log_medians
        before: tuple[float, ...] = ()
        if there is not None:
            now, before = comparable(now, here.builds, there.log_medians, there.builds)
        invalid = (self.spoiled[name],) if name in self.spoiled else ()
        return CaseLatency(name, now, before, _margin(here.margin), no_baseline="new", invalid=invalid)

    def _refused(self, outcomes: Sequence[Outcome], moved: Movement | None) -> list[Outcome]:
        """What must not become a baseline without a reason: worse, INVALID, or of two states of the machine."""
        refused = [outcome for outcome in outcomes if outcome.verdict in _REFUSED]
        known = {(outcome.case, outcome.metric) for outcome in refused}
        refused += [
            outcome
            for outcome in self.run.outcomes
            if outcome.verdict in _REFUSED
            and outcome.machine is None
            and (outcome.case, outcome.metric) not in known
            and (outcome.case in self.cases or outcome.case in self.accuracies)
        ]
        if moved is not None and moved.moved and self.kept:
            reason = f"it moved by {moved.change:+.1%}: the machine did; {len(self.kept)} cases would stay as before"
            hint = "promote a run of all cases"
            refused.append(Outcome(moved.name, REFERENCE, Verdict.INVALID, reason=reason, hint=hint))
        return refused

    def _moved(self) -> Movement | None:
        """How the reference network moved since the stored baseline; None where one side has none of this version."""
        now = self.run.references.get(self.slug)
        before = self.before.reference if self.before else None
        if now is None or before is None or now.name != before.name:
            return None
        both = [(self.old[name].log_medians, case.log_medians) for name, case in self.cases.items() if name in self.old]
        return moved_between(now.name, before.log_medians, now.log_medians, both, _margin(now.margin))

    def _reference(self, moved: Movement | None) -> ReferenceBaseline | None:
        """The run's; with the stored one's replicates where cases of then are kept, and the machine is as it was."""
        now = self.run.references.get(self.slug)
        before = self.before.reference if self.before else None
        if now is None:
            return before if self.kept else None
        logs = tuple(round(value, 6) for value in now.log_medians)
        if before is not None and self.kept and moved is not None and not moved.moved:
            logs = (*before.log_medians, *logs)[-_MOST_REFERENCES:]
        return ReferenceBaseline(now.name, logs)


def _kept_layers(store: BaselineStore, fingerprint: Fingerprint) -> Mapping[str, LayerTable]:
    """The layer tables there are; none of a damaged file, which is written anew: no verdict rests on it."""
    try:
        return read_layers(store.path(fingerprint))
    except BaselineError:
        return {}


def _margin(stated: float | None) -> float:
    return CPU_MARGIN if stated is None else stated


def _as_measured(case: CaseBaseline, slug: str) -> RunCase:
    """A stored case as the file of its run had it."""
    return RunCase(case.log_medians, slug, facts=case.__dict__, builds=case.builds)


def _stored(case: RunCase, accepted: str | None) -> CaseBaseline:
    facts: Mapping[str, Any] = case.facts
    side = SideFacts.of(facts)
    # Six decimals of a logarithm are a millionth of the time: enough, and a review can read them.
    return CaseBaseline(
        tuple(round(value, 6) for value in case.log_medians),
        _whole(facts.get("memory")),
        _whole(facts.get("device_memory")),
        _whole(facts.get("engine_bytes")),
        tuple(round(value, 6) for value in facts.get("build_seconds") or ()),
        tuple(round(value, 6) for value in facts.get("cold_start") or ()),
        accepted,
        tuple(round(value, 6) for value in side.log_p99),
        side.memories,
        case.builds,
        text if isinstance(text := facts.get("network"), str) else None,
        tuple(round(value, 6) for value in side.log_execution),
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _origin(run: RunFile) -> dict[str, str]:
    told = {"run": Path(run.name).name, "commit": run.commit, "date": run.date, "inferkit": __version__}
    return {name: value for name, value in told.items() if value}


def promote(promotions: list[Promotion], store: BaselineStore) -> list[Path]:
    """Write the planned baselines. BaselineError, and nothing written, where anything is refused."""
    refused = [outcome for promotion in promotions for outcome in promotion.refused]
    if refused:
        lines = "".join(f"\n  {outcome.line}" for outcome in refused)
        skip = any(outcome.verdict is Verdict.INVALID and outcome.machine is None for outcome in refused)
        other = "; --skip-invalid lets the cases measured as INVALID keep what they had" if skip else ""
        raise BaselineError(
            f"{len(refused)} regressed or INVALID figures are not promoted without a reason:{lines}\n"
            f"say why with --accept-regression REASON, which is stored in the baseline{other}"
        )
    written = []
    for promotion in promotions:
        if _holds_anything(promotion.after):
            path = store.write(promotion.after)
            layers = write_layers(path, promotion.layers)
            written += [path] if layers is None else [path, layers]
    return written


def _holds_anything(baseline: Baseline) -> bool:
    return bool(baseline.cases or baseline.accuracy)
