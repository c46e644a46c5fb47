"""Checks the cost model of docs/scale.md: its parts are measured one by one, then a whole run against their prediction.

    python -m tools.bench.scale --nodes 2
    python -m tools.bench.scale --ray 10.0.0.1:6379 [--model lenet] [--backend onnxruntime] [--images 40000]

`--nodes` starts a cluster here, of that many nodes of one CPU each; they share this machine, and so does the model's
`Parts.shared`. One worker is measured by itself, then all at once, then a whole run. Wants quiet machines.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np

from inferkit.backends import backend
from inferkit.cli.pixels import preprocessing_of, recipe_of
from inferkit.cluster.accuracy import build_engines, evaluate_on, value_of
from inferkit.cluster.packing import pack
from inferkit.cluster.pool import Pool, ray_module
from inferkit.cluster.schedule import PoolWorker, Task
from inferkit.cluster.worker import Answer, Evaluation
from inferkit.data import open_dataset, write_lmdb
from inferkit.measure.accuracy.top_k import Accuracy
from inferkit.measure.jobs.launch import prepare_network
from inferkit.measure.machine.host import HostActivity
from tools.bench.cost import Parts, best_shard, dataset_seconds


def dataset_of(images: int, folder: Path) -> str:
    """An LMDB of the embedded images, repeated."""
    with open_dataset("fashion_mnist") as dataset:
        batch = next(dataset.batches(len(dataset), dtype="uint8"))
    order = np.arange(images) % len(batch.labels)
    write_lmdb(folder / "lmdb", (batch.images[index] for index in order), batch.labels[order].tolist())
    return str(folder / "lmdb")


@dataclass(frozen=True)
class Measured:
    """Parts that workers did at the same time, one each, and what it took.

    `process`: seconds that are not the reading and running of images, `rate`: images per second of one worker, both
    the mean of the workers. `cores`: core-seconds of the first worker. `others`: cores that everybody else kept busy.
    """

    process: float
    rate: float
    cores: float
    others: float


def measure(pool: Pool, job: Evaluation, network: Any, engines: Any, count: int, workers: int) -> Measured:
    """Give each of the first `workers` workers a part of `count` images, all at once."""
    answers: list[tuple[float, Accuracy]] = []

    def submit(actor: Any, worker: PoolWorker, task: Task) -> Any:
        return actor.evaluate.remote(job, network, engines.get(worker.kind), 0, count)

    def accept(task: Task, worker: PoolWorker, answer: Answer) -> None:
        answers.append((time.monotonic() - began, value_of(answer, task.name)["accuracy"]))

    first = pool.workers[0].kind
    before, _ = pool.ask(first, lambda actor: actor.load.remote())
    began = time.monotonic()
    pool.run([Task(f"part {number}") for number in range(workers)], submit, accept)
    took = time.monotonic() - began
    after, _ = pool.ask(first, lambda actor: actor.load.remote())
    return Measured(
        process=fmean(wall - accuracy.elapsed for wall, accuracy in answers),
        rate=1 / fmean(accuracy.elapsed / count for _, accuracy in answers),
        cores=after.own - before.own,
        others=HostActivity.between(before, after, took).others or 0.0,
    )


def medians(count: int, **how: Any) -> Measured:
    """The medians of three measurements."""
    times = [measure(count=count, **how) for _ in range(3)]
    names = ("process", "rate", "cores", "others")
    return Measured(*(median(getattr(each, name) for each in times) for name in names))


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cluster = parser.add_mutually_exclusive_group(required=True)
    cluster.add_argument("--ray", metavar="ADDRESS")
    cluster.add_argument("--nodes", type=int, metavar="N")
    parser.add_argument("--model", default="lenet")
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--images", type=int, default=40_000)
    parser.add_argument("--batch-size", type=int, default=100)
    args = parser.parse_args()
    args.weights = None
    with contextlib.ExitStack() as stack:
        address = args.ray or stack.enter_context(nodes(args.nodes))
        check(args, address)


@contextlib.contextmanager
def nodes(count: int) -> Iterator[str]:
    """A cluster on loopback; its address."""
    ray_module("127.0.0.1:0")
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "node_ip_address": "127.0.0.1"}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(count):
            cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1")
        yield cluster.address
    finally:
        cluster.shutdown()


def check(args: argparse.Namespace, address: str) -> None:
    """Measure, predict, run, compare, on the cluster there."""
    on_gpu = backend(args.backend).facts.on_gpu
    with tempfile.TemporaryDirectory(prefix="inferkit-cost-") as folder:
        data = dataset_of(args.images, Path(folder))
        steps = preprocessing_of(args)
        began = time.monotonic()
        prepared = Path(folder, "network")
        prepare_network(recipe_of(args, args.precision, dataset=data, preprocessing=steps), prepared)
        prepare = time.monotonic() - began
        session = {} if on_gpu else {"threads": 1}
        job = Evaluation(args.model, args.backend, args.precision, data, steps, args.batch_size, session=session)
        began = time.monotonic()
        with Pool(address, on_gpu=on_gpu, on_cpu=not on_gpu) as pool:
            start = time.monotonic() - began
            began = time.monotonic()
            network = pool.put(pack(prepared))
            ship = time.monotonic() - began
            began = time.monotonic()
            engines = build_engines(pool, job, network, lambda line: None)
            build = time.monotonic() - began
            compare(pool, job, prepared, args.images, Parts(start, prepare, ship, build, 1, 1), network, engines)


def compare(pool: Pool, job: Evaluation, prepared: Path, images: int, paid: Parts, network: Any, engines: Any) -> None:
    """Print what one worker takes by itself, what all at once are said to take and take, and the whole run likewise."""
    workers = len(pool.workers)
    machines = Counter(worker.group.partition("/")[0] for worker in pool.workers)
    neighbours = machines[pool.workers[0].group.partition("/")[0]]
    few, many = job.batch_size, max(images // (2 * workers), 2 * job.batch_size)
    how: dict[str, Any] = {"pool": pool, "job": job, "network": network, "engines": engines}
    measure(count=few, workers=workers, **how)  # unpacks the network everywhere, fills the file cache
    short, alone = medians(few, workers=1, **how), medians(many, workers=1, **how)
    an_image = max(0.0, (alone.cores - short.cores) / (many - few))
    process_cores = max(0.0, short.cores - few * an_image) / short.process
    one = replace(
        paid,
        process=alone.process,
        rate=alone.rate,
        process_cores=process_cores,
        rate_cores=an_image * alone.rate,
    )
    _, cpus = pool.ask(pool.workers[0].kind, lambda actor: actor.load.remote())
    cores = max(cpus - alone.others, 1.0)
    shared = one.shared(neighbours, cores)
    together = medians(many, workers=workers, **how)
    shard = best_shard(shared, images, workers, job.batch_size)
    # Starting and preparing are over; putting and building are part of what follows once more.
    begun = {"start": 0.0, "prepare": 0.0}

    def predicted(parts: Parts) -> float:
        return dataset_seconds(replace(parts, **begun), images, shard, workers)

    at_once = replace(shared, process=together.process, rate=together.rate)
    began = time.monotonic()
    evaluate_on(pool, job, prepared, shard=shard)
    took = time.monotonic() - began
    print(
        f"{workers} workers, {neighbours} on a machine of {cpus} CPUs, of which others use {alone.others:.2f}; one "
        f"worker uses {one.process_cores:.2f} while its process starts, {one.rate_cores:.2f} while it evaluates"
    )
    print(f"{'':24}{'alone':>12}{'predicted':>12}{'measured':>12}{'measured / predicted':>22}")
    for name in ("start", "prepare", "ship", "build"):
        print(f"{name + ', s, once':24}{getattr(one, name):12.3f}")
    for label, by_itself, prediction, measured in (
        ("process, s", one.process, shared.process, together.process),
        ("images/s of a worker", one.rate, shared.rate, together.rate),
        ("dataset, s", predicted(one), predicted(shared), took),
        ("  from all at once", None, predicted(at_once), took),
    ):
        first = "" if by_itself is None else f"{by_itself:,.3f}"
        print(f"{label:24}{first:>12}{prediction:12,.3f}{measured:12,.3f}{measured / prediction:22.3f}")
    if alone.others > 0.1 * cpus:
        print("others kept more than a tenth of the CPUs busy: this is no check of the model, repeat it")


if __name__ == "__main__":
    main()
