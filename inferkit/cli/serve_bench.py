"""`inferkit serve-bench`: MLPerf's load scenarios against a model behind the batcher, judged by its load generator."""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.cli.option_types import at_least_one, delay, duration
from inferkit.cli.output import add_json_or_file, json_output
from inferkit.cli.serving import add_served_model, open_session, settle
from inferkit.errors import UsageError
from inferkit.exit_codes import ExitCode

if TYPE_CHECKING:
    from inferkit.backends.base import Session
    from inferkit.serve.load.loadgen import Load, LoadResult
    from inferkit.serve.load.samples import Samples
    from inferkit.serve.load.search import RateSearch

EMBEDDED = "fashion_mnist"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options."""
    add_served_model(parser)
    parser.add_argument(
        "--scenario", choices=("single-stream", "multi-stream", "server", "offline"), required=True, help="of MLPerf"
    )
    parser.add_argument(
        "--p99", type=duration, default=0.015, metavar="TIME", help="server: latency bound at p99 (default: 15ms)"
    )
    parser.add_argument(
        "--duration", type=duration, default=10.0, metavar="TIME", help="time of each run (default: 10s)"
    )
    parser.add_argument(
        "--qps", type=float, help="server: queries per second (default: search for the highest VALID rate)"
    )
    parser.add_argument(
        "--delays", type=_delays, metavar="TIMES", help="server: latency over load for each batcher delay (0,2ms,5ms)"
    )
    parser.add_argument(
        "--rates",
        type=_rates,
        metavar="QPS,QPS,...",
        help="rates for --delays (default: 5 to 95 %% of the engine's throughput)",
    )
    parser.add_argument("--accuracy", action="store_true", help="accuracy mode: top-1 over every sample once")
    parser.add_argument("--dataset", metavar="DATA", help="name or path of the samples (default: the embedded images)")
    parser.add_argument(
        "--samples", type=at_least_one, metavar="N", help="number of samples (default: 1024; all in accuracy mode)"
    )
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="folder for the load generator's logs")
    add_json_or_file(parser)


def run(args: argparse.Namespace) -> int:
    """Run and print; returns the exit code."""
    with json_output(args.json) as write:
        return _measure(args, write)


def _measure(args: argparse.Namespace, write: Callable[[Any], None]) -> ExitCode:
    from inferkit.measure.latency.statistics import samples_needed
    from inferkit.network.network import unit_of
    from inferkit.serve.batching.batcher import Batcher
    from inferkit.serve.load.loadgen import Load, load_generator, run_load
    from inferkit.serve.load.search import probe

    load_generator()
    settle(args)
    if args.qps is not None and not args.qps > 0:
        raise UsageError(f"--qps must be above 0, not {args.qps:g}")
    if args.qps is not None and args.scenario != "server":
        raise UsageError(f"--qps needs --scenario server, not {args.scenario}")
    if args.delays and (args.scenario != "server" or args.qps is not None or args.accuracy):
        raise UsageError("--delays needs --scenario server, and cannot be used with --qps or --accuracy")
    if args.rates and not args.delays:
        raise UsageError("--rates needs --delays")
    logs = args.logs or Path(tempfile.mkdtemp(prefix="inferkit-serve-bench-"))
    highest: RateSearch | None = None
    results: list[LoadResult] = []
    with open_session(args) as (_, session, _):
        samples = _samples(args, session)
        probed = probe(session, samples, args.max_batch)
        if args.delays:
            return _sweep(args, session, samples, probed.rate, logs, write)
        waits = args.delay if args.scenario == "server" else 0.0  # in the other scenarios nothing would be waited for
        # With fewer, MLPerf's early stopping calls a run INVALID that is judged by its 99th percentile.
        queries = samples_needed(99.0) if args.scenario in ("server", "multi-stream") else 100
        with Batcher(session, args.max_batch, delay=waits, queue_limit=1 << 22) as batcher:
            load = Load(
                args.scenario,
                args.duration,
                expected=probed.expected,
                rate=args.qps or 1.5 * probed.rate,
                bound=args.p99,
                accuracy=args.accuracy,
                queries=1 if args.accuracy else queries,
            )

            def run_load_once(load: Load, folder: Path) -> LoadResult:
                results.append(run_load(batcher, samples, load, folder))
                print(_line(results[-1], unit_of(session.inputs)), flush=True)
                return results[-1]

            if args.scenario == "server" and args.qps is None and not args.accuracy:
                highest = _search(run_load_once, load, probed.rate, logs)
            else:
                run_load_once(load, logs)
    if highest is not None:
        print(_highest(highest, args))
    print(f"logs: {logs}")
    write(_as_json(args, waits, results, highest))
    return ExitCode.OK if highest is not None and highest.rate is not None else exit_code(results[-1])


def exit_code(result: LoadResult) -> ExitCode:
    """Of a run: a latency bound that was not met is worse than asked for, INVALID for another reason says nothing."""
    if result.valid is not False:
        return ExitCode.OK
    missed = result.figures.get("result_perf_constraints_met") is False
    return ExitCode.REGRESSED if missed else ExitCode.INVALID


def _samples(args: argparse.Namespace, session: Session) -> Samples:
    from inferkit.data.opening import pixels_only
    from inferkit.network import zoo
    from inferkit.serve.load.samples import read_samples

    trained = zoo.trained_preprocessing(args.model)
    dataset = args.dataset or (EMBEDDED if trained else None)
    count = args.samples or (1 << 20 if args.accuracy and dataset else 1024)
    preprocessing = trained if dataset == EMBEDDED else {}
    if any(info.dtype == "uint8" for info in session.inputs):  # then mean and scale are the engine's
        preprocessing = pixels_only(preprocessing)
    return read_samples(session.inputs, dataset, count, preprocessing)


def _search(run: Callable[[Load, Path], LoadResult], load: Load, rate: float, logs: Path) -> RateSearch:
    """The highest rate at which a run is VALID; each trial's logs go to a folder of its own."""
    from inferkit.serve.load.search import find_rate

    trials = itertools.count(1)

    def is_valid(qps: float) -> bool:
        return run(replace(load, rate=qps), logs / f"trial-{next(trials):02d}").valid is True

    return find_rate(is_valid, rate)


