"""Two engines on the same images, batch by batch: the classes that each gives, and with probes every layer's output."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import DataError, UsageError
from inferkit.measure.accuracy.layer_error import LayerError, LayerErrors
from inferkit.measure.accuracy.probes import LayerProbe
from inferkit.measure.accuracy.top_k import rank_of_labels, scores_by_image, scores_output

if TYPE_CHECKING:
    from inferkit.backends.base import Session

# Called with the number of images after each batch.
Seen = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Classes:
    """What one engine made of each image: its class [N], and whether the label was the best or among the best five [N].

    `top1` and `top5` say nothing where the dataset has no labels. `not_finite` counts images with NaN or infinities.
    """

    predictions: NDArray[np.int32]
    top1: NDArray[np.bool_]
    top5: NDArray[np.bool_]
    not_finite: int


def classify(sessions: tuple[Session, Session], batches: Iterable[Any], seen: Seen) -> tuple[Classes, Classes, bool]:
    """Run base and head over the batches; the last says whether every image has a label. DataError for no image, or a
    label beyond the classes; UsageError where they have different classes."""
    outputs = [scores_output([info.name for info in session.outputs]) for session in sessions]
    parts: tuple[list[Any], list[Any]] = ([], [])
    not_finite, labelled, total = [0, 0], True, 0
    for batch in batches:
        labels = batch.labels[: batch.count]
        labelled = labelled and bool((labels >= 0).all())
        scored = [
            scores_by_image(session.outputs, output, session.run(batch.images)[output], len(batch.images))[
                : batch.count
            ].astype(np.float32)
            for session, output in zip(sessions, outputs, strict=True)
        ]
        classes = scored[0].shape[1]
        if scored[1].shape[1] != classes:
            raise UsageError(f"base has {classes} classes and head {scored[1].shape[1]}: they are not the same task")
        if labels.max(initial=-1) >= classes:
            raise DataError(f"there is a label {int(labels.max())}, but the networks have {classes} classes")
        for index, scores in enumerate(scored):
            rank = rank_of_labels(scores, labels)
            not_finite[index] += int((~np.isfinite(scores)).any(axis=1).sum())
            parts[index].append((scores.argmax(axis=1).astype(np.int32), rank < 1, rank < 5))
        total += batch.count
        seen(total)
    if not total:
        raise DataError("the dataset holds no image")
    base, head = (_joined(rows, count) for rows, count in zip(parts, not_finite, strict=True))
    return base, head, labelled


def _joined(rows: list[Any], not_finite: int) -> Classes:
    predictions, top1, top5 = (np.concatenate(column) for column in zip(*rows, strict=True))
    return Classes(predictions, top1, top5, not_finite)


def compare_layers(
    probes: tuple[LayerProbe, LayerProbe], batches: Iterable[Any], seen: Seen
) -> tuple[tuple[LayerError, ...], int]:
    """The layers that base and head have, in base's order, over all images, and how many those were. Needs the memory
    of one batch of each."""
    base, head = probes
    errors = LayerErrors({name: kind for name, kind in base.kinds.items() if name in head.kinds})
    total = 0
    for batch in batches:
        base_blobs, head_blobs = (
            {n: a[: batch.count] for n, a in probe.run(batch.images).items() if a.ndim} for probe in probes
        )
        errors.add(base_blobs, head_blobs)
        total += batch.count
        seen(total)
    return errors.result(), total
