"""What `serve` and `serve-bench` share: options that name a model and how it is batched, and its session, opened."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from inferkit.backends import BACKENDS
from inferkit.errors import UsageError

if TYPE_CHECKING:
    from inferkit.backends.base import Session
    from inferkit.network.network import Network


def add_model(parser: argparse.ArgumentParser) -> None:
    """The options that `open_session` reads, and those of the batcher."""
    parser.add_argument("model", metavar="MODEL", help="a prototxt, an ONNX model, or a network of the zoo")
    parser.add_argument("-w", "--weights", metavar="FILE", help="the caffemodel of a prototxt")
    parser.add_argument("--backend", choices=BACKENDS, default="onnxruntime", help="default: %(default)s")
    parser.add_argument("--precision", default="fp32", help="fp32, tf32, fp16, bf16, int8, fp8 (default: %(default)s)")
    parser.add_argument("--max-batch", type=int, default=32, metavar="N", help="largest batch (default: %(default)s)")
    parser.add_argument(
        "--delay", type=seconds, default=0.002, metavar="TIME", help="longest wait for a fuller batch (default: 2ms)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="threads of the engine (onnxruntime)")
    parser.add_argument("--device", metavar="GPU", help="index or UUID of the GPU (tensorrt)")
    from inferkit.cli.precision_options import add_precision_options

    add_precision_options(parser)


def seconds(text: str) -> float:
    """`15ms`, `500us`, `10s`, `2min` or a bare number of seconds."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(us|ms|s|min|)\s*", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 15ms, 500us, 10s or 2min")
    return float(found[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0, "": 1.0, "min": 60.0}[found[2]]


@contextmanager
def open_session(args: argparse.Namespace) -> Iterator[tuple[Network, Session]]:
    """Load, bring to precision, build and open, holding the device's lease; closes all at the end."""
    import inferkit
    from inferkit.backends import backend
    from inferkit.cli.precision_options import at_precision
    from inferkit.measure.lease import device_lease
    from inferkit.report.progress import shown_on_stderr
    from inferkit.serve.buckets import service_session

    settings: dict[str, Any] = {}
    for name, belongs in (("threads", "onnxruntime"), ("device", "tensorrt")):
        value = getattr(args, name)
        if value is None:
            continue
        if args.backend != belongs:
            raise UsageError(f"--{name} is for {belongs}, not for {args.backend}")
        settings[name] = value
    if args.max_batch < 1:
        raise UsageError(f"--max-batch {args.max_batch}: a batch needs at least one image")
    network = inferkit.load(*([args.model, args.weights] if args.weights else [args.model]))
    with shown_on_stderr():
        network = at_precision(network, args)
    with device_lease(backend(args.backend).device(**settings), timeout=60):
        with shown_on_stderr():
            engine = inferkit.build(network, backend=args.backend, max_batch=args.max_batch, **settings_of_build(args))
        with service_session(engine, args.backend, args.max_batch, **settings) as session:
            yield network, session


def settings_of_build(args: argparse.Namespace) -> dict[str, Any]:
    """What building needs of the options: TensorRT tunes on the GPU that it is to run on."""
    return {"device": args.device} if args.backend == "tensorrt" and args.device is not None else {}
