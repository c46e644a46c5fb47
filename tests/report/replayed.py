"""A real run's file grown to many cases: each a perturbed copy of a measured one, with the most that a run can hold."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.report.report_files import confusion

_SIDES = ("p99", "host memory", "device memory", "engine size", "build time", "cold start")
_MODELS = ("resnet50", "vgg16", "googlenet", "mobilenet", "densenet")
_PRECISIONS = ("fp32", "fp16", "bf16", "int8")


def grow(source: Path, target: Path, cases: int, replicates: int = 5, iterations: int = 200) -> dict[str, Any]:
    """Write `target` and its traces from the real run at `source`; returns what was written."""
    random = np.random.default_rng(7)
    content = json.loads(source.read_text())
    ours = content["inferkit"]
    with np.load(source.with_suffix(".traces.npz")) as file:
        real = {name: file[name] for name in file.files}
    latency, accuracy = (next(iter(ours[key].values())) for key in ("cases", "accuracy"))
    name = next(iter(ours["cases"]))
    trace = real[f"{name}/0"]
    arrays: dict[str, Any] = {"columns": real["columns"]}
    grown: dict[str, Any] = {"cases": {}, "accuracy": {}, "outcomes": []}
    share = cases // 5
    for number in range(cases - share):
        case = copy.deepcopy(latency)
        model, precision = _MODELS[number % 5], _PRECISIONS[number // 5 % 4]
        case |= {"model": model, "precision": precision, "batch_size": 2 ** (number // 20 % 8)}
        case["backend"] = ("tensorrt", "onnxruntime")[number // 160]
        slow = float(random.normal(1 + number % 7, 0.1))
        case["centre"] *= slow
        case["log_medians"] = [case["log_medians"][0] + float(random.normal(slow, 0.01)) for _ in range(replicates)]
        case["replicates"] = [_replicate(case["replicates"][0], random) for _ in range(replicates)]
        case["details"] = {"layer_seconds": {f"layer_{n}/convolution": 1e-5 * n for n in range(1, 60)}}
        called = f"{model}-{precision}-b{case['batch_size']}-{case['backend']}"
        grown["cases"][called] = case
        for replicate in range(replicates):
            rows = np.resize(trace, (iterations, trace.shape[1])).copy()
            rows[:, 4] *= random.normal(1, 0.05, iterations).clip(0.5)
            rows[:, 0] = np.cumsum(rows[:, 4])
            arrays[f"{called}/{replicate}"] = rows
        grown["outcomes"] += [_outcome(called, metric, random) for metric in ("latency", *_SIDES)]
    for number in range(share):
        called = f"net{number}-int8-onnxruntime"
        grown["accuracy"][called] = {**accuracy, "model": f"net{number}", "confusion": confusion(24)}
        grown["outcomes"].append(_outcome(called, "top-1", random))
    ours |= grown
    target.write_text(json.dumps(content))
    np.savez_compressed(target.with_suffix(".traces.npz"), **arrays)
    return content


def _replicate(measured: dict[str, Any], random: np.random.Generator) -> dict[str, Any]:
    """The measured replicate with the longest telemetry that is kept."""
    at = [round(float(second), 3) for second in np.linspace(0, 6, 60)]
    series = {
        "at": at,
        "sm_mhz": [int(clock) for clock in random.normal(1900, 40, 60)],
        "power_watts": [round(float(watts), 1) for watts in random.normal(500, 30, 60)],
        "temperature": [int(degrees) for degrees in random.normal(60, 3, 60)],
        "reasons": [["power_cap"] if hot else ["idle"] for hot in random.random(60) > 0.5],
    }
    return {**measured, "gpu": {"sm_mhz_mean": 1900.0, "power_watts_mean": 500.0, "series": series}}


def _outcome(case: str, metric: str, random: np.random.Generator) -> dict[str, Any]:
    change = float(random.normal(0, 0.03))
    bounds = {"change": change, "lower": change - 0.02, "upper": change + 0.02, "margin": 0.05}
    verdict = "REGRESSED" if change > 0.05 else "PASS"
    return {"case": case, "metric": metric, "verdict": verdict, "base": 1e-3, "head": 1e-3 * (1 + change), **bounds}
