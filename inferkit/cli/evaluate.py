"""`inferkit evaluate`: top-1 and top-5 of a model over a dataset, on this machine or on a Ray cluster."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.backends import DEFAULT_BACKEND, backend
from inferkit.cli.backend_options import add_backend
from inferkit.cli.model_options import add_model, add_precision
from inferkit.cli.option_types import at_least_one
from inferkit.cli.output import add_json_or_file, json_output
from inferkit.exit_codes import ExitCode

if TYPE_CHECKING:
    from inferkit.cluster.accuracy import Part
    from inferkit.cluster.worker import Evaluation
    from inferkit.measure.accuracy.top_k import Accuracy


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options."""
    add_model(parser)
    parser.add_argument(
        "--dataset", default="fashion_mnist", metavar="DATA", help="name or path (default: %(default)s)"
    )
    parser.add_argument(
        "--preprocessing",
        type=_preprocessing,
        metavar="JSON",
        help='such as {"scale": 0.004} (default: that of a built-in network, else none)',
    )
    add_backend(parser, DEFAULT_BACKEND)
    add_precision(parser)
    parser.add_argument(
        "--batch-size", type=at_least_one, default=100, metavar="N", help="images per batch (default: %(default)s)"
    )
    parser.add_argument(
        "--ray", metavar="ADDRESS", help="evaluate on this Ray cluster: an address such as 127.0.0.1:6379, or local"
    )
    parser.add_argument(
        "--shard",
        type=at_least_one,
        default=5000,
        metavar="N",
        help="images that a worker takes at a time (default: %(default)s)",
    )
    add_json_or_file(parser)


def _preprocessing(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object with the preprocessing")
    return content


def run(args: argparse.Namespace) -> int:
    """Evaluate and print; returns the exit code."""
    with json_output(args.json) as write:
        _run(args, write)
    return ExitCode.OK


def _run(args: argparse.Namespace, write: Callable[[Any], None]) -> None:
    from inferkit.cli.pixels import preprocessing_of, recipe_of
    from inferkit.cluster.worker import Evaluation
    from inferkit.measure.jobs.launch import prepare_network
    from inferkit.precision import normalize

    precision = normalize(args.precision)
    preprocessing = preprocessing_of(args) if args.preprocessing is None else args.preprocessing
    dataset = args.dataset if args.dataset == "fashion_mnist" else str(Path(args.dataset).resolve())
    with tempfile.TemporaryDirectory(prefix="inferkit-evaluate-") as folder:
        prepared = Path(folder, "network")
        prepare_network(recipe_of(args, precision, dataset=dataset, preprocessing=preprocessing), prepared)
        job = Evaluation(f"{args.model} {precision}", args.backend, precision, dataset, preprocessing, args.batch_size)
        accuracy, parts = _on_cluster(args, job, prepared) if args.ray else (_on_this_machine(job, prepared), [])
    print(
        f"{args.model} {precision} on {args.backend}: top-1 {accuracy.top1_percent:.2f} % "
        f"({int(accuracy.top1.sum())} of {accuracy.images}), top-5 {accuracy.top5_percent:.2f} %, "
        f"{accuracy.images / accuracy.elapsed:,.0f} images/s"
    )
    if accuracy.warning:
        print(f"inferkit evaluate: {accuracy.warning}", file=sys.stderr)
    write(
        {
            "schema": 1,
            "kind": "accuracy",
            "model": args.model,
            "backend": args.backend,
            "precision": precision,
            "dataset": dataset,
            "images": accuracy.images,
            "top1_count": int(accuracy.top1.sum()),
            "top5_count": int(accuracy.top5.sum()),
            "not_finite": accuracy.not_finite,
            "elapsed": accuracy.elapsed,
            "parts": [{"start": part.start, "count": part.count, "worker": part.worker} for part in parts],
            "predictions": accuracy.predictions.tolist(),
        }
    )


def _on_this_machine(job: Evaluation, prepared: Path) -> Accuracy:
    from inferkit.measure.accuracy.top_k import AccuracySpec
    from inferkit.measure.engine.engine_file import EngineSpec
    from inferkit.measure.jobs.interpreter import with_environment
    from inferkit.measure.jobs.launch import run_accuracy
    from inferkit.suite.campaign.target import measuring_environment

    engine = EngineSpec(str(prepared), job.backend, job.batch_size)
    spec = AccuracySpec(engine, job.dataset, job.preprocessing)
    return run_accuracy(spec, job.key, by=with_environment(None, measuring_environment(job.backend, job.precision, {})))


def _on_cluster(args: argparse.Namespace, job: Evaluation, prepared: Path) -> tuple[Accuracy, list[Part]]:
    from inferkit.cluster.accuracy import evaluate_on
    from inferkit.cluster.pool import Pool

    on_gpu = backend(args.backend).facts.on_gpu
    with Pool(args.ray, on_gpu=on_gpu, on_cpu=not on_gpu) as pool:
        print(", ".join(f"{count} × {kind}" for kind, count in pool.kinds.items()), flush=True)
        return evaluate_on(pool, job, prepared, shard=args.shard, say=lambda line: print(line, flush=True))
