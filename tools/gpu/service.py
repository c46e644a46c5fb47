"""The service view on a GPU machine in about a minute: one engine behind the batcher, its answers, and what it costs.

    python3 tools/gpu/service.py [--json FILE] [--backend tensorrt] [--model resnet50] [--precision fp16]
    python3 tools/gpu/service.py --backend onnxruntime --model lenet --precision fp32      # the same without a GPU

The engine takes any batch up to the largest; its sessions are those that `inferkit serve` opens, one for each size.
Scores are compared with ONNX Runtime's in FP32. Added latency is that of one request at a time over the engine's own;
the share is of the images per second of its timed region (copy in, execution, copy out of full batches, one after the
other), in turn with the batcher's. Each figure is written as soon as it is known. Exit code: how many checks failed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import inferkit
from inferkit.backends import backend
from inferkit.backends.base import Session
from inferkit.cli.study_engine import with_output
from inferkit.measure.images import stand_in
from inferkit.measure.machine.lease import device_lease
from inferkit.network.network import Network
from inferkit.serve.batching.batcher import Batcher
from inferkit.serve.batching.buckets import service_session, sizes_up_to
from tools.bench.batcher import batched, direct
from tools.gpu.common import FAILURES, Results, fail, relative_error, say, scores_blob

_ERROR = 0.02  # of the scores, relative to their norm: twice what the suite allows for FP16
_MOST_ADDED = 100e-6  # seconds over the bound, in the median
_LEAST_SHARE = 0.95
_ROUNDS = 5


def reference(network: Network, images: NDArray[Any]) -> NDArray[Any]:
    """ONNX Runtime's FP32 scores [N, classes] on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    runtime = onnxruntime.InferenceSession(network.model.SerializeToString(), options, ["CPUExecutionProvider"])
    scores = runtime.run([network.outputs[0].name], {network.inputs[0].name: images})[0]
    return np.asarray(scores).reshape(len(images), -1)


def outputs(session: Session, images: NDArray[Any], want: NDArray[Any], sizes: tuple[int, ...]) -> dict[str, Any]:
    """Every image as a request of its own, then requests of each size: the scores against the reference."""
    name = session.inputs[0].name
    found: dict[str, Any] = {}
    for size in sizes:
        stretches = [slice(first, first + size) for first in range(0, len(images) - size + 1, size)]
        with Batcher(session, max(sizes), delay=0.002) as batcher:
            futures = [batcher.submit({name: images[stretch]}) for stretch in stretches]
            answers = [next(iter(future.result(60).values())) for future in futures]
        got = np.concatenate(answers).reshape(len(stretches) * size, -1)
        expected = want[: len(got)]
        # Image by image: one wrong answer among many, such as a neighbour's, must not drown in the norm of all.
        worst = max(relative_error(*pair) for pair in zip(got, expected, strict=True))
        same = bool((got.argmax(1) == expected.argmax(1)).all())
        found[str(size)] = {"images": len(got), "worst_error": worst, "top1_equal": same}
        if not (worst < _ERROR and same):
            fail(f"requests of {size}: relative error {worst:.2e} (under {_ERROR}), same classes: {same}")
    say(f"scores: worst relative error {max(each['worst_error'] for each in found.values()):.2e}, requests of {sizes}")
    return found


def added(session: Session, image: dict[str, NDArray[Any]], delay: float, seconds: float) -> dict[str, float]:
    """Medians of one request at a time, by itself and through the batcher, in turn; seconds."""
    alone: list[float] = []
    through: list[float] = []
    until = time.perf_counter() + seconds
    with Batcher(session, 8, delay=delay) as batcher:
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
    if not over <= _MOST_ADDED:
        fail(f"without load, bound {delay * 1e3:g} ms: {over * 1e6:.0f} us more (at most {_MOST_ADDED * 1e6:.0f})")
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
    figures = {
        "images_per_second": {"engine": alone, "batcher": through},
        "pairs": pairs,
        "share": share,
        "run_images_per_second": whole,
    }
    say(f"batch {size}: engine {alone:,.0f} images/s, batcher {through:,.0f}: {share:.1%} (Session.run: {whole:,.0f})")
    if not share >= _LEAST_SHARE:
        fail(f"batch {size}: the batcher reaches {share:.1%} of the engine (at least {_LEAST_SHARE:.0%})")
    return figures


@contextmanager
def step(name: str) -> Iterator[None]:
    """Say how long it took; an error is a failure of this step and not the end of the others."""
    began = time.perf_counter()
    try:
        yield
    except Exception as error:
        fail(f"{name}: {type(error).__name__}: {error}")
    say(f"[{name}: {time.perf_counter() - began:.1f} s]")


def main() -> int:
    """Build, check, measure. Exit code: how many checks failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=("tensorrt", "onnxruntime"), default="tensorrt")
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--precision", default="fp16")
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 32], help="sizes that are saturated (8 32)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each saturated size (default: %(default)g)")
    parser.add_argument("--json", type=Path, default=Path("service.json"), help="default: %(default)s")
    args = parser.parse_args()
    args.json.unlink(missing_ok=True)
    results = Results(args.json)
    began, most = time.perf_counter(), max(args.batch)
    results.put("case", {name: getattr(args, name) for name in ("backend", "model", "precision", "batch", "seconds")})
    with step("reference"):
        network = inferkit.load(args.model)
        network = with_output(network, scores_blob(network))
        images = stand_in(network.inputs[0], most)
        want = reference(network, images)
    with device_lease(backend(args.backend).device(), timeout=60):
        with step("engine"):
            network = inferkit.at_precision(network, args.precision)
            engine: Any = inferkit.build(network, backend=args.backend, max_batch=most)
            info = engine.info
            told = {"flavour": info.flavour, "version": info.version, "build_seconds": info.build_seconds}
            results.put("engine", {**told, "bytes": info.size_bytes})
        if FAILURES:
            results.put("failures", FAILURES)
            return len(FAILURES)
        opened = time.perf_counter()
        settings = {} if args.backend == "tensorrt" else {"threads": 1}
        with service_session(engine, args.backend, most, **settings) as session:
            told = {"seconds": time.perf_counter() - opened, "kind": type(session).__name__, "device": session.device}
            results.put("session", told)
            say(f"session: {told}")
            feed = {session.inputs[0].name: images}
            first = {name: array[:1] for name, array in feed.items()}
            with step("outputs"):
                results.put("outputs", outputs(session, images, want, sizes_up_to(most)))
            for delay in (0.0, 0.002):
                with step(f"added {delay:g}"):
                    results.put(f"added at {delay * 1e3:g} ms", added(session, first, delay, 2.0))
            for size in args.batch:
                with step(f"saturated {size}"):
                    batch = {name: array[:size] for name, array in feed.items()}
                    results.put(f"saturated {size}", saturated(session, batch, args.seconds))
    results.put("seconds", time.perf_counter() - began)
    results.put("failures", FAILURES)
    say(f"{len(FAILURES)} fell short" if FAILURES else "everything as it should be")
    return len(FAILURES)


if __name__ == "__main__":
    raise SystemExit(main())
