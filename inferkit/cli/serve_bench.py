"""`inferkit serve-bench`: MLPerf's scenarios against a model behind the batcher, judged by MLPerf's load generator."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.cli.output import add_json_or_file, json_output
from inferkit.cli.serving import add_model, open_session, seconds, settle
from inferkit.errors import UsageError

if TYPE_CHECKING:
    from inferkit.backends.base import Session
    from inferkit.serve.batching.batcher import Batcher
    from inferkit.serve.load.loadgen import Load, LoadResult
    from inferkit.serve.load.samples import Samples
    from inferkit.serve.load.search import RateSearch

EMBEDDED = "fashion_mnist"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options."""
    parser.epilog = "exit codes: 0 VALID, or measured (--accuracy, --delays) · 1 INVALID, or it cannot run · 2 usage"
    add_model(parser)
    parser.add_argument(
        "--scenario", choices=("single-stream", "multi-stream", "server", "offline"), required=True, help="MLPerf's"
    )
    parser.add_argument("--p99", type=seconds, default=0.015, metavar="TIME", help="latency bound of server (15ms)")
    parser.add_argument("--duration", type=seconds, default=10.0, metavar="TIME", help="of each run (default: 10s)")
    parser.add_argument("--qps", type=float, help="server: run at this rate; without it the highest valid is searched")
    parser.add_argument(
        "--delays", type=_delays, metavar="TIMES", help="server: latency over load for each of these delays (0,2ms,5ms)"
    )
    parser.add_argument(
        "--rates", type=_rates, metavar="QPS", help="of --delays, by commas (default: 5 to 95 %% of the engine's)"
    )
    parser.add_argument("--accuracy", action="store_true", help="accuracy mode: every sample once, top-1")
    parser.add_argument("--dataset", metavar="DATA", help="samples, a name or path (default: embedded images)")
    parser.add_argument("--samples", type=int, metavar="N", help="how many (default: 1024; in accuracy mode all)")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="where the load generator's logs go")
    add_json_or_file(parser)


def run(args: argparse.Namespace) -> int:
    """Run and print. Exit code 0 VALID (or accuracy mode), 1 INVALID."""
    with json_output(args.json) as told:
        return _measure(args, told)


def _measure(args: argparse.Namespace, told: Callable[[Any], None]) -> int:
    from inferkit.measure.latency.statistics import samples_needed
    from inferkit.serve.batching.batcher import Batcher
    from inferkit.serve.load.loadgen import Load, load_generator
    from inferkit.serve.load.search import probe

    load_generator()
    settle(args)
    if args.duration <= 0 or args.p99 <= 0 or (args.qps is not None and not args.qps > 0):
        raise UsageError("--duration, --p99 and --qps must be more than nothing")
    if args.qps is not None and args.scenario != "server":
        raise UsageError(f"--qps is for --scenario server, not for {args.scenario}")
    if args.delays and (args.scenario != "server" or args.qps is not None or args.accuracy):
        raise UsageError(
            "--delays sweeps the server scenario over its rates (--rates); it takes no --qps or --accuracy"
        )
    if args.rates and not args.delays:
        raise UsageError("--rates needs --delays: a sweep has both")
    logs = args.logs or Path(tempfile.mkdtemp(prefix="inferkit-serve-bench-"))
    found: RateSearch | None = None
    results: list[LoadResult] = []
    with open_session(args) as (_, session):
        samples = _samples(args, session)
        probed = probe(session, samples, args.max_batch)
        if args.delays:
            return _sweep(args, session, samples, probed.rate, logs, told)
        delay = args.delay if args.scenario == "server" else 0.0  # the other scenarios have nobody to wait for
        # With fewer, MLPerf's early stopping calls a run INVALID that is judged by its 99th percentile.
        queries = samples_needed(99.0) if args.scenario in ("server", "multi-stream") else 100
        with Batcher(session, args.max_batch, delay=delay, queue_limit=1 << 22) as batcher:
            load = Load(
                args.scenario,
                args.duration,
                expected=probed.expected,
                rate=args.qps or 1.5 * probed.rate,
                bound=args.p99,
                accuracy=args.accuracy,
                queries=1 if args.accuracy else queries,
            )
            if args.scenario == "server" and args.qps is None and not args.accuracy:
                found = _search(batcher, samples, load, probed.rate, logs, results)
            else:
                results.append(_run(batcher, samples, load, logs))
    if found is not None:
        print(_found(found, args))
    print(f"logs: {logs}")
    told(_as_json(args, delay, results, found))
    if found is not None:
        return 0 if found.rate is not None else 1
    return 0 if results[-1].valid is not False else 1


def _samples(args: argparse.Namespace, session: Session) -> Samples:
    from inferkit.network import zoo
    from inferkit.serve.load.samples import read_samples

    trained = args.model in zoo.names() and zoo.is_trained(args.model)
    dataset = args.dataset or (EMBEDDED if trained else None)
    steps: dict[str, Any] = zoo.card(args.model)["preprocessing"] if trained and dataset == EMBEDDED else {}
    count = args.samples or (1 << 20 if args.accuracy and dataset else 1024)
    return read_samples(session.inputs, dataset, count, steps)


