"""Soak of the batcher: over a million requests in ten minutes on an engine that takes no time; memory stays flat.

    python -m tools.bench.soak [--minutes 10] [--rate 2500]

Threads and an asyncio loop submit at a set rate, some requests are cancelled, some have deadlines, some fail, and the
queue is full at times: what a service sees in a long life. Exit code 1 where a request was lost, answered twice or
wrongly, or memory grew by more than --growth MiB after the first tenth.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import threading
import time
from collections import Counter
from concurrent.futures import CancelledError, Future
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from inferkit.network.network import TensorInfo
from inferkit.serve import Batcher, BatchRecord, DeadlineExceeded, QueueFull

Arrays = dict[str, NDArray[Any]]
_MOST_AT_ONCE = 200  # requests of a step that came late
_BURST = 3000  # requests at once: more than the queue takes


class Refused(Exception):
    """What the engine raises for a request that asks for it."""


def engine(arrays: Arrays) -> Arrays:
    """Takes no time; fails for a batch that holds a negative number."""
    values = arrays["x"]
    if (values < 0).any():
        raise Refused
    return {"y": values * 2}


class Tally:
    """How requests ended, of all clients; a future that is called back twice would be counted twice."""

    def __init__(self) -> None:
        self.ended: Counter[str] = Counter()
        self.submitted = 0
        self._lock = threading.Lock()

    def sent(self) -> None:
        with self._lock:
            self.submitted += 1

    def end(self, how: str) -> None:
        with self._lock:
            self.ended[how] += 1


def outcome(future: Future[Arrays], number: float) -> str:
    """How this request ended: `answered` only where the answer is its own."""
    try:
        answer = future.result(0)
    except CancelledError:
        return "cancelled"
    except DeadlineExceeded:
        return "late"
    except Refused:
        return "refused"
    return "answered" if answer["y"].shape == (1, 1) and answer["y"].item() == np.float32(number * 2) else "WRONG"


def send(batcher: Batcher, tally: Tally, number: int, mix: random.Random) -> None:
    """One request. One in 100 fails, one in 50 has a deadline, one in 50 is cancelled."""
    value = float(-number if mix.random() < 0.01 else number) or 1.0
    deadline = 0.0005 if mix.random() < 0.02 else None
    tally.sent()
    try:
        future = batcher.submit(np.array([[value]], np.float32), deadline=deadline)
    except QueueFull:
        tally.end("full")
        return
    future.add_done_callback(lambda done: tally.end(outcome(done, value)))
    if mix.random() < 0.02:
        future.cancel()


def client(batcher: Batcher, tally: Tally, seed: int, rate: float, until: float) -> None:
    """A thread that sends up to `rate` requests a second, in steps of ten milliseconds, and now and then a burst.

    It keeps none of them, and does not catch up on what a busy machine kept it from.
    """
    mix, number = random.Random(seed), 0
    before = time.monotonic()
    while (now := time.monotonic()) < until:
        count = _BURST if mix.random() < 0.001 else min(round(rate * (now - before)), _MOST_AT_ONCE)
        before = now
        for _ in range(count):
            # float32 holds whole numbers exactly up to 2^24.
            number = (number + 1) % (1 << 23)
            send(batcher, tally, number, mix)
        time.sleep(0.01)


async def tasks(batcher: Batcher, tally: Tally, until: float) -> None:
    """An asyncio loop with eight tasks that wait for each answer, the first of which is cancelled at times."""

    async def ask(number: int) -> None:
        tally.sent()
        try:
            answer = await batcher.asubmit(np.array([[float(number)]], np.float32))
            tally.end("answered" if answer["y"].item() == np.float32(number * 2) else "WRONG")
        except QueueFull:
            tally.end("full")
        except asyncio.CancelledError:
            tally.end("cancelled")
            raise

    number = 0
    while time.monotonic() < until:
        group = [asyncio.create_task(ask(number + index)) for index in range(8)]
        number = (number + 8) % (1 << 23)
        await asyncio.sleep(0)
        if number % 400 == 0:
            group[0].cancel()
        await asyncio.gather(*group, return_exceptions=True)
        await asyncio.sleep(0.005)


def soak(minutes: float, rate: float, clients: int = 4) -> dict[str, Any]:
    """Run it; what was counted, and the memory (bytes) after each hundredth of the time."""
    tally, batches = Tally(), Counter[str]()

    def observe(record: BatchRecord) -> None:
        batches["batches"] += 1
        batches["requests"] += record.requests

    process = psutil.Process()
    began = time.monotonic()
    until = began + minutes * 60
    memory: list[int] = []
    info = [TensorInfo("x", "float32", (None, 1))]
    with Batcher(engine, 32, inputs=info, delay=0.001, queue_limit=512, observer=observe) as batcher:
        threads = [
            threading.Thread(target=client, args=(batcher, tally, seed + 1, rate / clients, until))
            for seed in range(clients)
        ]
        threads.append(threading.Thread(target=lambda: asyncio.run(tasks(batcher, tally, until))))
        for thread in threads:
            thread.start()
        while time.monotonic() < until:
            time.sleep(min(minutes * 0.6, max(0.0, until - time.monotonic())))
            gc.collect()
            memory.append(process.memory_info().rss)
        for thread in threads:
            thread.join()
    ended = dict(tally.ended)
    settled = memory[len(memory) // 10 :]
    return {
        "seconds": time.monotonic() - began,
        "submitted": tally.submitted,
        "ended": ended,
        "lost": tally.submitted - sum(ended.values()),
        "batches": batches["batches"],
        "memory_first": settled[0],
        "memory_last": settled[-1],
        "memory_most": max(settled),
        "growth": settled[-1] - settled[0],
    }


def problems(found: dict[str, Any], growth: int) -> list[str]:
    """What is wrong with a soak; `growth` in bytes is how much memory may grow."""
    wrong = []
    if found["lost"]:
        wrong.append(f"{found['lost']} requests have no end, or two")
    if found["ended"].get("WRONG"):
        wrong.append(f"{found['ended']['WRONG']} answers were another request's")
    if found["growth"] > growth:
        wrong.append(f"memory grew by {found['growth'] / 2**20:.1f} MiB")
    return wrong


def main() -> int:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=2500.0, help="requests per second (2500: 1.5 million)")
    parser.add_argument("--growth", type=float, default=8.0, help="MiB that memory may grow (allocators breathe)")
    args = parser.parse_args()
    found = soak(args.minutes, args.rate)
    ends = ", ".join(f"{count:,} {how}" for how, count in sorted(found["ended"].items()))
    print(f"{found['submitted']:,} requests in {found['seconds']:.0f} s, {found['batches']:,} batches: {ends}")
    first, last, most = (found[f"memory_{name}"] / 2**20 for name in ("first", "last", "most"))
    print(f"memory after the first tenth {first:.1f} MiB, at the end {last:.1f} MiB, at most {most:.1f} MiB")
    wrong = problems(found, int(args.growth * 2**20))
    for line in wrong:
        print(f"FAILED: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