def _delays(text: str) -> tuple[float, ...]:
    return tuple(delay(part) for part in text.split(","))


def _rates(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not queries per second, separated by commas") from None


def _sweep(
    args: argparse.Namespace,
    session: Session,
    samples: Samples,
    rate: float,
    logs: Path,
    write: Callable[[Any], None],
) -> ExitCode:
    """Print a line for each point and write the curves; their shape is in docs/serve.md."""
    from inferkit.measure.machine.host import cpu_model, usable_cpus
    from inferkit.serve.load.curve import SHARES, RatePoint, curves_as_dict, measure_curves
    from inferkit.serve.load.loadgen import OFFICIAL_SECONDS

    def show(waits: float, point: RatePoint) -> None:
        completed = "" if point.completed is None else f"{point.completed:,.0f}"
        times = ["" if value is None else f"{1e3 * value:.3f}" for value in (point.p50, point.p99)]
        counts = [f"{1e3 * waits:g}", f"{point.offered:,.0f}", completed, f"{point.queries:,}"]
        cells = [*counts, *times, f"{point.mean_batch:.1f}"]
        row = "".join(f"{cell:>12}" for cell in cells)
        print(f"{row}  {'VALID' if point.valid else 'INVALID'}", *point.reasons, flush=True)

    heads = ("delay ms", "queries/s", "completed/s", "queries", "median ms", "p99 ms", "batch")
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
        on_point=show,
    )
    print(f"logs: {logs}" + (f" (short runs: {args.duration:g} s; MLPerf requires 600 s)" if short else ""))
    facts = {
        **_asked(args),
        "device": session.device,
        "cpu": cpu_model(),
        "cpus": usable_cpus(),
        "engine_rate": rate,
        "bound": args.p99,
        "seconds": args.duration,
        "is_short": short,
    }
    write(curves_as_dict(curves, **facts))
    return ExitCode.OK


def _line(result: LoadResult, items: str) -> str:
    load = result.load
    parts = [load.scenario]
    if load.accuracy:
        parts.append(f"accuracy mode: top-1 {result.top1:.2f} %")
        return " · ".join(parts)
    parts.append("VALID" if result.valid else "INVALID")
    if load.scenario == "server":
        parts.append(f"{load.rate:,.1f} queries/s offered")
    if result.throughput is not None:
        unit = "queries/s" if load.scenario == "single-stream" else f"{items}/s"
        parts.append(f"{result.throughput:,.1f} {unit}")
    for percentile in ("50.00", "99.00"):
        latency = result.latency(percentile)
        if latency is not None and load.scenario != "offline":
            parts.append(f"p{percentile[:2]} {latency * 1e3:.3f} ms")
    if result.is_short:
        parts.append(f"short run ({load.seconds:g} s; MLPerf requires 600 s)")
    parts.extend(result.reasons)
    return " · ".join(parts)


def _highest(highest: RateSearch, args: argparse.Namespace) -> str:
    bound, runs = f"p99 <= {args.p99 * 1e3:g} ms", len(highest.trials)
    if highest.rate is None:
        lowest = min(rate for rate, _ in highest.trials)
        return f"no rate meets {bound}; the lowest of {runs} runs was {lowest:.4g} queries/s"
    return (
        f"highest rate with {bound}: {highest.rate:,.1f} queries/s "
        f"({runs} runs of {args.duration:g} s, the last two confirm it)"
    )


def _as_json(
    args: argparse.Namespace, waits: float, results: list[LoadResult], highest: RateSearch | None
) -> dict[str, Any]:
    return {
        **_asked(args),
        "delay_seconds": waits,
        "found": None if highest is None else {"rate": highest.rate, "trials": highest.trials},
        "runs": [{**asdict(each), "is_short": each.is_short, "logs": str(each.logs)} for each in results],
    }


def _asked(args: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(args, name) for name in ("model", "backend", "precision", "max_batch")}
