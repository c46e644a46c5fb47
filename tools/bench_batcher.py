"""The batcher's two figures: the latency that it adds without load, and its share of the engine's throughput.

    python tools/bench_batcher.py [--model lenet] [--batch 32] [--seconds 5]

Wants a quiet machine: the engine, the batcher and the client share its cores.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

import inferkit
from inferkit.backends.base import Session
from inferkit.measure.images import ImageSource
from inferkit.network.network import TensorInfo
from inferkit.serve import Batcher

Arrays = dict[str, NDArray[Any]]


def added_latency(delay: float, requests: int) -> float:
    """Median seconds from submission to answer, one request at a time, of an engine that takes no time."""
    one = {"x": np.ones((1, 16), np.float32)}
    times = []
    info = [TensorInfo("x", "float32", (None, 16))]
    with Batcher(lambda arrays: {"y": arrays["x"]}, 32, inputs=info, delay=delay) as batcher:
        for _ in range(requests):
            began = time.perf_counter()
            batcher.submit(one).result()
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def direct(run: Callable[[Arrays], Any], batch: Arrays, seconds: float) -> float:
    """Images per second of the engine alone, batch after batch."""
    rows = len(next(iter(batch.values())))
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        run(batch)
        done += rows
    return done / (time.perf_counter() - began)


def batched(run: Session | Callable[[Arrays], Any], batch: Arrays, inputs: Any, seconds: float) -> float:
    """Images per second through the batcher, single-image requests, always four batches of them under way."""
    rows = len(next(iter(batch.values())))
    images = [{name: array[row : row + 1] for name, array in batch.items()} for row in range(rows)]
    with Batcher(run, rows, inputs=inputs, queue_limit=8 * rows) as batcher:
        waiting: deque[Future[Arrays]] = deque(batcher.submit(images[n % rows]) for n in range(4 * rows))
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            waiting.popleft().result()
            done += 1
            waiting.append(batcher.submit(images[done % rows]))
        return done / (time.perf_counter() - began)


def share(name: str, run: Any, call: Callable[[Arrays], Any], batch: Arrays, inputs: Any, seconds: float) -> None:
    """Alternate both five times and print the median of each and of the pairwise shares."""
    pairs = [(direct(call, batch, seconds / 5), batched(run, batch, inputs, seconds / 5)) for _ in range(5)]
    alone, through = (statistics.median(column) for column in zip(*pairs, strict=True))
    part = statistics.median(b / a for a, b in pairs)
    print(f"{name}: engine {alone:,.0f} images/s, batcher {through:,.0f} images/s, {part:.1%}")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="lenet")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    args = parser.parse_args()
    for delay in (0.0, 0.002):
        added = added_latency(delay, int(args.seconds / (delay + 0.0002)))
        print(f"without load, bound {delay * 1e3:g} ms: {added * 1e3:.3f} ms, {(added - delay) * 1e6:+.0f} us")

    network = inferkit.load(args.model)
    batch = ImageSource(network, None, {}).first(args.batch)
    engine = inferkit.build(network, max_batch=args.batch)
    with engine.session(threads=1) as session:
        session.run(batch)
        share(f"{args.model} on onnxruntime, batch {args.batch}", session, session.run, batch, None, args.seconds)

    def device(arrays: Arrays) -> Arrays:
        time.sleep(0.005)  # as a GPU: the time passes outside of Python
        return {"y": next(iter(arrays.values()))[:, :1]}

    share(f"5 ms on a device, batch {args.batch}", device, device, batch, network.inputs, args.seconds)


if __name__ == "__main__":
    main()
