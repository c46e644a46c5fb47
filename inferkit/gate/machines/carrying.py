"""What the first baseline of a machine takes over from another machine's: accuracies, and sizes of engines.

Neither depends on a driver or a CPU, so a baseline that is made anew because those changed must not accept another
accuracy or a larger engine unseen.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from inferkit.gate.accuracy import judge_accuracy
from inferkit.gate.metrics import ACCURACY_TOLERANCE, COMPARED_MARGIN, ENGINE_SIZE, METRICS
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.rules.beside_latency import JudgedPair, judge_metrics
from inferkit.gate.run import AccuracyRun, CaseRun, Run

_SIZE = METRICS[ENGINE_SIZE].datum


@dataclass(frozen=True)
class Carried:
    """Accuracies that the run did not evaluate, sizes of engines by case, and what is worse than in the source."""

    source: str = ""
    accuracy: Mapping[str, AccuracyRun] = field(default_factory=dict)
    sizes: Mapping[str, float] = field(default_factory=dict)
    outcomes: tuple[Outcome, ...] = ()

    def into(self, cases: Mapping[str, CaseRun]) -> dict[str, CaseRun]:
        """The cases with the sizes that are carried over."""
        return {
            name: replace(case, data={**case.data, _SIZE: (self.sizes[name],)}) if name in self.sizes else case
            for name, case in cases.items()
        }

    @property
    def line(self) -> str:
        """What is carried over from where; empty for nothing."""
        counts = ((len(self.accuracy), "accuracies"), (len(self.sizes), "engine sizes"))
        parts = [f"{count} {what}" for count, what in counts if count]
        return f"carried over from {self.source}: {', '.join(parts)}" if parts else ""


def carried(source: Run, head: Run, slug: str, engine_parts: Collection[str]) -> Carried:
    """What a baseline of `slug` takes over from `source`, and how `head` compares with it there.

    Accuracies always; sizes of engines where no bucket that engines depend on (`engine_parts`) differs. A size within
    its margin stays the source's, so that small steps do not add up; one beyond it is an outcome, and head's stays.
    """
    outcomes = [
        judge_accuracy(source.accuracy[name], case, case.margin or ACCURACY_TOLERANCE)
        for name, case in head.accuracy.items()
        if name in source.accuracy
    ]
    (base_machine,) = source.fingerprints.values()
    changed = {name for name, _, _ in base_machine.changes(head.fingerprints[slug])}
    sizes: dict[str, float] = {}
    if not changed & set(engine_parts):
        pairs = [
            JudgedPair(_only_size(source.cases[name]), _only_size(case), COMPARED_MARGIN)
            for name, case in head.cases.items()
            if name in source.cases and _SIZE in source.cases[name].data and _SIZE in case.data
        ]
        judged = judge_metrics(pairs)
        outcomes += judged
        sizes = {each.case: each.base for each in judged if each.verdict is Verdict.PASS and each.base is not None}
    accuracy = {
        name: replace(case, fingerprint=slug) for name, case in source.accuracy.items() if name not in head.accuracy
    }
    shown = tuple(each for each in outcomes if each.verdict is not Verdict.PASS)
    return Carried(source.name, accuracy, sizes, shown)


def _only_size(case: CaseRun) -> CaseRun:
    return replace(case, data={_SIZE: case.data[_SIZE]})
