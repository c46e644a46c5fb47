"""Part `study`: the study's experiment, `inferkit sweep`, for VGG16 over ten batch sizes, and for a trained network.

FLOAT, HALF and INT8 (--series), an engine each that takes every batch up to the largest, as the study's did. VGG16's
weights are made up, so the accuracies are those of fashion_vgg (10,000 images). Each sweep's JSON lies beside the file
of results (study-vgg16.json, …) and is written after every point: what a killed run had measured is there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tools.gpu.common import Results, fail, folder, say, step

SERIES = ("FLOAT", "HALF", "INT8")
ROUNDS = 6
_CALIBRATION_BATCH, _CALIBRATION_BATCHES = 16, 8


@dataclass(frozen=True)
class Sweep:
    """How a network is swept: the study's iterations, and the seconds of each point and round."""

    iterations: int
    seconds: float


STANDARD = ("vgg16", "fashion_vgg")
_TRAINED = Sweep(80, 0.1)  # 80 batches of 125 are all of the 10,000 images once
_MADE_UP = Sweep(1, 0.3)


def inputs(name: str) -> tuple[Path, Path]:
    """The images (.npz) and the folder of calibration files of a network, made once: its dataset, or stand-ins."""
    from inferkit.precision.calibration.batches import write_batches

    images, calibration = folder("study") / f"{name}.npz", folder("study", f"{name}-calibration")
    if not images.exists():
        arrays = _images(name)
        every = arrays["images"]
        size = min(_CALIBRATION_BATCH, len(every))
        starts = range(0, min(len(every), size * _CALIBRATION_BATCHES), size)
        write_batches(calibration, [(every[start : start + size], None) for start in starts])
        np.savez(images, **arrays)
    return images, calibration


def _images(name: str) -> dict[str, Any]:
    """`images` float32 [N, C, H, W] as the network takes them, and `labels` [N]: zeros of what has no classes."""
    import inferkit
    from inferkit.data.opening import open_dataset, preprocessing_from
    from inferkit.measure.images import stand_in
    from inferkit.network import zoo

    if not zoo.is_trained(name):
        every = stand_in(inferkit.load(name).inputs[0], max(_batches()))
        return {"images": every, "labels": np.zeros(len(every), np.int64)}
    with open_dataset("fashion_mnist") as dataset:
        preprocessing = preprocessing_from(zoo.trained_preprocessing(name))
        parts = [
            (batch.images[: batch.count], batch.labels[: batch.count])
            for batch in dataset.batches(500, preprocessing=preprocessing)
        ]
    return {
        "images": np.concatenate([part[0] for part in parts]),
        "labels": np.concatenate([part[1] for part in parts]),
    }


def _batches() -> tuple[int, ...]:
    from inferkit.cli.sweep import BATCHES

    named = os.environ.get("INFERKIT_SUITE_BATCHES")
    return BATCHES if named is None else tuple(int(size) for size in named.split())


def run(
    results: Results, backend_name: str, names: Sequence[str], series: Sequence[str] = SERIES, rounds: int = ROUNDS
) -> None:
    """Sweep each network; a point that is not steady, and a curve that falls beyond its error bars, fall short."""
    from inferkit.cli.main import main
    from inferkit.network import zoo

    sweeps: dict[str, Any] = {}
    for name in names:
        with step(f"study {name}"):
            source, (images, calibration), how = (
                zoo.files(name),
                inputs(name),
                _TRAINED if zoo.is_trained(name) else _MADE_UP,
            )
            written = results.path.with_name(f"study-{name}.json")
            code = main(
                [
                    *("sweep", "-m", str(source.prototxt), "-w", str(source.caffemodel), "-l", str(images)),
                    *("--calBatchDir", str(calibration), "--backend", backend_name, "--series", *series),
                    *("--batches", *map(str, _batches()), "-i", str(how.iterations)),
                    *("--rounds", str(rounds), "--seconds", str(how.seconds), "--json", str(written)),
                ]
            )
            sweeps[name] = json.loads(written.read_text())
            results.put("study", sweeps)
            _judge(name, code, sweeps[name])


def _judge(name: str, code: int, sweep: dict[str, Any]) -> None:
    if code != 0:
        fail(f"study {name}: exit code {code}")
    points = sweep["points"]
    steady = sum(point.get("timing", {}).get("steady", False) for point in points)
    say(f"study {name}: {steady} of {len(points)} points are steady")
    if steady < len(points):
        fail(f"study {name}: {len(points) - steady} points are not steady")
    for series, pairs in sweep["falls"].items():
        for small, large in pairs:
            fail(f"study {name}: {series} batch {large} takes less time than batch {small}")
