"""Comparing benchmark files case by case: several files of base or head are replicates of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from inferkit.exit_codes import ExitCode
from inferkit.gate.files.pooling import pooled
from inferkit.gate.judging import Judgements, Margins, judge, not_stated
from inferkit.gate.outcome import Outcome, Verdict, by_case, deciding
from inferkit.gate.rules.rule import Rule
from inferkit.gate.run import Run

_NOT_JUDGED = (Verdict.NO_BASELINE, Verdict.MISSING, Verdict.UNSUPPORTED)


@dataclass(frozen=True)
class Comparison(Judgements):
    """The judgements, with remarks on what the files cannot show."""

    def exit_code(self, strict: bool = False) -> ExitCode:
        """See `exit_code`."""
        return exit_code(self.outcomes, strict)


def exit_code(outcomes: Sequence[Outcome], strict: bool = False) -> ExitCode:
    """Each case counts by its deciding metric, as a test of the suite does; one that FAILED is as little a pass as an
    INVALID one."""
    if all(outcome.verdict in _NOT_JUDGED for outcome in outcomes):
        return ExitCode.NOTHING
    verdicts = {deciding(of_case).verdict for of_case in by_case(outcomes).values()}
    if Verdict.REGRESSED in verdicts:
        return ExitCode.REGRESSED
    if verdicts & {Verdict.INVALID, Verdict.FAILED}:
        return ExitCode.INVALID
    if strict and verdicts & {Verdict.INCONCLUSIVE, Verdict.MISSING}:
        return ExitCode.UNDECIDED
    return ExitCode.OK


def compare(
    base: Sequence[Run],
    head: Sequence[Run],
    *,
    margins: Margins = not_stated,
    tolerance: float | None = None,
    rule: Rule | None = None,
) -> Comparison:
    """Compare `head` with `base`; several files of one are replicates. `tolerance` of top-1 in points.

    A margin that `margins` does not state is the one in head's file, else COMPARED_MARGIN.
    """
    one_base, one_head = (pooled([_named(run) for run in runs]) for runs in (base, head))
    judged = judge(one_base, one_head, margins=margins, tolerance=tolerance, rule=rule)
    remarks = (*_remarks([*base, *head]), *judged.remarks)
    return Comparison(judged.outcomes, judged.layers, judged.movements, remarks)


def _named(run: Run) -> Run:
    """With the file in the reasons of what spoiled or failed a case: there are several."""
    return replace(
        run,
        invalid={name: f"{run.name}: {reason}" for name, reason in run.invalid.items()},
        failures={name: f"{run.name}: {reason}" for name, reason in run.failures.items()},
    )


def _remarks(runs: Sequence[Run]) -> tuple[str, ...]:
    remarks = []
    foreign = [run.name for run in runs if not run.ours]
    if foreign:
        remarks.append(
            f"{', '.join(foreign)}: no replicates of inferkit; the median of all rounds stands for the file"
            + (" as one replicate" if len(runs) > 2 else ", and how much processes differ is not known")
        )
    remarks += [remark for run in runs for remark in run.remarks]
    remarks += [f"{run.name}: made with --benchmark-disable; its times say nothing" for run in runs if run.smoke]
    return tuple(remarks)
