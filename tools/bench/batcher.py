"""The batcher's two figures: the latency that it adds without load, and its share of the engine's throughput.

    python -m tools.bench.batcher [--model lenet] [--batch 32] [--seconds 5]

Wants a quiet machine: the engine, the batcher and the client share its cores. Exit code 1 where the median added
without load is more than the bound and 100 us, or a share is below 95 %.
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
MOST_ADDED = 100e-6  # seconds over the bound
LEAST_SHARE = 0.95


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


def share(name: str, run: Any, call: Callable[[Arrays], Any], batch: Arrays, inputs: Any, seconds: float) -> bool:
    """Alternate both five times and print the median of each and of the pairwise shares; whether it is enough."""
    pairs = [(direct(call, batch, seconds / 5), batched(run, batch, inputs, seconds / 5)) for _ in range(5)]
    alone, through = (statistics.median(column) for column in zip(*pairs, strict=True))
    part = statistics.median(b / a for a, b in pairs)
    is_enough = part >= LEAST_SHARE
    print(
        f"{name}: engine {alone:,.0f} images/s, batcher {through:,.0f} images/s, {part:.1%} "
        f"({'held' if is_enough else 'MISSED'}: at least {LEAST_SHARE:.0%})"
    )
    return is_enough


def main() -> int:
    """Print the figures. Exit code 0 where all hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="lenet")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    args = parser.parse_args()
    held: list[bool] = []
    for delay in (0.0, 0.002):
        added = added_latency(delay, int(args.seconds / (delay + 0.0002)))
        over = added - delay
        held.append(over <= MOST_ADDED)
        print(
            f"without load, bound {delay * 1e3:g} ms: {added * 1e3:.3f} ms, {over * 1e6:+.0f} us "
            f"({'held' if held[-1] else 'MISSED'}: at most {MOST_ADDED * 1e6:.0f} us more)"
        )

    network = inferkit.load(args.model)
    batch = ImageSource(network, None, {}).first(args.batch)
    engine = inferkit.build(network, max_batch=args.batch)
    with engine.session(threads=1) as session:
        session.run(batch)
        name = f"{args.model} on onnxruntime, batch {args.batch}"
        held.append(share(name, session, session.run, batch, None, args.seconds))

    def device(arrays: Arrays) -> Arrays:
        time.sleep(0.005)  # as a GPU: the time passes outside of Python
        return {"y": next(iter(arrays.values()))[:, :1]}

    held.append(share(f"5 ms on a device, batch {args.batch}", device, device, batch, network.inputs, args.seconds))
    return 0 if all(held) else 1


if __name__ == "__main__":
    raise SystemExit(main())
