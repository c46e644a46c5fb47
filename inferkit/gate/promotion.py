"""Moving a baseline: what a run would change in it, and what is refused without a reason given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inferkit import __version__
from inferkit.errors import BaselineError
from inferkit.gate.baseline import AccuracyBaseline, Baseline, BaselineStore, CaseBaseline
from inferkit.gate.default import default_rule
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.layer_store import read_layers, write_layers
from inferkit.gate.margins import CPU_MARGIN
from inferkit.gate.outcome import Outcome
from inferkit.gate.rule import CaseLatency, Rule
from inferkit.gate.run_file import RunCase, RunFile
from inferkit.gate.side import SideFacts
from inferkit.gate.verdict import Verdict
from inferkit.measure.layer_table import LayerTable, readable_table


@dataclass(frozen=True)
class Promotion:
    """What happens to one baseline. `outcomes` compare the run's cases with what the baseline had.

    `removed` are cases that the matrix no longer declares, `kept` those that it does but the run did not measure,
    `left_out` those measured as INVALID. `refused` is empty, or what needs a reason to be promoted. `layers` are the
    layer tables that are kept beside the baseline.
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


def plan_promotion(
    run: RunFile, store: BaselineStore, *, accept: str | None = None, rule: Rule | None = None
) -> list[Promotion]:
    """What promoting this run would do, one entry per fingerprint; nothing is written.

    `accept` is the reason for taking regressions; it is stored with their cases. BaselineError for a run that inferkit
    did not write, that measured nothing properly, or for a stored baseline that is damaged.
    """
    if not run.ours:
        raise BaselineError(f"{run.name}: was not written by `pytest bench`; it holds no replicates to promote")
    if run.smoke:
        raise BaselineError(f"{run.name}: was made with --benchmark-disable; its times say nothing")
    return [_plan(run, slug, fingerprint, store, accept, rule) for slug, fingerprint in run.fingerprints.items()]


def _plan(
    run: RunFile, slug: str, fingerprint: Fingerprint, store: BaselineStore, accept: str | None, rule: Rule | None
) -> Promotion:
    before = store.find(fingerprint)
    invalid = {outcome.case for outcome in run.outcomes if outcome.verdict is Verdict.INVALID}
    mine = {name: case for name, case in run.cases.items() if case.fingerprint == slug}
    cases = {name: case for name, case in mine.items() if name not in invalid}
    outcomes = _compared(cases, before, rule or default_rule(measuring=False))
    accuracies = {name: found for name, found in run.accuracy.items() if found.fingerprint == slug}
    refused = [outcome for outcome in outcomes if outcome.verdict is Verdict.REGRESSED]
    again = {outcome.case for outcome in refused}
    refused += [
        outcome
        for outcome in run.outcomes
        if outcome.verdict is Verdict.REGRESSED
        and outcome.case not in again
        and (outcome.case in cases or outcome.case in accuracies)
    ]
    reasons = {outcome.case: accept for outcome in refused} if accept else {}
    old = before.cases if before else {}
    declared = set(run.declared.get(slug, ()))
    removed = [name for name in old if declared and name not in declared]
    kept = {name: case for name, case in old.items() if name not in cases and name not in removed}
    fresh = {name: _stored(case, reasons.get(name)) for name, case in cases.items()}
    measured = {
        name: AccuracyBaseline(round(found.top1, 6), round(found.top5, 6), found.images)
        for name, found in accuracies.items()
    }
    after = Baseline(
        fingerprint,
        {**kept, **fresh},
        {**(before.accuracy if before else {}), **measured},
        _origin(run),
    )
    return Promotion(
        store.path(fingerprint),
        before,
        after,
        tuple(outcomes),
        tuple(removed),
        tuple(kept),
        tuple(name for name in mine if name in invalid),
        () if accept else tuple(refused),
        {
            **{name: table for name, table in _kept_layers(store.path(fingerprint)).items() if name in kept},
            **{name: readable_table(case.facts.get("layers")) for name, case in cases.items()},
        },
    )


def _kept_layers(path: Path) -> Mapping[str, LayerTable]:
    """The layer tables there are; none of a damaged file, which is written anew: no verdict rests on it."""
    try:
        return read_layers(path)
    except BaselineError:
        return {}


def _compared(cases: Mapping[str, RunCase], before: Baseline | None, rule: Rule) -> list[Outcome]:
    old = before.cases if before else {}
    return rule.judge(
        [
            CaseLatency(
                name,
                case.log_medians,
                old[name].log_medians if name in old else (),
                CPU_MARGIN if case.margin is None else case.margin,
                no_baseline="new",
            )
            for name, case in cases.items()
        ]
    )


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
        raise BaselineError(
            f"{len(refused)} regressed cases are not promoted without a reason:{lines}\n"
            "say why with --accept-regression REASON, which is stored in the baseline"
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
