"""Part `gate`: the gate's test of itself on every card at once, each for `--gate-seconds`; false alarms and power."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tools.gpu_suite.common import Results, fail, folder, say

MATRIX = Path(__file__).resolve().parents[2] / "bench" / "gpu.toml"
SLOWER = 0.02


def run(results: Results, seconds: float) -> None:
    """Unchanged suites and suites in which every second case is 2 % slower, in turn; whatever was judged is kept."""
    from inferkit.backends.gpus import visible_gpus

    start = time.perf_counter()
    running = {gpu.index: _start(gpu.index, seconds) for gpu in visible_gpus()}
    found: dict[str, Any] = {}
    for index, process in running.items():
        output, words = process.communicate()
        if process.returncode not in (0, 1):
            fail(f"gate, card {index}: exit code {process.returncode}: {words[-800:]}")
            continue
        found[str(index)] = summary = json.loads(output)
        suites = [json.loads(line) for line in _log(index).read_text().splitlines()]
        summary["log"] = suites
        say(
            f"card {index}: {summary['suites']['hits']} of {summary['suites']['trials']} unchanged suites failed; "
            + "; ".join(
                f"+{100 * each['effect']:g} % found in {each['found']['hits']} of {each['found']['trials']}"
                for each in summary["detections"]
            )
            + f"; seconds a suite {sorted(summary['suite_seconds'])}"
        )
        for alarm in summary["alarms"]:
            fail(f"gate, card {index}: {alarm}")
    results.put("gate", found)
    say(f"the gate on {len(running)} cards ({time.perf_counter() - start:.0f} s)")


def _log(index: int) -> Path:
    return folder("gate") / f"card-{index}.jsonl"


def _start(index: int, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "inferkit.cli.main", "gate", "selftest", "--matrix", str(MATRIX)]
    command += ["--precision", "fp16", "--suites", "100", "--slowed-suites", "100", "--effects", f"latency={SLOWER}"]
    command += [
        "--one-in",
        "2",
        "--min-time",
        "0.3",
        "--time-budget",
        str(seconds),
        "--log",
        str(_log(index)),
        "--json",
    ]
    environment = {**os.environ, "INFERKIT_GPU": str(index)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
