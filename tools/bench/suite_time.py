"""Where a suite spends its wall time: `pytest bench` run in a process, its steps and its JSON put side by side.

    python -m tools.bench.suite_time                          # the default suite of this checkout, some minutes
    python -m tools.bench.suite_time --warm -- --model lenet  # once before, unmeasured; options of the suite after --

Time inside measurement is warming up, timing, and putting load on services in the measuring processes, with the engine
alone first, for as long as `probe` is told to; inside accuracy, evaluating the images, also through the load generator
(its logs tell how long). The rest is listed: starting those processes up to their first execution (imports, opening the
engine), ending them and reading their results, preparing networks, and what pytest does before and after. The suite
must have been run once (`--warm`) to be warm: datasets unpacked, bytecode written. Give it a machine of its own: where
others are busy, cases are measured again as INVALID, which counts as measurement here.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from inferkit.serve.load.search import probe

_STEP = re.compile(r"\[ *\d+/\d+\] (.*)")
_LOGGED = re.compile(r'"time_ms": ([\d.]+)')
_NOT_MEASURING = ("preparing", "building", "accuracy")
_WANTED = 70.0  # percent


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table. Exit code 1 where less than 70 % is measurement and accuracy, or the suite did not run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default="bench", help="the suite's folder (bench)")
    parser.add_argument("--warm", action="store_true", help="run it once before, quickly, with one replicate")
    parser.add_argument("options", nargs="*", help="options of the suite, after --")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="inferkit-suite-time-") as name:
        path = Path(name, "run.json")
        command = [
            sys.executable,
            "-u",
            "-m",
            "pytest",
            args.folder,
            "-p",
            "no:cacheprovider",
            f"--benchmark-json={path}",
        ]
        if args.warm:
            quick = ["--replicates=1", "--min-time=0.01", "--no-history"]
            subprocess.run([*command, *args.options, *quick], stdout=subprocess.DEVNULL)
            path.unlink(missing_ok=True)
        steps, total = run([*command, "--no-history", *args.options])
        if not path.exists():
            print("tools.bench.suite_time: the suite wrote no JSON", file=sys.stderr)
            return 1
        through_services = in_accuracy_mode(path.with_suffix(".loadgen"))
        return report(shares(json.loads(path.read_text())["inferkit"], steps, through_services), total)


def run(command: list[str]) -> tuple[dict[str, float], float]:
    """Seconds by step (preparing, building, accuracy, pytest, or the case that a replicate is of), and of the whole."""
    began = last = time.monotonic()
    kind = "pytest"
    seconds: defaultdict[str, float] = defaultdict(float)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            step = _STEP.search(line)
            if step is None and not line.startswith(("bench", "===")):
                continue
            now = time.monotonic()
            seconds[kind] += now - last
            last, kind = now, kind_of(step[1]) if step else "pytest"
    end = time.monotonic()
    seconds[kind] += end - last
    return seconds, end - began


def kind_of(step: str) -> str:
    """What a step of the suite's progress is: preparing, building, accuracy, or the id of the case that it measures."""
    case, _, what = step.rpartition(", ")
    return what if what in _NOT_MEASURING else case


def in_accuracy_mode(logs: Path) -> float:
    """Seconds that load generators spent in accuracy mode, by the last time in each of their logs below `logs`."""
    total = 0.0
    for log in logs.glob("**/accuracy/mlperf_log_detail.txt"):
        total += max(map(float, _LOGGED.findall(log.read_text())), default=0.0) / 1e3
    return total


def replicates(cases: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every replicate of these cases, those too that were measured again."""
    for case in cases:
        yield from (*case["replicates"], *(case.get("discarded") or ()))


def shares(inferkit: dict[str, Any], steps: dict[str, float], through_services: float) -> dict[str, float]:
    """Seconds by what they went to. `through_services` is what the load generator's accuracy mode took."""
    cases = inferkit["cases"]
    services = [name for name, case in cases.items() if any(each.get("service") for each in case["replicates"])]
    engines = [name for name in cases if name not in services]
    references = {told["case"] for told in inferkit["references"].values()}
    found = list(replicates(cases[name] for name in engines))
    warming = sum(each["warmup"].get("seconds", 0.0) for each in found if each.get("warmup"))
    timing = sum(each["host"]["seconds"] for each in found)
    starting = sum(each.get("cold_start") or 0.0 for each in found)
    loads = list(replicates(cases[name] for name in services))
    serving = sum(each["host"]["seconds"] for each in loads)
    alone = len(loads) * signature(probe).parameters["seconds"].default
    evaluating = sum(case["images"] / case["images_per_second"] for case in inferkit["accuracy"].values())
    unknown = [name for name in steps if name not in (*cases, *references, *_NOT_MEASURING, "pytest")]
    return {
        "measurement: timing": timing,
        "measurement: warming up": warming,
        "measurement: load on services": serving,
        "measurement: the engine's own rate before each load": alone,
        "accuracy: evaluating images": evaluating,
        "accuracy: evaluating images through services": through_services,
        "starting measuring processes, to the first execution": starting,
        "the rest of replicates: layer times, memory, ending the process": _of(steps, engines)
        - timing
        - warming
        - starting,
        "the rest of services: starting the process, reading the images, ending it": _of(steps, services)
        - serving
        - alone
        - through_services,
        "the rest of accuracy: starting and ending the process, comparing": steps["accuracy"] - evaluating,
        "the reference network, which tells whether the machine moved": _of(steps, references),
        "cases that could not be measured": _of(steps, unknown),
        "preparing networks": steps["preparing"],
        "building engines": steps["building"],
        "pytest: starting, collecting, judging, writing": steps["pytest"],
    }


def _of(steps: dict[str, float], names: Iterable[str]) -> float:
    return sum(steps.get(name, 0.0) for name in names)


def report(parts: dict[str, float], total: float) -> int:
    """The table; the exit code."""
    print(f"| part | seconds | share of {total:.1f} s |\n| --- | ---: | ---: |")
    for name, seconds in parts.items():
        print(f"| {name} | {seconds:.1f} | {100 * seconds / total:.1f} % |")
    inside = 100 * sum(value for name, value in parts.items() if name.startswith(("measurement", "accuracy"))) / total
    print(f"\ninside measurement or accuracy: {inside:.1f} % (wanted: {_WANTED:.0f} %)")
    return 0 if inside >= _WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
