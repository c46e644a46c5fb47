"""Part `service`: one engine behind the batcher in about a minute, its answers, and what it costs.

The engine takes any batch up to the largest; its sessions are those that `inferkit serve` opens, one for each size.
Scores are compared with ONNX Runtime's in FP32. Added latency is that of one request at a time over the engine's own;
the share is of the images per second of its timed region (copy in, execution, copy out of full batches, one after the
other), in turn with the batcher's. Each figure is written as soon as it is known.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

import inferkit
from inferkit.backends import backend
from inferkit.backends.base import Session
from inferkit.measure.images import stand_in
from inferkit.measure.machine.lease import device_lease
from inferkit.serve.batching.batcher import Batcher
from inferkit.serve.batching.buckets import service_session, sizes_up_to
from tools.bench.batcher import LEAST_SHARE, MOST_ADDED, batched, direct
from tools.gpu.common import Results, by_onnxruntime, fail, relative_error, say, scored, step

BATCHES = (8, 32)
_ERROR = 0.02  # of the scores, relative to their norm: twice what the suite allows for FP16
_ROUNDS = 5


def run(results: Results, backend_name: str, model: str, precision: str, seconds: float) -> None:
    """Build, check, measure; `seconds` for each of the saturated batches."""
    figures: dict[str, Any] = {"backend": backend_name, "model": model, "precision": precision, "seconds": seconds}

    def put(name: str, value: Any) -> None:
        figures[name] = value
        results.put("service", figures)

    most = max(BATCHES)
    network = scored(inferkit.load(model))
    images = stand_in(network.inputs[0], most)
    want = by_onnxruntime(network, [images])
    with device_lease(backend(backend_name).device(), timeout=60):
        engine: Any = inferkit.build(inferkit.at_precision(network, precision), backend=backend_name, max_batch=most)
        info = engine.info
        put("engine", {name: getattr(info, name) for name in ("flavour", "version", "build_seconds", "size_bytes")})
        opened = time.perf_counter()
        settings = {} if backend_name == "tensorrt" else {"threads": 1}
        with service_session(engine, most, **settings) as session:
            kind = {"seconds": time.perf_counter() - opened, "kind": type(session).__name__, "device": session.device}
            put("session", kind)
            say(f"session: {kind}")
            feed = {session.inputs[0].name: images}
            with step("outputs"):
                put("outputs", outputs(session, images, want, sizes_up_to(most)))
            for delay in (0.0, 0.002):
                with step(f"added {delay:g}"):
                    first = {name: array[:1] for name, array in feed.items()}
                    put(f"added at {delay * 1e3:g} ms", added(session, first, delay, 2.0))
            for size in BATCHES:
                with step(f"saturated {size}"):
                    batch = {name: array[:size] for name, array in feed.items()}
                    put(f"saturated {size}", saturated(session, batch, seconds))


def outputs(session: Session, images: NDArray[Any], want: NDArray[Any], sizes: tuple[int, ...]) -> dict[str, Any]:
    """Every image as a request of its own, then requests of each size: the scores against the reference."""
    name = session.inputs[0].name
    by_size: dict[str, Any] = {}
    for size in sizes:
        stretches = [slice(first, first + size) for first in range(0, len(images) - size + 1, size)]
        with Batcher(session, max(sizes), delay=0.002) as batcher:
            futures = [batcher.submit({name: images[stretch]}) for stretch in stretches]
            answers = [next(iter(future.result(60).values())) for future in futures]
        got = np.concatenate(answers).reshape(len(stretches) * size, -1)
        expected = want[: len(got)]
        # Image by image: one wrong answer among many, such as a neighbour's, must not drown in the norm of all.
        largest = max(relative_error(*pair) for pair in zip(got, expected, strict=True))
        same = bool((got.argmax(1) == expected.argmax(1)).all())
        by_size[str(size)] = {"images": len(got), "largest_error": largest, "top1_equal": same}
        if not (largest < _ERROR and same):
            fail(f"requests of {size}: relative error {largest:.2e} (under {_ERROR}), same classes: {same}")
    largest = max(each["largest_error"] for each in by_size.values())
    say(f"scores: largest relative error {largest:.2e}, requests of {sizes}")
    return by_size


def added(session: Session, image: dict[str, NDArray[Any]], delay: float, seconds: float) -> dict[str, float]:
    """Medians of one request at a time, by itself and through the batcher, in turn; seconds."""
    alone: list[float] = []
    through: list[float] = []
    until = time.perf_counter() + seconds
    with Batcher(session, max(BATCHES), delay=delay) as batcher:
        while time.perf_counter() < until or len(alone) < 20:
            # The batcher's thread is idle whenever no request is under way: the session is ours meanwhile.
            for times, call in ((alone, session.run), (through, lambda feed: batcher.submit(feed).result(60))):
                began = time.perf_counter()
                call(image)
                times.append(time.perf_counter() - began)
    figures = {"alone": median(alone), "through": median(through), "requests": len(alone)}
    over = figures["through"] - figures["alone"] - delay
    engine = figures["alone"] * 1e3
    say(f"without load, bound {delay * 1e3:g} ms: engine {engine:.3f} ms, {over * 1e6:+.0f} us over both")
    if not over <= MOST_ADDED:
        fail(f"without load, bound {delay * 1e3:g} ms: {over * 1e6:.0f} us more (at most {MOST_ADDED * 1e6:.0f})")
    return {**figures, "over_bound": over}


def saturated(session: Session, batch: dict[str, NDArray[Any]], seconds: float) -> dict[str, Any]:
    """Images per second of the engine's timed region and through the batcher, alternately; of `Session.run` as well."""
    size = len(next(iter(batch.values())))
    pairs: list[list[float]] = []

    def engine_alone() -> float:
        session.load(batch)
        return direct(lambda _: session.execute(), batch, seconds / _ROUNDS / 2)

    for number in range(_ROUNDS):
        calls: list[Callable[[], float]] = [
            engine_alone,
            lambda: batched(session, batch, None, seconds / _ROUNDS / 2),
        ]
        turn = calls if number % 2 == 0 else calls[::-1]  # what drifts falls on both alike
        rates = [call() for call in turn]
        pairs.append(rates if turn is calls else rates[::-1])
    whole = direct(session.run, batch, seconds / _ROUNDS / 2)
    share = median(second / first for first, second in pairs)
    alone, through = (median(column) for column in zip(*pairs, strict=True))
    say(f"batch {size}: engine {alone:,.0f} images/s, batcher {through:,.0f}: {share:.1%} (Session.run: {whole:,.0f})")
    if not share >= LEAST_SHARE:
        fail(f"batch {size}: the batcher reaches {share:.1%} of the engine (at least {LEAST_SHARE:.0%})")
    rates_of = {"engine": alone, "batcher": through}
    return {"images_per_second": rates_of, "pairs": pairs, "share": share, "run_images_per_second": whole}
