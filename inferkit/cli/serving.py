"""What `serve` and `serve-bench` share: options that name a model and how it is batched, and its session, opened."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from inferkit.backends import DEFAULT_BACKEND, backend, engine_backend
from inferkit.cli.backend_options import add_backend, check_taken, takes
from inferkit.errors import UsageError
from inferkit.files import is_engine_file

if TYPE_CHECKING:
    from inferkit.backends.base import Engine, Session
    from inferkit.network.network import Network

_MAX_BATCH = 32


def add_model(parser: argparse.ArgumentParser) -> None:
    """The options that `open_session` reads, and those of the batcher; `settle` fills in what is not given."""
    parser.add_argument(
        "model", metavar="MODEL", help="a prototxt, an ONNX model, a network of the zoo, or an engine file"
    )
    parser.add_argument("-w", "--weights", metavar="FILE", help="the caffemodel of a prototxt")
    add_backend(parser, None, f"default: {DEFAULT_BACKEND}, or the engine file's")
    parser.add_argument(
        "--precision", help="fp32, tf32, fp16, bf16, int8, fp8 (default: fp32, or what the engine file was built at)"
    )
    parser.add_argument(
        "--max-batch", type=int, metavar="N", help=f"largest batch (default: {_MAX_BATCH}, or the engine file's)"
    )
    parser.add_argument(
        "--delay", type=seconds, default=0.002, metavar="TIME", help="longest wait for a fuller batch (default: 2ms)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="threads of the engine, on a CPU")
    parser.add_argument("--device", metavar="GPU", help="index or UUID of the GPU")
    from inferkit.cli.precision_options import add_precision_options

    add_precision_options(parser)


def seconds(text: str) -> float:
    """`15ms`, `500us`, `10s`, `2min` or a bare number of seconds."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(us|ms|s|min|)\s*", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 15ms, 500us, 10s or 2min")
    return float(found[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0, "": 1.0, "min": 60.0}[found[2]]


def settle(args: argparse.Namespace) -> None:
    """Backend, precision and largest batch where they were not given: an engine file, `engine` then, has its own.

    UsageError where the options do not fit it, EngineError for a damaged one.
    """
    args.engine = _loaded(args) if is_engine_file(args.model) else None
    own = {"backend": DEFAULT_BACKEND, "precision": "fp32", "max_batch": _MAX_BATCH}
    if args.engine is not None:
        own = {name: getattr(args.engine.info, name) for name in own}
    for name, value in own.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.max_batch < 1:
        raise UsageError(f"--max-batch {args.max_batch}: a batch needs at least one image")


def _loaded(args: argparse.Namespace) -> Engine:
    from inferkit.cli.precision_options import given_options
    from inferkit.precision import normalize

    engine = engine_backend(args.model).load_engine(args.model)
    info = engine.info
    building = given_options(args) + (["--weights"] if args.weights else [])
    if building:
        raise UsageError(f"{args.model} is built already: {', '.join(building)} would change nothing of it")
    if args.backend not in (None, info.backend):
        raise UsageError(f"{args.model} is an engine of {info.backend}, not of --backend {args.backend}")
    if args.precision is not None and normalize(args.precision) != info.precision:
        raise UsageError(f"{args.model} is an engine of {info.precision}, not of --precision {args.precision}")
    if args.max_batch is not None and not info.min_batch <= args.max_batch <= info.max_batch:
        takes = f"takes batches of {info.min_batch} to {info.max_batch}"
        raise UsageError(f"--max-batch {args.max_batch}: {args.model} {takes}")
    return engine


@contextmanager
def open_session(args: argparse.Namespace) -> Iterator[tuple[str, Session]]:
    """Load, bring to precision and build, or load an engine file, and open it, holding the device's lease.

    Gives the network's name and the session, and closes all at the end. `settle` comes first.
    """
    from inferkit.measure.machine.lease import device_lease
    from inferkit.serve.batching.buckets import service_session

    settings: dict[str, Any] = {}
    for name in ("threads", "device"):
        value = getattr(args, name)
        if value is not None:
            check_taken(name, args.backend, name, "session")
            settings[name] = value
    network = _network(args) if args.engine is None else None
    with device_lease(backend(args.backend).device(**settings), timeout=60):
        engine = _built(network, args) if network is not None else args.engine
        name = network.name if network is not None else engine.info.network
        with service_session(engine, args.max_batch, **settings) as session:
            yield name, session


def _network(args: argparse.Namespace) -> Network:
    import inferkit
    from inferkit.cli.precision_options import at_precision
    from inferkit.report.progress import shown_on_stderr

    network = inferkit.load(*([args.model, args.weights] if args.weights else [args.model]))
    with shown_on_stderr():
        return at_precision(network, args)


def _built(network: Network, args: argparse.Namespace) -> Any:
    import inferkit
    from inferkit.report.progress import shown_on_stderr

    with shown_on_stderr():
        return inferkit.build(network, backend=args.backend, max_batch=args.max_batch, **settings_of_build(args))


def settings_of_build(args: argparse.Namespace) -> dict[str, Any]:
    """What building needs of the options: some builders tune on the GPU that it is to run on."""
    return {"device": args.device} if args.device is not None and takes(args.backend, "device", "build") else {}