def _run(batcher: Batcher, samples: Samples, load: Load, logs: Path) -> LoadResult:
    from inferkit.serve.load.loadgen import run_load

    result = run_load(batcher, samples, load, logs)
    print(_line(result), flush=True)
    return result


def _search(
    batcher: Batcher, samples: Samples, load: Load, rate: float, logs: Path, results: list[LoadResult]
) -> RateSearch:
    from inferkit.serve.load.search import find_rate

    def is_valid(qps: float) -> bool:
        results.append(_run(batcher, samples, replace(load, rate=qps), logs / f"trial-{len(results) + 1:02d}"))
        return results[-1].valid is True

    return find_rate(is_valid, rate)


def _delays(text: str) -> tuple[float, ...]:
    return tuple(seconds(part) for part in text.split(","))


def _rates(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write queries per second, separated by commas") from None


def _sweep(
    args: argparse.Namespace,
    session: Session,
    samples: Samples,
    rate: float,
    logs: Path,
    told: Callable[[Any], None],
) -> int:
    """Print a line for each point and tell the curves; their shape is in docs/serve.md. Exit code 0."""
    from inferkit.measure.machine.host import cpu_model, usable_cpus
    from inferkit.serve.load.curve import SHARES, RatePoint, curves_as_dict, measure_curves
    from inferkit.serve.load.loadgen import OFFICIAL_SECONDS

    def tell(delay: float, point: RatePoint) -> None:
        done = "" if point.completed is None else f"{point.completed:,.0f}"
        times = ["" if value is None else f"{1e3 * value:.3f}" for value in (point.p50, point.p99)]
        cells = [f"{1e3 * delay:g}", f"{point.offered:,.0f}", done, *times, f"{point.mean_batch:.1f}"]
        words = "".join(f"{cell:>12}" for cell in cells)
        print(f"{words}  {'VALID' if point.valid else 'INVALID'}", *point.reasons, flush=True)

    heads = ("delay ms", "queries/s", "done", "p50 ms", "p99 ms", "batch")
    print("".join(f"{head:>12}" for head in heads), flush=True)
    rates = args.rates or [share * rate for share in SHARES]
    short = args.duration < OFFICIAL_SECONDS
    curves = measure_curves(
        session,
        samples,
        args.max_batch,
        args.delays,
        rates,
        bound=args.p99,
        seconds=args.duration,
        logs=logs,
        on_point=tell,
    )
    print(f"logs: {logs}" + (f" (short runs: {args.duration:g} s; MLPerf asks for 600 s)" if short else ""))
    facts = {
        "model": args.model,
        "backend": args.backend,
        "precision": args.precision,
        "max_batch": args.max_batch,
        "device": session.device,
        "cpu": cpu_model(),
        "cpus": usable_cpus(),
        "engine_rate": rate,
        "bound": args.p99,
        "seconds": args.duration,
        "is_short": short,
    }
    told(curves_as_dict(curves, **facts))
    return 0


def _line(result: LoadResult) -> str:
    load = result.load
    parts = [load.scenario]
    if load.accuracy:
        parts.append(f"accuracy mode: top-1 {result.top1:.2f} %")
        return " · ".join(parts)
    parts.append("VALID" if result.valid else "INVALID")
    if load.scenario == "server":
        parts.append(f"{load.rate:,.1f} queries/s offered")
    if result.throughput is not None:
        unit = "queries/s" if load.scenario == "single-stream" else "images/s"
        parts.append(f"{result.throughput:,.1f} {unit}")
    for percentile in ("50.00", "99.00"):
        latency = result.latency(percentile)
        if latency is not None and load.scenario != "offline":
            parts.append(f"p{percentile[:2]} {latency * 1e3:.3f} ms")
    if result.is_short:
        parts.append(f"short run ({load.seconds:g} s; MLPerf asks for 600 s)")
    parts.extend(result.reasons)
    return " · ".join(parts)


def _found(found: RateSearch, args: argparse.Namespace) -> str:
    if found.rate is None:
        lowest = min(rate for rate, _ in found.trials)
        return (
            f"no rate from {lowest:.4g} queries/s on, the lowest tried, holds p99 <= {args.p99 * 1e3:g} ms; "
            f"{len(found.trials)} runs"
        )
    return (
        f"highest rate with p99 <= {args.p99 * 1e3:g} ms: {found.rate:,.1f} queries/s "
        f"({len(found.trials)} runs of {args.duration:g} s, the last two confirm it)"
    )


def _as_json(
    args: argparse.Namespace, delay: float, results: list[LoadResult], found: RateSearch | None
) -> dict[str, Any]:
    return {
        "model": args.model,
        "backend": args.backend,
        "precision": args.precision,
        "max_batch": args.max_batch,
        "delay_seconds": delay,
        "found": None if found is None else {"rate": found.rate, "trials": found.trials},
        "runs": [
            {
                "load": asdict(result.load),
                "valid": result.valid,
                "is_short": result.is_short,
                "reasons": result.reasons,
                "top1": result.top1,
                "figures": result.figures,
                "logs": str(result.logs),
            }
            for result in results
        ],
    }
