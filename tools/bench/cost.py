"""How long a run on a cluster takes, from parts that can be measured one by one: for planning, and for checking it.

A dataset: T = start + prepare + ship + build + rounds · (process + shard / rate), with rounds = ceil(shards / workers).
A case matrix: T = start + prepare + ship + build + ceil(cases / places) · replicates · (process + measure). No two
latencies share a GPU or a CPU socket, so there are as many places as the smaller of the two numbers.
Redone work: with a chance q that a worker is lost during one of its tasks, tasks grow by 1 / (1 - q).
Workers of one machine that want more cores than it has all take longer in proportion: `Parts.shared`. Parts that were
measured on a worker by itself tell the time of a run only where its neighbours leave it what it then had.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from inferkit.errors import UsageError


@dataclass(frozen=True)
class Parts:
    """Measured parts. Seconds, but `rate`: images per second of one worker within a process that runs already.

    `start`: connect and start the actors. `prepare`: the network, once. `ship`: network and engine to a node. `build`:
    the engine, once per kind of GPU. `process`: start a process, load the engine, warm up. `process_cores` and
    `rate_cores`: how many cores one worker by itself keeps busy meanwhile; 0 where nothing is known of it.
    """

    start: float
    prepare: float
    ship: float
    build: float
    process: float
    rate: float
    process_cores: float = 0.0
    rate_cores: float = 0.0

    @property
    def fixed(self) -> float:
        """What is paid once, however many workers there are."""
        return self.start + self.prepare + self.ship + self.build

    def shared(self, workers: int, cores: float) -> Parts:
        """The parts where `workers` on one machine share `cores`: what they lack, each waits for.

        Of what neighbours can take from each other (caches, memory, disk, network) cores only are counted: where the
        result is less than what is measured, the rest is to be found there.
        """
        if workers < 1 or cores <= 0:
            raise UsageError(f"{workers} workers on {cores:g} cores: no such machine")
        process, rate = (max(1.0, workers * each / cores) for each in (self.process_cores, self.rate_cores))
        return replace(self, process=self.process * process, rate=self.rate / rate)


def dataset_seconds(parts: Parts, images: int, shard: int, workers: int, *, lost: float = 0.0) -> float:
    """Seconds for a dataset in parts of `shard` images; `lost` is the chance that a part's worker is lost."""
    if images < 1 or shard < 1 or workers < 1 or not 0 <= lost < 1:
        raise UsageError(f"{images} images, parts of {shard}, {workers} workers, {lost:g} lost: no such run")
    shards = math.ceil(images / shard)
    rounds = math.ceil(shards / (1 - lost) / workers)
    return parts.fixed + rounds * (parts.process + min(shard, images) / parts.rate)


def best_shard(parts: Parts, images: int, workers: int, batch: int) -> int:
    """The largest part, in whole batches, that still gives every worker the same number of parts, at least four each.

    More parts cost a process each; fewer leave workers idle at the end, and lose more with a worker.
    """
    even = math.ceil(images / (4 * workers))
    overhead = math.ceil(9 * parts.process * parts.rate)  # with less, starting takes over a tenth of the time
    size = min(max(even, overhead), math.ceil(images / workers))
    return max(batch, math.ceil(size / batch) * batch)


def cases_seconds(
    parts: Parts, cases: int, replicates: int, measure: float, gpus: int, sockets: int, *, lost: float = 0.0
) -> float:
    """Seconds for latency cases, each of `replicates` processes that measure for `measure` seconds."""
    if min(cases, replicates, gpus, sockets) < 1 or measure <= 0 or not 0 <= lost < 1:
        raise UsageError("a matrix needs cases, replicates, GPUs, sockets and a time to measure")
    rounds = math.ceil(cases / (1 - lost) / min(gpus, sockets))
    return parts.fixed + rounds * replicates * (parts.process + measure)
