"""What the gate's present rule says of suites that `inferkit gate selftest --log FILE` wrote, without measuring again.

    python -m tools.replay_suites docs/measured/cpu-unchanged-suites.jsonl [--margin 0.25]

The first line of the file is the baseline. A suite fails where a case that was not slowed is REGRESSED; a slowed case
is to be found where it was slowed by its margin or more. Replicates are those that were measured then: a rule that
would have asked for others is not told apart.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.power import Share
from inferkit.gate.reference import Beside
from inferkit.gate.rules.default import default_rule
from inferkit.gate.rules.rule import CaseLatency

Logs = Mapping[str, Sequence[float]]


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
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    before: Logs = lines[0]["log_medians"]
    margins = {**dict.fromkeys(before, margin), **lines[0].get("margins", {})}
    for suite in lines[1:]:
        yield judged(suite, before, suite["log_medians"], margins)


def judged(suite: Mapping[str, Any], before: Logs, now: Logs, margins: Mapping[str, float]) -> Replayed:
    """What the present rule says of a suite's cases, without those that were slowed by less than their margins."""
    slowed = tuple(name for name in suite["slowed"] if name in before and margins[name] <= suite["share"] + 1e-9)
    ignored = set(suite["slowed"]) - set(slowed)
    outcomes = _outcomes(before, now, margins)
    return Replayed(suite["kind"], slowed, tuple(outcome for outcome in outcomes if outcome.case not in ignored))


def _outcomes(before: Logs, now: Logs, margins: Mapping[str, float]) -> list[Outcome]:
    both = {name: (tuple(before[name]), tuple(now[name])) for name in now if name in before}
    references = {name: logs for name, logs in both.items() if name.startswith("reference-")}
    cases = [
        CaseLatency(name, measured, stored, margins[name])
        for name, (stored, measured) in both.items()
        if name not in references
    ]
    outcomes = default_rule().judge(cases)
    others = [(case.baseline, case.now) for case in cases]
    for name, (stored, measured) in references.items():
        beside = Beside(name, stored, measured, others, margins[name])
        outcomes = [beside.of(len(case.now)).blamed(outcome) for outcome, case in zip(outcomes, cases, strict=True)]
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, nargs="+")
    parser.add_argument("--margin", type=float, default=0.25, help="of cases without one (default: %(default)s)")
    arguments = parser.parse_args()
    for path in arguments.log:
        suites = list(replay(path, arguments.margin))
        print(f"{path}: {_summary(suites)}")
        for number, suite in enumerate(suites, 1):
            for outcome in suite.having(Verdict.REGRESSED):
                print(f"  suite {number}: {outcome.line}")


def _summary(suites: Sequence[Replayed]) -> dict[str, Any]:
    unchanged = [suite for suite in suites if not suite.kind]
    slowed = [case for suite in suites for case in suite.slowed]
    found = sum(len(suite.having(Verdict.REGRESSED, slowed=True)) for suite in suites)
    return {
        "unchanged suites that failed": Share.of(
            sum(bool(suite.having(Verdict.REGRESSED)) for suite in unchanged), len(unchanged)
        ).text,
        "with INVALID": sum(bool(suite.having(Verdict.INVALID)) for suite in unchanged),
        "slowed cases found": f"{found} of {len(slowed)}",
    }


if __name__ == "__main__":
    main()
