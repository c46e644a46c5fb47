"""Checks the cost model of docs/scale.md: its parts are measured one by one, then a whole run against their prediction.

    python tools/scale_cost.py --ray 10.0.0.1:6379 [--model lenet] [--backend onnxruntime] [--images 40000]
    python tools/scale_cost.py --nodes 2

Wants a quiet cluster whose workers do not share cores. `--nodes` starts one here, of that many nodes of one CPU each.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from inferkit.cli.recipes import preprocessing_of, recipe_of
from inferkit.cluster.accuracy import build_engines, evaluate_on, value_of
from inferkit.cluster.cost import Parts, best_shard, dataset_seconds
from inferkit.cluster.packing import pack
from inferkit.cluster.pool import Pool, ray_module
from inferkit.cluster.schedule import Task, Worker
from inferkit.cluster.worker import Answer, Evaluation
from inferkit.data import open_dataset, write_lmdb
from inferkit.measure.engine_file import FILE_BACKENDS
from inferkit.measure.launch import prepare_network


def dataset_of(images: int, folder: Path) -> str:
    """An LMDB of the embedded images, repeated."""
    with open_dataset("fashion_mnist") as dataset:
        batch = next(dataset.batches(len(dataset), dtype="uint8"))
    order = np.arange(images) % len(batch.labels)
    write_lmdb(folder / "lmdb", (batch.images[index] for index in order), batch.labels[order].tolist())
    return str(folder / "lmdb")


def seconds_of(pool: Pool, job: Evaluation, network: Any, engines: Any, count: int) -> float:
    """How long one worker takes for one part of `count` images."""
    took: list[float] = []

    def submit(actor: Any, worker: Worker, task: Task) -> Any:
        return actor.evaluate.remote(job, network, engines.get(worker.kind), 0, count)

    def accept(task: Task, worker: Worker, answer: Answer) -> None:
        value_of(answer, task.name)
        took.append(time.monotonic() - began)

    began = time.monotonic()
    pool.run([Task("one part")], submit, accept)
    return took[0]


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
    parser.add_argument("--json", type=Path)
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
    on_gpu = args.backend in FILE_BACKENDS
    with tempfile.TemporaryDirectory(prefix="inferkit-cost-") as folder:
        data = dataset_of(args.images, Path(folder))
        steps = preprocessing_of(args)
        began = time.monotonic()
        prepared = Path(folder, "network")
        prepare_network(recipe_of(args, args.precision, dataset=data, steps=steps), prepared)
        prepare = time.monotonic() - began
        session = {} if on_gpu else {"threads": 1}
        job = Evaluation(args.model, args.backend, args.precision, data, steps, args.batch_size, session=session)
        began = time.monotonic()
        with Pool(address, on_gpu=on_gpu, on_cpu=not on_gpu) as pool:
            start = time.monotonic() - began
            network = pool.put(pack(prepared))
            began = time.monotonic()
            engines = build_engines(pool, job, network, lambda line: None)
            build = time.monotonic() - began
            few, many = args.batch_size, max(args.images // 8, 2 * args.batch_size)
            seconds_of(pool, job, network, engines, few)  # ships the network, fills the file cache
            times = {
                count: statistics.median(seconds_of(pool, job, network, engines, count) for _ in range(3))
                for count in (few, many)
            }
            rate = (many - few) / (times[many] - times[few])
            workers = len(pool.workers)
            # Starting and preparing are over; shipping is once more a part of what follows, and small here.
            parts = Parts(0.0, 0.0, 0.0, build, times[few] - few / rate, rate)
            shard = best_shard(parts, args.images, workers, args.batch_size)
            predicted = dataset_seconds(parts, args.images, shard, workers)
            began = time.monotonic()
            found, _ = evaluate_on(pool, job, prepared, shard=shard)
            took = time.monotonic() - began
    told = {
        "workers": workers,
        "start": start,
        "prepare": prepare,
        "build": build,
        "process": parts.process,
        "rate": rate,
        "shard": shard,
        "predicted": predicted,
        "measured": took,
        "top1_count": int(found.top1.sum()),
    }
    for name, value in told.items():
        print(f"{name}: {value:,.3f}" if isinstance(value, float) else f"{name}: {value:,}")
    print(f"measured / predicted: {took / predicted:.3f}")
    if args.json is not None:
        args.json.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
