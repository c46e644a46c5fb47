"""Comparing benchmark files case by case: several files of base or head are replicates of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from inferkit.exit_codes import ExitCode
from inferkit.gate.files.pooling import pooled
from inferkit.gate.judging import Judgements, judge
from inferkit.gate.outcome import Outcome, Verdict, by_case, deciding
from inferkit.gate.run import Run

# The margin of a case id, None where it is not stated.
Margins = Callable[[str], float | None]
_NOT_JUDGED = (Verdict.NO_BASELINE, Verdict.MISSING, Verdict.UNSUPPORTED)


def exit_code(outcomes: Sequence[Outcome], strict: bool = False) -> ExitCode:
    """Each case counts by its deciding metric, as a test of the suite does; one that FAILED is as little a pass as an
    INVALID one, and so is one that the machine may have changed."""
    if all(outcome.verdict in _NOT_JUDGED for outcome in outcomes):
        return ExitCode.NOTHING
    decided = [deciding(of_case) for of_case in by_case(outcomes).values()]
    verdicts = {outcome.verdict for outcome in decided}
    if Verdict.REGRESSED in verdicts:
        return ExitCode.REGRESSED
    if Verdict.FAILED in verdicts or any(outcome.says_nothing for outcome in decided):
        return ExitCode.INVALID
    if strict and verdicts & {Verdict.INCONCLUSIVE, Verdict.MISSING}:
        return ExitCode.UNDECIDED
    return ExitCode.OK


def compare(
    base: Sequence[Run], head: Sequence[Run], *, margins: Margins | None = None, tolerance: float | None = None
) -> Judgements:
    """Compare `head` with `base`; several files of one are replicates. The remarks say what the files cannot show.

    A margin that `margins` does not state is the one in head's file, else COMPARED_MARGIN; the `tolerance` of top-1 (in
    points) likewise, else ACCURACY_TOLERANCE.
    """
    one_base, one_head = (pooled([_named(run) for run in runs]) for runs in (base, head))
    if margins is not None:
        stated = {name: case.margin if (own := margins(name)) is None else own for name, case in one_head.cases.items()}
        cases = {name: replace(case, margin=stated[name]) for name, case in one_head.cases.items()}
        one_head = replace(one_head, cases=cases)
    if tolerance is not None:
        accuracy = {name: replace(case, margin=tolerance) for name, case in one_head.accuracy.items()}
        one_head = replace(one_head, accuracy=accuracy)
    judged = judge(one_base, one_head)
    return replace(judged, remarks=(*_remarks([*base, *head]), *_not_asked_for(one_base, one_head), *judged.remarks))


def _named(run: Run) -> Run:
    """With the file in the reasons of what spoiled or failed a case: there are several."""
    return replace(
        run,
        invalid={name: f"{run.name}: {reason}" for name, reason in run.invalid.items()},
        failures={name: f"{run.name}: {reason}" for name, reason in run.failures.items()},
    )


def _not_asked_for(base: Run, head: Run) -> list[str]:
    """What a narrowed run leaves uncompared: those cases are not MISSING, and must not go without a word."""
    asked = {*head.cases, *head.accuracy, *head.failures}
    absent = len([name for name in (*base.cases, *base.accuracy) if name not in asked])
    if not head.narrowed or not absent:
        return []
    count = "1 case of base is" if absent == 1 else f"{absent} cases of base are"
    return [f"{count} not compared: {head.name} was made of a selection of cases"]


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
