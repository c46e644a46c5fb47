"""Top-1 and top-5 accuracy over a whole dataset, image by image, so that two precisions can be paired.

Ties count against the network, as in Caffe 1.0's Accuracy layer: an image is right at k when fewer than k of the other
classes score at least as high as its label. An output with NaN is wrong, and counted.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inferkit.data.opening import open_batches
from inferkit.errors import DataError, MeasurementError, UsageError
from inferkit.measure.engine import inject
from inferkit.measure.engine.engine_file import EngineJob, EngineSpec, open_engine
from inferkit.measure.engine.prepared_network import prepared_facts
from inferkit.measure.machine.lease import device_lease

if TYPE_CHECKING:
    from inferkit.backends.base import Session
    from inferkit.network.network import TensorInfo

# Names that classification networks give their scores; used only where a network has several outputs.
_SCORES = ("prob", "softmax", "loss3/classifier", "output")

# The rank of a label that is right at no k, however few classes there are.
_NOWHERE = np.iinfo(np.int64).max

# Batches on their way into an engine that has memory of its own: one is run, one waits, one is filled.
_MEMORIES = 3


@dataclass(frozen=True)
class AccuracySpec(EngineJob):
    """What one process evaluates, in batches of the engine's largest size. `inject`: see inject.py.

    A part of the dataset, `count` images from number `start` on, gives what the whole gives for its images, bit by bit,
    where `start` is a multiple of the batch size: the batches are the same then.
    """

    dataset: str
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    session: Mapping[str, Any] = field(default_factory=dict)
    inject: Mapping[str, float] = field(default_factory=dict)
    start: int = 0
    count: int | None = None


@dataclass(frozen=True, eq=False)
class Accuracy:
    """Per image, in the dataset's order: the predicted class, and whether the label was among the best one and five.

    `seconds` is the time in the engine, `elapsed` everything, reading images included. `warning` is about the images.
    """

    predictions: NDArray[np.int32]
    top1: NDArray[np.bool_]
    top5: NDArray[np.bool_]
    seconds: float
    elapsed: float
    not_finite: int = 0
    warning: str = ""

    @property
    def images(self) -> int:
        """How many images there were."""
        return len(self.predictions)

    @property
    def top1_percent(self) -> float:
        """Share of images whose label scored best, in percent."""
        return 100 * float(self.top1.mean())

    @property
    def top5_percent(self) -> float:
        """Share of images whose label was among the best five, in percent."""
        return 100 * float(self.top5.mean())


def rank_of_labels(scores: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int64]:
    """How many other classes score at least as high as each label; [N, classes] and [N].

    A row with NaN, or a label that there is no class for, is beyond every k.
    """
    has_class = (labels >= 0) & (labels < scores.shape[1])
    own = scores[np.arange(len(labels)), np.where(has_class, labels, 0)]
    with np.errstate(invalid="ignore"):
        better = (scores >= own[:, None]).sum(axis=1) - 1
    return np.where(has_class & ~np.isnan(scores).any(axis=1), better, _NOWHERE)


def evaluate(spec: AccuracySpec) -> Accuracy:
    """Run the dataset, or the part that is asked for, in this process.

    Raises DataError for labels that the network has no class for.
    """
    from inferkit.backends import backend

    in_engine = 0.0
    parts: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
    not_finite, warning = 0, ""
    device = backend(spec.engine.backend).device(**spec.session)
    with contextlib.ExitStack() as stack:
        stack.enter_context(device_lease(device))
        engine = open_engine(spec.engine)
        began = time.perf_counter()
        session = stack.enter_context(engine.session(**spec.session))
        if len(session.inputs) != 1:
            raise UsageError(f"accuracy needs a network with one input; this one has {len(session.inputs)}")
        output = scores_output([info.name for info in session.outputs])
        batch_size = batch_for(session.inputs[0], spec.engine.max_batch)
        info = session.inputs[0]
        memory = [session.host_memory(batch_size) for _ in range(_MEMORIES)]
        out = [arrays[info.name] for arrays in memory if arrays is not None]
        for batch in open_batches(
            spec.dataset, batch_size, spec.preprocessing, info, start=spec.start, limit=spec.count, out=out
        ):
            labels = _labels(batch.labels[: batch.count], spec.dataset)
            if not parts:
                warning = _unlike_calibration(spec.engine, {info.name: batch.images})
            scores, seconds = _run(session, batch.images, batch.count, output)
            in_engine += seconds
            if labels.max() >= scores.shape[1]:
                raise DataError(
                    f"{spec.dataset}: label {int(labels.max())}, but the network has {scores.shape[1]} classes"
                )
            rank = rank_of_labels(scores, labels)
            not_finite += int((~np.isfinite(scores)).any(axis=1).sum())
            parts.append((scores.argmax(axis=1).astype(np.int32), rank < 1, rank < 5))
    if not parts:
        raise DataError(f"{spec.dataset}: holds no image" + (f" from number {spec.start} on" if spec.start else ""))
    predictions, top1, top5 = (np.concatenate(column) for column in zip(*parts, strict=True))
    mistaken = inject.wrong(inject.checked(spec.inject), len(top1))
    predictions, top1 = np.where(mistaken, -1, predictions).astype(np.int32), top1 & ~mistaken
    return Accuracy(predictions, top1, top5, in_engine, time.perf_counter() - began, not_finite, warning)


def _unlike_calibration(engine: EngineSpec, images: Mapping[str, NDArray[Any]]) -> str:
    """A warning where images differ from those of the calibration; empty for an engine without its network too."""
    if not engine.prepared:
        return ""
    from inferkit.precision.input_range import unlike_calibration  # needs onnx

    facts = prepared_facts(Path(engine.prepared))
    return unlike_calibration(facts.get("calibrated", {}), images, facts["precision"])


def scores_output(names: list[str], network: str = "the network") -> str:
    """The output that holds the class scores: the only one, or the one with a usual name.

    UsageError otherwise, naming `network`.
    """
    if len(names) == 1:
        return names[0]
    for name in _SCORES:
        if name in names:
            return name
    raise UsageError(f"{network} has the outputs {', '.join(names)}; none is called {', '.join(_SCORES)}")


def scores_by_image(outputs: Sequence[TensorInfo], name: str, values: NDArray[Any], images: int) -> NDArray[Any]:
    """The values of output `name` as [images, classes], wherever its batch lies."""
    axis = next((info.batch_axis or 0 for info in outputs if info.name == name), 0)
    return np.moveaxis(values, axis, 0).reshape(images, -1)


def batch_for(info: TensorInfo, wanted: int) -> int:
    """The batch size to run with: a network of a fixed batch dimension takes exactly that."""
    return wanted if info.batch is None else info.batch


def _labels(labels: NDArray[np.int64], dataset: str) -> NDArray[np.int64]:
    if labels.min() < 0:
        raise DataError(f"{dataset}: has images without a label; set `accuracy = false` for this network")
    return labels


def _run(session: Session, images: NDArray[Any], count: int, output: str) -> tuple[NDArray[Any], float]:
    """Scores [count, classes] of the first `count` images of a batch, and the seconds that the batch took."""
    session.load(images)
    trace = session.execute()
    results = session.fetch()
    if output not in results:
        raise MeasurementError(f"the engine has no output {output!r}, only {', '.join(results)}")
    return scores_by_image(session.outputs, output, results[output], len(images))[:count].astype(np.float32), trace.wall
