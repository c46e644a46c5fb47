"""The gate's present rules on plain log-medians: the one file here that builds the gate's own cases and runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from numpy.typing import ArrayLike

from inferkit.gate.judging import default_rule
from inferkit.gate.judging import judge as judge_runs
from inferkit.gate.metrics import LATENCY, METRICS
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.rules import enough
from inferkit.gate.rules.rule import LogSamples
from inferkit.gate.run import CaseRun, Run
from inferkit.gate.stats.analyses import SINGLE_ANALYSIS
from inferkit.gate.stats.effect import independent
from inferkit.gate.stats.judge import judge

Logs = Mapping[str, Iterable[float]]
_MACHINE = "the same machine"


def is_slower(base: ArrayLike, head: ArrayLike, margin: float = 0.02) -> bool:
    """Whether one case, judged once and alone, is REGRESSED."""
    return judge([independent(base, head)], [margin], plan=SINGLE_ANALYSIS)[0].verdict is Verdict.REGRESSED


def more_for_baseline(measured: Sequence[Iterable[float]], margin: float, counts: Sequence[int]) -> dict[int, int]:
    """How many replicates more the cases need, by their place, until a baseline of them can gate at the margin."""
    suite = [LogSamples(str(place), (), tuple(logs), margin) for place, logs in enumerate(measured)]
    return {int(place): count for place, count in enough.more_for_baseline(suite, counts).items()}


def judged(
    base: Logs, head: Logs, margins: Mapping[str, float], metric: str = LATENCY, measuring: bool = True
) -> list[Outcome]:
    """The outcomes of one metric of the cases that both have, as the reference network among them leaves them.

    `base` and `head` are logarithms of the metric, one for each process. Without `measuring` they are analysed once, as
    in a comparison of files.
    """
    names = [name for name in head if name in base]
    runs = (_run({name: logs[name] for name in names}, margins, metric) for logs in (base, head))
    return [each for each in judge_runs(*runs, rule=default_rule(measuring)).outcomes if each.metric == metric]


def _run(logs: Logs, margins: Mapping[str, float], metric: str) -> Run:
    datum = METRICS[metric].datum
    cases = {
        name: CaseRun(case=name, fingerprint=_MACHINE, margin=margins[name], data={datum: tuple(values)})
        for name, values in logs.items()
    }
    references = [cases.pop(name) for name in list(cases) if name.startswith("reference-")]
    return Run(cases=cases, references={each.fingerprint: each for each in references})
