"""The accuracy of a network over a whole dataset, in parts on many workers, merged to the result of one process.

Parts begin at multiples of the batch size, so that every batch is the one that a single process would run, and every
image's result the same bit by bit. Each part is accepted once; at the end the parts must tile the dataset.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inferkit.backends import backend
from inferkit.cluster.packing import pack
from inferkit.cluster.pool import Pool
from inferkit.cluster.schedule import PoolWorker, Task
from inferkit.cluster.worker import Answer, Evaluation, value_of
from inferkit.errors import MeasurementError, UsageError
from inferkit.measure.accuracy.top_k import Accuracy


@dataclass(frozen=True)
class Part:
    """A stretch of the dataset: `count` images from number `start` on, and who evaluated it."""

    start: int
    count: int
    worker: str
    accuracy: Accuracy


def shards(images: int, size: int, batch_size: int) -> list[tuple[int, int]]:
    """(start, count) of parts of about `size` images, each a whole number of batches but the last."""
    if images < 1 or size < 1 or batch_size < 1:
        raise UsageError(f"{images} images in parts of {size}, batches of {batch_size}: each must be at least 1")
    step = -(-size // batch_size) * batch_size
    return [(start, min(step, images - start)) for start in range(0, images, step)]


def merge(parts: Sequence[Part], images: int, elapsed: float) -> Accuracy:
    """The parts as one result over `images` images. MeasurementError unless they tile the dataset exactly."""
    ordered = sorted(parts, key=lambda part: part.start)
    position = 0
    for part in ordered:
        if part.start != position or part.accuracy.images != part.count:
            raise MeasurementError(
                f"the parts do not tile the dataset: {part.accuracy.images} of {part.count} images from {part.start} "
                f"on, where image {position} was expected"
            )
        position += part.count
    if position != images:
        raise MeasurementError(f"the parts have {position} images, the dataset has {images}")
    columns = [(part.accuracy.predictions, part.accuracy.top1, part.accuracy.top5) for part in ordered]
    predictions, top1, top5 = (np.concatenate(column) for column in zip(*columns, strict=True))
    in_engine = sum(part.accuracy.seconds for part in ordered)
    not_finite = sum(part.accuracy.not_finite for part in ordered)
    warning = next((part.accuracy.warning for part in ordered if part.accuracy.warning), "")
    return Accuracy(predictions, top1, top5, in_engine, elapsed, not_finite, warning)


def evaluate_on(
    pool: Pool, job: Evaluation, prepared: Path, *, shard: int, say: Callable[[str], None] = lambda line: None
) -> tuple[Accuracy, list[Part]]:
    """Evaluate the whole dataset on the workers; `prepared` is the network's folder on this machine, which is shipped.

    Engines that are files are built once per kind of device, by the first of its workers, and shipped to the others.
    Raises what a single process would, and MeasurementError where no worker is left. `say` gets a line for each step.
    """
    from inferkit.data import open_dataset

    began = time.monotonic()
    with open_dataset(job.dataset) as dataset:
        images = len(dataset)
    network = pool.put(pack(prepared))
    engines = build_engines(pool, job, network, say)
    kinds = frozenset(engines) if engines else None
    stretches = shards(images, shard, job.batch_size)
    ranges = {f"images {start} to {start + count}": (start, count) for start, count in stretches}
    parts: list[Part] = []

    def submit(actor: Any, worker: PoolWorker, task: Task) -> Any:
        return actor.evaluate.remote(job, network, engines.get(worker.kind), *ranges[task.name])

    def accept(task: Task, worker: PoolWorker, answer: Answer) -> None:
        evaluated = value_of(answer, f"{worker.name}, {task.name}")
        if evaluated["images"] != images:
            raise MeasurementError(
                f"{worker.name} finds {evaluated['images']} images in {job.dataset}, this machine {images}"
            )
        parts.append(Part(*ranges[task.name], worker.name, evaluated["accuracy"]))
        say(f"{worker.name}: {task.name}")

    pool.run([Task(name, kinds) for name in ranges], submit, accept, say)
    return merge(parts, images, time.monotonic() - began), sorted(parts, key=lambda part: part.start)


def build_engines(pool: Pool, job: Evaluation, network: Any, say: Callable[[str], None]) -> Mapping[str, Any]:
    """The engine of every kind of device in the pool, kept in the cluster; empty where the backend keeps no files."""
    facts = backend(job.backend).facts
    if not facts.keeps_engine_files:
        return {}
    engines: dict[str, Any] = {}
    kinds = [kind for kind in pool.kinds if kind.startswith("CPU ") is not facts.on_gpu]
    names = {f"{job.key}, engine for {kind}": kind for kind in kinds}

    def accept(task: Task, worker: PoolWorker, answer: Answer) -> None:
        engines[names[task.name]] = pool.put(value_of(answer, task.name))
        say(f"{worker.name}: {task.name}")

    tasks = [Task(name, frozenset([kind])) for name, kind in names.items()]
    pool.run(tasks, lambda actor, worker, task: actor.build.remote(job, network), accept, say)
    return engines
