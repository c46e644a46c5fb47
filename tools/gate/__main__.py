"""The figures of docs/gate.md, part by part.

    python -m tools.gate simulate --suites 1000
    python -m tools.gate recordings
    python -m tools.gate pipeline --suites 400 [--run RUN.json] [--stored 3]
    python -m tools.gate execution RUN.json [--suites 600] [--stored 3]
    python -m tools.gate replay docs/measured/cpu-unchanged-suites.jsonl [--margin 0.25]
    python -m tools.gate redraw docs/measured/h100-slowed-suites-card?.jsonl [--draws 300] [--sizes 3,4,6]
    python -m tools.gate speed

Recordings (tests/gate/recordings) are latencies of identical engines in fresh processes on an H100.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from tools.gate import numbers
from tools.gate.read import measured_suites, recorded_suites, run_cases
from tools.gate.replay import print_redrawn, print_replayed


def main(argv: Sequence[str] | None = None) -> None:
    """Print the figures of one part."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.gate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(metavar="PART", required=True)

    def part(name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        added = parts.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    simulate = part(
        "simulate", lambda args: numbers.simulated(args.suites, args.seed), "false alarms and power of simulated suites"
    )
    recordings = part(
        "recordings", lambda args: numbers.recordings(args.per_side), "every split of the recordings, and other rules"
    )
    recordings.add_argument("--per-side", type=int, default=3, help="processes of base and of head (default: 3)")
    pipeline = part("pipeline", _pipeline, "the whole rule on suites drawn from the recordings, or from runs")
    pipeline.add_argument(
        "--run", dest="run_files", metavar="RUN.json", type=Path, nargs="+", help="benchmark JSON for the recordings"
    )
    pipeline.add_argument("--stored", type=int, help="processes in a baseline (default: what each case needs)")
    for added in (simulate, pipeline):
        added.add_argument("--suites", type=int, default=1000, help="unchanged suites (default: %(default)s)")
        added.add_argument("--seed", type=int, default=0)
    execution = part("execution", _execution, "how often +2 %% of a GPU's execution is found, with a run's processes")
    execution.add_argument("run_file", metavar="RUN.json", type=Path, help="a run whose cases have `log_execution`")
    execution.add_argument("--suites", type=int, default=600, help="suites that are drawn (default: %(default)s)")
    execution.add_argument("--stored", type=int, default=3, help="processes of base and of head (default: %(default)s)")
    replay = part(
        "replay", lambda args: print_replayed(args.log, args.margin), "logged suites, judged by the present rule"
    )
    replay.add_argument("--margin", type=float, default=0.25, help="of cases without one (default: %(default)s)")
    redraw = part("redraw", _redraw, "logged suites, drawn anew with baselines of other sizes")
    redraw.add_argument("--draws", type=int, default=300, help="for each size (default: %(default)s)")
    redraw.add_argument("--sizes", default="3,4,6", help="replicates in the baseline (default: %(default)s)")
    for added in (replay, redraw):
        added.add_argument("log", type=Path, nargs="+", help="of `inferkit gate selftest --log`")
    part("speed", lambda args: numbers.speed(), "time to judge 200 cases of 20 replicates a side")
    options = parser.parse_args(argv)
    options.run(options)


def _pipeline(args: argparse.Namespace) -> None:
    suites = measured_suites(args.run_files) if args.run_files else recorded_suites()
    numbers.pipeline(suites, args.stored, args.suites, args.seed)


def _execution(args: argparse.Namespace) -> None:
    cases = run_cases(args.run_file)
    levels = {name: case["log_execution"] for name, case in cases.items()}
    margins = {name: case["margin"] for name, case in cases.items()}
    failed, found = numbers.execution(levels, margins, args.suites, args.stored)
    print(f"unchanged suites that failed: {failed} of {args.suites}")
    for name, (hits, tried) in found.items():
        print(f"  {name}: +2 % found {hits} of {tried}")


def _redraw(args: argparse.Namespace) -> None:
    print_redrawn(args.log, [int(size) for size in args.sizes.split(",")], args.draws)


if __name__ == "__main__":
    main()
