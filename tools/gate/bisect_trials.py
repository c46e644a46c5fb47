"""Does `inferkit bisect` find a slow commit: repositories in which one of many commits really makes a network slower.

    python -m tools.gate.bisect_trials --trials 10 --commits 32 --share 0.03 -o trials.jsonl

The network is a row of equal convolutions, so many that one more takes the share: 33 for 3 %. Every commit has other
weights; from the slow one on, a convolution that hands on what it gets is in their midst. What it really costs is
measured by `inferkit ab` first. A trial is a new repository with the slow commit anywhere; a line is written for each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS, SIDE, KERNEL = 32, 28, 3
_MATRIX = """\
[suite]
reference = false

[[networks]]
name = "row"
model = "row.onnx"
precisions = ["{precision}"]
batch_sizes = [{batch}]
backends = ["{backend}"]
accuracy = false
{settings}"""
# More threads than one add noise on a shared machine, not speed.
_SETTINGS = {"onnxruntime": "\n[backends.onnxruntime]\nsession = { threads = 1 }\n"}


def row(layers: int, slow: bool, seed: int) -> onnx.ModelProto:
    """So many convolutions of random weights, each with a ReLU; one more that changes nothing, where it is `slow`."""
    random = np.random.default_rng(seed)
    shape = (CHANNELS, CHANNELS, KERNEL, KERNEL)
    weights = [random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape) for _ in range(layers)]
    if slow:
        same = np.zeros(shape)
        same[range(CHANNELS), range(CHANNELS), KERNEL // 2, KERNEL // 2] = 1
        weights.insert(layers // 2, same)
    nodes, blob = [], "data"
    for index in range(len(weights)):
        name, pads = f"conv{index}", [KERNEL // 2] * 4
        nodes.append(helper.make_node("Conv", [blob, f"weights{index}"], [name], name, pads=pads))
        blob = f"relu{index}"
        nodes.append(helper.make_node("Relu", [name], [blob], blob))
    nodes.append(helper.make_node("GlobalAveragePool", [blob], ["means"], "means"))
    sizes = ["N", CHANNELS, SIDE, SIDE]
    graph = helper.make_graph(
        nodes,
        "row",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info("means", TensorProto.FLOAT, ["N", CHANNELS, 1, 1])],
        [numpy_helper.from_array(w.astype(np.float32), f"weights{index}") for index, w in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def make_repository(folder: Path, commits: int, culprit: int, layers: int, matrix: str, seed: int = 0) -> list[str]:
    """A repository of so many commits after the first, and their ids, the first too; slow from number `culprit` on."""
    folder.mkdir()
    _git(folder, "init", "-q")
    (folder / "matrix.toml").write_text(matrix)
    ids = []
    for number in range(commits + 1):
        onnx.save(row(layers, number >= culprit, seed * 1000 + number), str(folder / "row.onnx"))
        _git(folder, "add", ".")
        _git(folder, "commit", "-q", "-m", f"weights {number}")
        ids.append(_git(folder, "rev-parse", "HEAD"))
    return ids


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=trials", "-c", "user.email=trials@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _inferkit(folder: Path, *arguments: str) -> tuple[int, Any, float]:
    """Exit code, JSON and seconds of a command that prints JSON; its own words pass through on stderr."""
    began = time.monotonic()
    command = [sys.executable, "-m", "inferkit.cli.main", *arguments, "--json"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else None, time.monotonic() - began


def trial(folder: Path, arguments: argparse.Namespace, number: int, matrix: str) -> dict[str, Any]:
    """One search in a new repository, and whether it was right."""
    culprit = int(np.random.default_rng([arguments.seed, number]).integers(1, arguments.commits + 1))
    ids = make_repository(folder, arguments.commits, culprit, _layers(arguments), matrix, number)
    code, printed, seconds = _inferkit(folder, "bisect", ids[0], ids[-1], *_options(arguments))
    answer = (printed or {"searches": [{}]})["searches"][0]
    found = answer.get("found")
    search = answer.get("search", {"steps": [], "verification": None})
    measured = [step for step in (search["verification"], *search["steps"]) if step is not None]
    return {
        "trial": number,
        "culprit": culprit,
        "found": None if found is None else ids.index(found["commit"]),
        "suspects": [ids.index(commit) for commit in answer.get("suspects", ())],
        "right": found is not None and found["commit"] == ids[culprit],
        "exit_code": code,
        "stopped": answer.get("stopped"),
        "confirmed": (answer.get("confirmation") or {}).get("change"),
        "changes": [step["outcome"]["change"] for step in measured],
        "blocks": sum(step["outcome"]["head_replicates"] for step in measured),
        "seconds": round(seconds, 1),
    }


def _layers(arguments: argparse.Namespace) -> int:
    return round(1 / arguments.share)


def _options(arguments: argparse.Namespace) -> list[str]:
    busy = ["--accept-busy-host"] if arguments.accept_busy_host else []
    return [*busy, "--min-time", str(arguments.min_time), "--margin", str(arguments.margin)]


def main(argv: Sequence[str] | None = None) -> None:
    """Print and write a line for each trial, then how many were right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--commits", type=int, default=32)
    parser.add_argument("--share", type=float, default=0.03, help="what one layer more takes (default: %(default)s)")
    parser.add_argument("--margin", type=float, default=0.02)
    parser.add_argument("--min-time", type=float, default=0.5, help="seconds per process (default: %(default)s)")
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--accept-busy-host", action="store_true")
    parser.add_argument("-o", "--output", type=Path, help="JSON lines, added to what the file has")
    arguments = parser.parse_args(argv)
    settings = _SETTINGS.get(arguments.backend, "")
    matrix = _MATRIX.format(
        precision=arguments.precision, batch=arguments.batch, backend=arguments.backend, settings=settings
    )
    with tempfile.TemporaryDirectory(prefix="bisect-trials-") as name:
        ids = make_repository(Path(name, "cost"), 1, 1, _layers(arguments), matrix)
        _, printed, seconds = _inferkit(Path(name, "cost"), "ab", *ids, *_options(arguments), "--blocks", "12")
        _written({"cost": printed["outcomes"][0], "seconds": round(seconds, 1)}, arguments.output)
        lines = []
        for number in range(arguments.trials):
            lines.append(trial(Path(name, str(number)), arguments, number, matrix))
            _written(lines[-1], arguments.output)
    right = sum(line["right"] for line in lines)
    print(f"{right} of {len(lines)} right, median {np.median([line['seconds'] for line in lines]):.0f} s")


def _written(line: dict[str, Any], output: Path | None) -> None:
    print(json.dumps(line), flush=True)
    if output is not None:
        with output.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
