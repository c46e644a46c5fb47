"""What `serve` and `serve-bench` share: the options of a model behind the batcher, and its open session."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from inferkit.backends import DEFAULT_BACKEND, backend, engine_backend
from inferkit.cli.backend_options import add_backend, check_taken, takes
from inferkit.cli.model_options import PRECISIONS, add_model, given_dimensions, load_model
from inferkit.cli.option_types import at_least_one, delay
from inferkit.cli.precision_options import add_precision_options, at_precision, given_options
from inferkit.cli.uint8_options import add_uint8_input, given_uint8_options, with_asked_input
from inferkit.errors import UsageError
from inferkit.files import is_engine_file

if TYPE_CHECKING:
    from inferkit.backends.base import Engine, Session
    from inferkit.network.network import Network

_MAX_BATCH = 32


def add_served_model(parser: argparse.ArgumentParser) -> None:
    """The options that `open_session` reads, and those of the batcher; `settle` fills in what is not given."""
    add_model(parser, or_engine=True)
    add_backend(parser, None, f"default: {DEFAULT_BACKEND}, or the engine file's")
    parser.add_argument("--precision", help=f"{PRECISIONS} (default: fp32, or the engine file's)")
    parser.add_argument(
        "--max-batch",
        type=at_least_one,
        metavar="N",
        help=f"largest batch (default: {_MAX_BATCH}, or the engine file's)",
    )
    parser.add_argument(
        "--delay",
        type=delay,
        default=0.002,
        metavar="TIME",
        help="maximum time that a request waits for a fuller batch (default: 2ms)",
    )
    parser.add_argument("--threads", type=at_least_one, metavar="N", help="threads of the engine, on a CPU")
    parser.add_argument("--device", metavar="GPU", help="index or UUID of the GPU")
    add_precision_options(parser)
    add_uint8_input(parser)


def settle(args: argparse.Namespace) -> None:
    """Set `engine`, the engine file loaded or None, and backend, precision and largest batch where they were not given.

    UsageError where the options do not fit it, EngineError for a damaged one.
    """
    args.engine = _loaded(args) if is_engine_file(args.model) else None
    own = {"backend": DEFAULT_BACKEND, "precision": "fp32", "max_batch": _MAX_BATCH}
    if args.engine is not None:
        own = {name: getattr(args.engine.info, name) for name in own}
    for name, value in own.items():
        if getattr(args, name) is None:
            setattr(args, name, value)


def _loaded(args: argparse.Namespace) -> Engine:
    from inferkit.precision import normalize

    engine = engine_backend(args.model).load_engine(args.model)
    info = engine.info
    building = given_options(args) + given_dimensions(args) + given_uint8_options(args)
    building += ["--weights"] if args.weights else []
    if building:
        raise UsageError(f"{args.model} is an engine file: {', '.join(building)} cannot change it")
    if args.backend not in (None, info.backend):
        raise UsageError(f"{args.model} is an engine of {info.backend}, not of --backend {args.backend}")
    if args.precision is not None and normalize(args.precision) != info.precision:
        raise UsageError(f"{args.model} is an engine of {info.precision}, not of --precision {args.precision}")
    if args.max_batch is not None and not info.min_batch <= args.max_batch <= info.max_batch:
        takes = f"takes batches of {info.min_batch} to {info.max_batch}"
        raise UsageError(f"--max-batch {args.max_batch}: {args.model} {takes}")
    return engine


@contextmanager
def open_session(args: argparse.Namespace) -> Iterator[tuple[str, Session, dict[str, float]]]:
    """Load, bring to precision and build, or load an engine file, and open it, holding the device's lease.

    Gives the network's name, the session and the range that each input was calibrated for (where that is known), and
    closes all at the end. `settle` comes first.
    """
    from inferkit.measure.machine.lease import device_lease
    from inferkit.precision.input_range import calibrated_inputs
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
            yield name, session, {} if network is None else calibrated_inputs(network)


def _network(args: argparse.Namespace) -> Network:
    given_uint8_options(args)  # what does not fit is said before a network is loaded
    return with_asked_input(at_precision(load_model(args), args), args)


def _built(network: Network, args: argparse.Namespace) -> Any:
    import inferkit

    return inferkit.build(network, backend=args.backend, max_batch=args.max_batch, **settings_of_build(args))


def settings_of_build(args: argparse.Namespace) -> dict[str, Any]:
    """What building needs of the options: some builders tune on the GPU that it is to run on."""
    return {"device": args.device} if args.device is not None and takes(args.backend, "device", "build") else {}
