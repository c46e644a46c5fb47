"""Measure and check a GPU machine, part by part; a part that was done can be left out the next time.

    python3 -m tools.gpu smoke                                            # a first look, under a minute
    python3 -m tools.gpu [--json FILE] [--processes 10] [PART...]         # default: prepare to torch
    python3 -m tools.gpu service [--seconds 8]
    python3 -m tools.gpu service --backend onnxruntime --model lenet --precision fp32     # the same without a GPU
    python3 -m tools.gpu study --json FILE                                # about five minutes
    python3 -m tools.gpu study --series PyCaffe --rounds 3 --json FILE    # the same without a GPU
    python3 -m tools.gpu bytes [--backend onnxruntime --model lenet]

Prints a compact table; the exit code counts what fell short. INFERKIT_SUITE_NETWORKS and INFERKIT_SUITE_BATCHES name
fewer networks or batches, INFERKIT_SUITE_DIR the folder of plans, references and results.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from inferkit.network import zoo
from tools.gpu import arithmetic, bytes, implicit, latency, outputs, peers, placement, service, smoke, study
from tools.gpu.building import builds, prepare
from tools.gpu.common import FAILURES, Results, folder, say, step

CHILDREN: dict[str, Callable[[str], Any]] = {
    "latency": latency.child,
    "peers": peers.child,
    "implicit": implicit.child,
    "builds": builds.child,
    "bytes": bytes.child,
}
TABLED = ("latency", *peers.PARTS)
STANDARD = ("prepare", "engines", "outputs", "agreement", *TABLED)


def parts(arguments: argparse.Namespace) -> dict[str, Callable[[Results], None]]:
    """Every part by its name."""
    return {
        "prepare": prepare.run,
        "engines": prepare.run_timed,
        "outputs": outputs.run_outputs,
        "agreement": outputs.run_agreement,
        "latency": partial(latency.run, processes=arguments.processes, ways=arguments.way.split(",")),
        **{part: partial(peers.run, part=part) for part in peers.PARTS},
        "rounding": arithmetic.rounding,
        "accumulation": arithmetic.accumulation,
        "strict": arithmetic.strict,
        "placement": placement.placement,
        "sessions": placement.sessions,
        "implicit": implicit.run,
        "builds": builds.run,
        "bytes": partial(bytes.run, backend_name=arguments.backend, model=arguments.model),
        "smoke": smoke.run,
        "service": partial(
            service.run,
            backend_name=arguments.backend,
            model=arguments.model,
            precision=arguments.precision,
            seconds=arguments.seconds,
        ),
        "study": partial(
            study.run,
            backend_name=arguments.backend,
            names=arguments.swept.split(","),
            series=arguments.series.split(","),
            rounds=arguments.rounds,
        ),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python3 -m tools.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts",
        metavar="PART",
        nargs="*",
        help=f"{', '.join(STANDARD)} (default: these); rounding, accumulation, strict, placement, sessions, implicit, "
        "builds, bytes, smoke, service, study",
    )
    parser.add_argument("--json", type=Path, help="where the figures go, and where those of earlier parts come from")
    parser.add_argument("--processes", type=int, default=10, help="fresh processes of latency (default: %(default)s)")
    parser.add_argument(
        "--way",
        default="quiet",
        help="where the thread of latency waits: quiet (on a quiet core, as the suite's), free (wherever the system "
        "puts it), or quiet,free: process by process (default: %(default)s)",
    )
    parser.add_argument(
        "--backend", choices=("tensorrt", "onnxruntime"), default="tensorrt", help="of service, bytes and study"
    )
    of_study = parser.add_argument_group("of the part study")
    of_study.add_argument(
        "--swept", default=",".join(study.STANDARD), metavar="NETWORK,…", help="of the zoo (default: %(default)s)"
    )
    of_study.add_argument(
        "--series", default=",".join(study.SERIES), metavar="S,…", help="as of inferkit sweep (default: %(default)s)"
    )
    of_study.add_argument(
        "--rounds", type=int, default=study.ROUNDS, help="visits of each point (default: %(default)s)"
    )
    of_service = parser.add_argument_group("of the parts service and bytes")
    of_service.add_argument("--model", default="resnet50")
    of_service.add_argument("--precision", default="fp16", help="of service (default: %(default)s)")
    of_service.add_argument(
        "--seconds", type=float, default=8.0, help="of a saturated batch of service (default: %(default)g)"
    )
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        part, case = arguments.child
        print(json.dumps(CHILDREN[part](case), default=str))
        return 0
    every, wanted = parts(arguments), arguments.parts or list(STANDARD)
    if unknown := set(wanted) - set(every):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
    if unknown := set(arguments.way.split(",")) - set(latency.WAYS):
        parser.error(f"unknown kinds of --way: {', '.join(sorted(unknown))}")
    if unknown := {name for name in arguments.swept.split(",") if not zoo.knows(name)}:
        parser.error(f"unknown networks of --swept: {', '.join(sorted(unknown))}")
    results = Results(arguments.json or folder() / "results.json")
    for part in wanted:
        with step(part):
            every[part](results)
    if set(TABLED) & set(wanted):
        peers.report(results)
    results.put("failures", FAILURES)
    say(f"{len(FAILURES)} fell short" if FAILURES else "everything as it should be")
    return len(FAILURES)


if __name__ == "__main__":
    sys.exit(main())
