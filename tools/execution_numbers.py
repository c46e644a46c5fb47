"""How often +2 % of a GPU's execution is found, and what unchanged suites fail, with the processes of a run drawn anew.

    python -m tools.execution_numbers RUN.json [--suites 600] [--stored 3]

Each suite draws `stored` processes a side for every case, without replacement; one case after the other gets 2 % more.
The run's cases tell `log_execution`.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from inferkit.gate.outcome import Verdict
from inferkit.gate.side import SideCase, SideFacts, judge_sides

SLOWER = math.log1p(0.02)


def draw(run: Path, suites: int, stored: int) -> tuple[int, dict[str, tuple[int, int]]]:
    """How many unchanged suites failed, and how often each case was found of how many times that it was slower."""
    cases = json.loads(run.read_text())["inferkit"]["cases"]
    levels = {name: (np.array(case["log_execution"]), case["margin"]) for name, case in cases.items()}
    names, random = list(levels), np.random.default_rng(1)
    failed, found, tried = 0, dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for number in range(suites):
        suite = []
        for name, (values, margin) in levels.items():
            chosen = random.permutation(values)
            before, now = (SideFacts(log_execution=tuple(part)) for part in (chosen[:stored], chosen[stored:][:stored]))
            suite.append(SideCase(name, now, before, margin))
        failed += bool(_regressed(suite))
        slow = number % len(suite)
        slowed = tuple(value + SLOWER for value in suite[slow].now.log_execution)
        suite[slow] = replace(suite[slow], now=SideFacts(log_execution=slowed))
        tried[names[slow]] += 1
        found[names[slow]] += names[slow] in _regressed(suite)
    return failed, {name: (found[name], tried[name]) for name in names}


def _regressed(suite: list[SideCase]) -> set[str]:
    return {outcome.case for outcome in judge_sides(suite) if outcome.verdict is Verdict.REGRESSED}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN.json", type=Path)
    parser.add_argument("--suites", type=int, default=600, help="suites that are drawn (default: %(default)s)")
    parser.add_argument("--stored", type=int, default=3, help="processes a side (default: %(default)s)")
    arguments = parser.parse_args()
    failed, found = draw(arguments.run, arguments.suites, arguments.stored)
    print(f"unchanged suites that failed: {failed} of {arguments.suites}")
    for name, (hits, tried) in found.items():
        print(f"  {name}: +2 % found {hits} of {tried}")


if __name__ == "__main__":
    main()
