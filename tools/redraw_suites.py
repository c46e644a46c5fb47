"""How many slowed cases would be found against baselines of other sizes: suites drawn anew from recorded replicates.

    python -m tools.redraw_suites docs/measured/h100-slowed-suites-card?.jsonl [--draws 300] [--sizes 3,4,6]

Each draw takes one file and one of its slowed suites. A case's baseline is that many of the replicates in which it was
not slowed (of the baseline and of every suite); a slowed case keeps its replicates, another gets three of the rest.
Draws share replicates, so they are no independent trials: shares without bounds.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inferkit.gate.outcome import Verdict
from tools.replay_suites import Replayed, judged

_NOW = 3
_FEWEST = 4  # replicates of the reference before: a run has as many as its most measured case


def redraw(lines: Sequence[Mapping[str, Any]], size: int, rng: random.Random) -> Replayed:
    """One suite drawn from a file's lines, judged by the present rule."""
    baseline, *suites = lines
    slowed_suite = rng.choice([suite for suite in suites if suite["kind"]])
    before, now = {}, {}
    for name, logs in slowed_suite["log_medians"].items():
        is_reference = name.startswith("reference-")
        pool = [value for line in lines for value in _unslowed(line, name, slowed_suite if is_reference else None)]
        rng.shuffle(pool)
        count = max(size, _FEWEST) if is_reference else size
        before[name] = pool[:count]
        now[name] = logs if is_reference or name in slowed_suite["slowed"] else pool[count : count + _NOW]
    enough = {name: values for name, values in now.items() if len(values) > 1}
    return judged(slowed_suite, before, enough, baseline["margins"])


def _unslowed(line: Mapping[str, Any], name: str, but: Mapping[str, Any] | None) -> Sequence[float]:
    return () if line is but or name in line["slowed"] else line["log_medians"].get(name, ())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, nargs="+")
    parser.add_argument("--draws", type=int, default=300, help="for each size (default: %(default)s)")
    parser.add_argument("--sizes", default="3,4,6", help="replicates in the baseline (default: %(default)s)")
    arguments = parser.parse_args()
    files = [[json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] for path in arguments.log]
    rng = random.Random(1)
    for size in map(int, arguments.sizes.split(",")):
        suites = [redraw(rng.choice(files), size, rng) for _ in range(arguments.draws)]
        found = sum(len(suite.having(Verdict.REGRESSED, slowed=True)) for suite in suites)
        false = sum(bool(suite.having(Verdict.REGRESSED)) for suite in suites)
        trials = sum(len(suite.slowed) for suite in suites)
        print(
            f"baselines of {size}: {found / trials:.0%} of {trials} slowed cases found, "
            f"{false} of {len(suites)} suites with a false alarm"
        )


if __name__ == "__main__":
    main()
