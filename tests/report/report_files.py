"""Runs to make reports of: our own files with the facts that a real run has, and names that mean harm."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from inferkit.gate.outcome import Outcome, Verdict
from tests.gate.run_files import ours, write

HARM = "<script>window.harmed=1</script><img src=x onerror=window.harmed=1>"
# Names that a file of other people can hold: each broke some report once.
HOSTILE = (
    "</script><script>window.harmed=1</script>",
    "</style><svg onload=window.harmed=1>",
    "\"'><img src=x onerror=window.harmed=1>",
    "javascript:window.harmed=1",
    "{{ 7*7 }}{% raw %}",
    "]]><!--",
    "half \ud800 and control \x00\x08\x1b[31m",
    "turned \u202egnp.exe",
    "a" * 3000,
    "",
)
COLUMNS = ("start", "host_to_device", "compute", "device_to_host", "wall", "enqueue")


def facts(model: str, precision: str, batch: int, seconds: float, **more: Any) -> dict[str, Any]:
    """What a run tells of a latency case."""
    return {
        "model": model,
        "precision": precision,
        "batch_size": batch,
        "backend": "onnxruntime",
        "mode": "latency",
        "centre": seconds,
        "images_per_second": batch / seconds,
        "samples": 100,
        "p50": seconds,
        "p90": seconds * 1.1,
        "p95": None,
        "p99": None,
        "details": {"limit": {"seconds": seconds / 4, "share": 0.25, "bound_by": "bytes"}},
        "replicates": [
            {
                "iterations": 100,
                "host": {"load_before": 0.5, "others": 0.01, "stolen": 0.0, "governor": "performance"},
                "gpu": {
                    "sm_mhz_mean": 1980.0,
                    "power_watts_mean": 301.5,
                    "power_limit_watts": 700.0,
                    "reasons": ["power_cap"],
                    "series": {
                        "at": [0.0, 0.1, 0.2],
                        "sm_mhz": [1980, 1965, 1950],
                        "power_watts": [290.0, None, 313.0],
                        "temperature": [41, 41, 42],
                        "reasons": [[], ["power_cap"], ["power_cap", "software_thermal"]],
                    },
                },
                "invalid": [],
            }
        ]
        * 3,
        **more,
    }


def run_json(models: tuple[str, ...] = ("lenet",), batches: tuple[int, ...] = (1, 8, 64)) -> dict[str, Any]:
    """A run: fp32 and int8 of each model; int8 of the first at the largest batch got slower."""
    right = np.arange(1000) % 10 != 0
    times: dict[str, list[float]] = {}
    told: dict[str, dict[str, Any]] = {}
    accuracy = {}
    for model in models:
        for precision, share in (("fp32", 1.0), ("int8", 0.5)):
            accuracy[f"{model}-{precision}-onnxruntime"] = right
            for batch in batches:
                seconds = 1e-3 * share * (1 + batch / 4)
                name = f"{model}-{precision}-b{batch}-onnxruntime"
                times[name] = [seconds, seconds * 1.01, seconds * 0.99]
                told[name] = facts(model, precision, batch, seconds)
    outcomes = [
        Outcome(name, "latency", Verdict.PASS, t[0], t[0], 0.0, -0.01, 0.01, 0.05, 3, 3, 0.02)
        for name, t in times.items()
    ]
    slow = f"{models[0]}-int8-b{batches[-1]}-onnxruntime"
    outcomes = [
        Outcome(slow, "latency", Verdict.REGRESSED, 1e-3, 1.2e-3, 0.2, 0.18, 0.22, 0.05, 3, 3)
        if each.case == slow
        else each
        for each in outcomes
    ]
    content = ours(
        times,
        accuracy=accuracy,
        unsupported={f"{models[0]}-fp16-b1-tensorrt": {"reason": "no GPU", "hint": "get one"}},
        environment={"load": 0.25, "cpus": 2, "governor": "performance"},
    )
    content["inferkit"]["outcomes"] = [outcome.as_dict() for outcome in outcomes]
    for name, case in content["inferkit"]["cases"].items():
        case |= told[name]
    for name, found in content["inferkit"]["accuracy"].items():
        if "-int8-" in name:
            found["confusion"] = confusion()
        found |= {"model": name.rsplit("-", 2)[0], "precision": name.rsplit("-", 2)[1], "backend": "onnxruntime"}
    return content


def confusion(pictures: int = 3) -> dict[str, Any]:
    """Images that changed their class, with real pictures, as an accuracy case has them."""
    pixels = np.random.default_rng(2).integers(0, 255, (56, 56), np.uint8)
    png = f"data:image/png;base64,{base64.b64encode(cv2.imencode('.png', pixels)[1].tobytes()).decode()}"
    return {
        "changed": 12,
        "images_seen": 1000,
        "lost": 5,
        "gained": 4,
        "classes": {"0": "T-shirt/top", "6": "Shirt"},
        "pairs": [{"label": 0, "base": 0, "head": 6, "count": 12}],
        "images": [
            {"index": n, "key": f"{n:08d}", "label": 0, "base": 0, "head": 6, "png": png} for n in range(pictures)
        ],
    }


def write_run(path: Path, content: dict[str, Any], *, traces: bool = True) -> Path:
    """The JSON, and raw traces of 100 iterations beside it."""
    write(path, content)
    if traces:
        random = np.random.default_rng(1)
        arrays: dict[str, Any] = {"columns": np.array(COLUMNS)}
        for name, case in content["inferkit"]["cases"].items():
            for number, datum in enumerate(case["log_medians"]):
                wall = np.exp(datum + random.normal(0, 0.02, 100))
                parts = [np.cumsum(wall), wall * 0.2, wall * 0.7, wall * 0.1, wall, wall * 0.05]
                arrays[f"{name}/{number}"] = np.stack(parts, axis=1)
        np.savez_compressed(path.with_suffix(".traces.npz"), **arrays)
    return path


def drawn(page: str, title: str) -> str:
    """The picture of a page with this title."""
    return page[page.index(f"<title>{title}") :].partition("</svg>")[0]
