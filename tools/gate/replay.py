"""What the gate's present rule says of suites that `inferkit gate selftest --log FILE` wrote, without measuring again.

The first line of a file is the baseline. A suite fails where a case that was not slowed is REGRESSED; a slowed case is
to be found where it was slowed by its margin or more. Replicates are those that were measured then: a rule that would
have asked for others is not told apart.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.power import Share, SuiteData
from tools.gate.read import logged_suites
from tools.gate.rules import Logs, judged

_HEAD = 3  # replicates of a redrawn case
_FEWEST = 4  # replicates of the reference in base: a run has as many as its most measured case


@dataclass(frozen=True)
class Replayed:
    """One suite: what was changed (`kind`, empty for nothing), which cases were slowed enough, what is said of each."""

    kind: str
    slowed: tuple[str, ...]
    outcomes: tuple[Outcome, ...]

    def having(self, verdict: Verdict, slowed: bool = False) -> list[Outcome]:
        """Outcomes with this verdict, of the cases that were slowed or of those that were not."""
        return [each for each in self.outcomes if each.verdict is verdict and (each.case in self.slowed) is slowed]


def replay(path: Path, margin: float) -> Iterator[Replayed]:
    """Every suite of the file, judged by the present rule; `margin` is the share for cases without one in the file."""
    baseline, *suites = logged_suites(path, margin)
    for suite in suites:
        yield _judged(suite, baseline.log_medians, suite.log_medians)


def redraw(lines: Sequence[SuiteData], size: int, rng: random.Random) -> Replayed:
    """One suite drawn from a file's lines, judged by the present rule.

    A case's baseline is `size` of the replicates in which it was not slowed (of the baseline and of every suite); a
    slowed case keeps its replicates, another gets three of the rest. Draws share replicates, so they are no
    independent trials.
    """
    slowed_suite = rng.choice([suite for suite in lines[1:] if suite.kind])
    base: dict[str, Sequence[float]] = {}
    head: dict[str, Sequence[float]] = {}
    for name, logs in slowed_suite.log_medians.items():
        is_reference = name.startswith("reference-")
        left_out = slowed_suite if is_reference else None
        lines_of_case = [line for line in lines if line is not left_out and name not in line.slowed]
        pool = [value for line in lines_of_case for value in line.log_medians.get(name, ())]
        rng.shuffle(pool)
        count = max(size, _FEWEST) if is_reference else size
        base[name] = pool[:count]
        head[name] = logs if is_reference or name in slowed_suite.slowed else pool[count : count + _HEAD]
    return _judged(slowed_suite, base, {name: values for name, values in head.items() if len(values) > 1})


def _judged(suite: SuiteData, base: Logs, head: Logs) -> Replayed:
    """What the present rule says of a suite's cases, without those that were slowed by less than their margins."""
    slowed = tuple(name for name in suite.slowed if name in base and suite.margins[name] <= suite.share + 1e-9)
    ignored = set(suite.slowed) - set(slowed)
    outcomes = judged(base, head, suite.margins)
    return Replayed(suite.kind, slowed, tuple(outcome for outcome in outcomes if outcome.case not in ignored))


def print_replayed(logs: Sequence[Path], margin: float) -> None:
    """A summary of each file, and its false alarms."""
    for path in logs:
        suites = list(replay(path, margin))
        print(f"{path}: {_summary(suites)}")
        for number, suite in enumerate(suites, 1):
            for outcome in suite.having(Verdict.REGRESSED):
                print(f"  suite {number}: {outcome.line}")


def _summary(suites: Sequence[Replayed]) -> dict[str, Any]:
    unchanged = [suite for suite in suites if not suite.kind]
    slowed = [case for suite in suites for case in suite.slowed]
    failed = sum(bool(suite.having(Verdict.REGRESSED)) for suite in unchanged)
    found = sum(len(suite.having(Verdict.REGRESSED, slowed=True)) for suite in suites)
    return {
        "unchanged suites that failed": Share.of(failed, len(unchanged)).text,
        "with INVALID": sum(bool(suite.having(Verdict.INVALID)) for suite in unchanged),
        "slowed cases found": f"{found} of {len(slowed)}",
    }


def print_redrawn(logs: Sequence[Path], sizes: Sequence[int], draws: int) -> None:
    """How many slowed cases would be found against baselines of other sizes: shares without bounds."""
    files = [logged_suites(path) for path in logs]
    rng = random.Random(1)
    for size in sizes:
        suites = [redraw(rng.choice(files), size, rng) for _ in range(draws)]
        found = sum(len(suite.having(Verdict.REGRESSED, slowed=True)) for suite in suites)
        failed = sum(bool(suite.having(Verdict.REGRESSED)) for suite in suites)
        trials = sum(len(suite.slowed) for suite in suites)
        print(
            f"baselines of {size}: {found / trials:.0%} of {trials} slowed cases found, "
            f"{failed} of {len(suites)} suites with a false alarm"
        )
