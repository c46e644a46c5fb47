"""Measure everything on a GPU machine in one go, part by part; a part that was done can be left out the next time.

    python3 -m tools.gpu [--json FILE] [--processes 10] [PART...]

Parts: prepare, engines, outputs, agreement, latency, throughput, polygraphy, torch; rounding, accumulation, strict,
placement and sessions on request. Prints a compact table; the exit code counts what fell short.
INFERKIT_SUITE_NETWORKS and INFERKIT_SUITE_BATCHES name fewer networks or batches.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path

from tools.gpu import accumulation, latency, outputs, peers, placement, prepare, rounding, sessions, strict
from tools.gpu.common import FAILURES, Results, fail, folder, say

PARTS = ("prepare", "engines", "outputs", "agreement", "latency", "throughput", "polygraphy", "torch")
ON_REQUEST = ("rounding", "accumulation", "strict", "placement", "sessions")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "parts", metavar="PART", nargs="*", help=f"{', '.join(PARTS)} (default: these); {', '.join(ON_REQUEST)}"
    )
    parser.add_argument("--json", type=Path, help="where the figures go, and where those of earlier parts come from")
    parser.add_argument("--processes", type=int, default=10, help="fresh processes of latency (default: %(default)s)")
    parser.add_argument(
        "--way",
        default="quiet",
        help="where the thread of latency waits: quiet (on a quiet core, as the suite's), free (wherever the system "
        "puts it), or quiet,free: process by process (default: %(default)s)",
    )
    parser.add_argument("--latency-child", help=argparse.SUPPRESS)
    parser.add_argument("--peer-child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.latency_child is not None:
        latency.child(arguments.latency_child)
        return 0
    if arguments.peer_child is not None:
        peers.child(arguments.peer_child)
        return 0
    if unknown := set(arguments.parts) - {*PARTS, *ON_REQUEST}:
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
    if unknown := set(arguments.way.split(",")) - set(latency.WAYS):
        parser.error(f"unknown kinds of --way: {', '.join(sorted(unknown))}")
    wanted = arguments.parts or list(PARTS)
    results = Results(arguments.json or folder() / "results.json")
    for part in wanted:
        start = time.perf_counter()
        try:
            _run(part, results, arguments)
        except Exception as error:
            fail(f"{part}: {type(error).__name__}: {error}")
            traceback.print_exc(file=sys.stdout)
        say(f"[{part}: {time.perf_counter() - start:.0f} s]")
    if {"latency", "throughput", "polygraphy", "torch"} & set(wanted):
        peers.report(results)
    results.put("failures", FAILURES)
    say(f"{len(FAILURES)} fell short" if FAILURES else "everything as it should be")
    return len(FAILURES)


def _run(part: str, results: Results, arguments: argparse.Namespace) -> None:
    if part == "prepare":
        prepare.run(results)
    elif part == "engines":
        prepare.run_timed(results)
    elif part == "rounding":
        rounding.run(results)
    elif part == "accumulation":
        accumulation.run(results)
    elif part == "strict":
        strict.run(results)
    elif part == "placement":
        placement.run(results)
    elif part == "sessions":
        sessions.run(results)
    elif part == "outputs":
        outputs.run_outputs(results)
    elif part == "agreement":
        outputs.run_agreement(results)
    elif part == "latency":
        latency.run(results, arguments.processes, arguments.way.split(","))
    else:
        peers.run(results, part)


if __name__ == "__main__":
    sys.exit(main())
