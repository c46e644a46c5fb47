"""`inferkit serve`: a model behind the batcher, over HTTP and gRPC (Open Inference Protocol, KServe v2)."""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
from pathlib import Path

from inferkit.cli.option_types import at_least_one
from inferkit.cli.output import add_json
from inferkit.cli.serving import add_served_model, open_session, settle
from inferkit.errors import UsageError
from inferkit.exit_codes import ExitCode

TOKEN = "INFERKIT_SERVE_TOKEN"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options."""
    add_served_model(parser)
    parser.add_argument("--name", help="name of the model in the protocol (default: the network's)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; a token is needed for others than the default 127.0.0.1",
    )
    parser.add_argument("--port", type=int, default=8000, help="HTTP port, 0 for any free one (default: %(default)s)")
    parser.add_argument(
        "--grpc-port",
        type=int,
        default=8001,
        help="gRPC port, 0 for any free one, -1 for no gRPC (default: %(default)s)",
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help=f"file with the token (default: ${TOKEN}, else no token)"
    )
    parser.add_argument(
        "--queue", type=int, metavar="N", help="maximum queue length, in images (default: 1024, or --max-batch)"
    )
    parser.add_argument(
        "--max-mib", type=at_least_one, default=64, metavar="MIB", help="maximum request size (default: %(default)s)"
    )
    add_json(parser, "print the addresses as one line of JSON")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM, then answer the requests that were accepted; returns the exit code."""
    from inferkit.serve.protocol.server import InferenceServer, check_address, check_libraries

    check_libraries()
    settle(args)
    token = _token(args.token_file)
    check_address(args.host, token)
    if not 0 <= args.port < 65_536 or not -1 <= args.grpc_port < 65_536:
        raise UsageError("--port must be 0 to 65535, --grpc-port too, or -1 for no gRPC")
    queue_limit = max(1024, args.max_batch) if args.queue is None else args.queue
    if queue_limit < args.max_batch:
        raise UsageError(f"--queue {queue_limit} is less than --max-batch {args.max_batch}: a batch must fit in it")
    from inferkit.serve.protocol.service import Service

    ended = threading.Event()
    with open_session(args) as (name, session, calibrated):
        service = Service(
            args.name or name,
            session,
            args.max_batch,
            platform=f"inferkit_{args.backend}",
            delay=args.delay,
            queue_limit=queue_limit,
            token=token,
            calibrated=calibrated,
        )
        previous = {number: signal.signal(number, lambda *_: ended.set()) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            grpc_port = None if args.grpc_port < 0 else args.grpc_port
            ports = {"http_port": args.port, "grpc_port": grpc_port}
            with InferenceServer(service, host=args.host, token=token, max_bytes=args.max_mib << 20, **ports) as server:
                _announce(
                    service.name,
                    f"http://{args.host}:{server.http_port}/v2",
                    None if server.grpc_port is None else f"{args.host}:{server.grpc_port}",
                    args.json,
                )
                ended.wait()
        finally:
            service.close()
            for number, handler in previous.items():
                signal.signal(number, handler)
    return ExitCode.OK


def _announce(model: str, http: str, grpc: str | None, as_json: bool) -> None:
    """Print the addresses on one line, at once: the program that started the server waits for it."""
    content = json.dumps({"model": model, "http": http, "grpc": grpc})
    print(content if as_json else f"{model}: {http}{(grpc and f', gRPC {grpc}') or ''}", flush=True)


def _token(path: Path | None) -> str | None:
    if path is None:
        return os.environ.get(TOKEN) or None
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the token file {path} cannot be read: {error}") from error
