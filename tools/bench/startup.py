"""How long things take to start, in many fresh processes: `import inferkit`, `inferkit --help`, collecting 500 cases.

    python -m tools.bench.startup      # about a minute

For each: the least and the median wall time, and the least and the median CPU time (user and system, of the process
and its children), which says more where others use the machine too. The limit is for the least wall time: what else
runs can only add to it. Collecting is done by pytest in a project of one test and a matrix of 500 cases, as installed
here, other plugins included, and once more without them. Exit code 1 where a limit is passed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CASES = 500
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 96, 128, 175)
_COLLECT = ("-m", "pytest", "bench", "--collect-only", "-q", "-p", "no:cacheprovider")


@dataclass(frozen=True)
class Start:
    """One thing to start: arguments for Python, and the limit of its wall time in seconds (None: for comparison)."""

    name: str
    arguments: tuple[str, ...]
    limit: float | None = None


STARTS = (
    Start("python -c pass", ("-c", "pass")),
    Start("import inferkit", ("-c", "import inferkit"), 0.15),
    Start("inferkit --help", ("-m", "inferkit.cli.main", "--help"), 0.3),
    Start("pytest --version", ("-m", "pytest", "--version")),
    Start(f"collect {CASES} cases", _COLLECT, 2.0),
    Start(
        f"collect {CASES} cases, no other plugins",
        (*_COLLECT, "-p", "no:hypothesispytest", "-p", "no:xdist", "-p", "no:anyio"),
        2.0,
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table. Exit code 1 where a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=11, help="processes of each (11)")
    args = parser.parse_args(argv)
    slow = []
    with tempfile.TemporaryDirectory(prefix="inferkit-start-") as name:
        folder = project(Path(name))
        print("| start | wall, least | wall, median | CPU, least | CPU, median | limit |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for start in STARTS:
            took = [run(start, folder) for _ in range(args.runs + 1)][1:]  # the first writes the bytecode
            wall, cpu = ([each[place] for each in took] for place in (0, 1))
            figures = " | ".join(f"{value:.3f} s" for value in (min(wall), middle(wall), min(cpu), middle(cpu)))
            print(f"| {start.name} | {figures} | {f'{start.limit} s' if start.limit else ''} |", flush=True)
            if start.limit and min(wall) > start.limit:
                slow.append(start.name)
    return 1 if slow else 0


middle = statistics.median


def project(folder: Path) -> Path:
    """A project whose matrix declares CASES cases."""
    (folder / "bench").mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "bench" / "test_latency.py").write_text(
        "def test_latency(inferkit_latency):\n    inferkit_latency.check()\n"
    )
    networks = "".join(
        f'[[networks]]\nname = "n{number}"\nmodel = "lenet"\nbatch_sizes = {list(_BATCHES)}\nprecisions = ["fp32"]\n'
        for number in range(CASES // len(_BATCHES))
    )
    (folder / "bench" / "matrix.toml").write_text(networks)
    return folder


def run(start: Start, folder: Path) -> tuple[float, float]:
    """Seconds by the clock and of the CPU that one fresh process took."""
    before = os.times()
    began = time.perf_counter()
    done = subprocess.run([sys.executable, *start.arguments], cwd=folder, capture_output=True, text=True)
    wall = time.perf_counter() - began
    after = os.times()
    if done.returncode != 0:
        raise SystemExit(f"{start.name}: exit code {done.returncode}: {done.stderr or done.stdout}")
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    sys.exit(main())
