"""`inferkit evaluate`: top-1 and top-5 of a model over a whole dataset, in one process or on a Ray cluster."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.backends import DEFAULT_BACKEND, backend
from inferkit.cli.backend_options import add_backend
from inferkit.cli.output import add_json_or_file, json_output
from inferkit.errors import UsageError

if TYPE_CHECKING:
    from inferkit.cluster.accuracy import Part
    from inferkit.cluster.worker import Evaluation
    from inferkit.measure.accuracy.top_k import Accuracy


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options."""
    parser.epilog = "exit codes: 0 evaluated · 1 it could not be · 2 usage"
    parser.add_argument("model", metavar="MODEL", help="a prototxt, an ONNX model, or a network of the zoo")
    parser.add_argument("-w", "--weights", metavar="FILE", help="the caffemodel of a prototxt")
    parser.add_argument("--dataset", default="fashion_mnist", metavar="DATA", help="a name or a path (%(default)s)")
    parser.add_argument(
        "--preprocessing", type=_steps, metavar="JSON", help='such as {"scale": 0.004} (default: the zoo\'s, or none)'
    )
    add_backend(parser, DEFAULT_BACKEND)
    parser.add_argument("--precision", default="fp32", help="fp32, tf32, fp16, bf16, int8, fp8 (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=100, metavar="N", help="default: %(default)s")
    parser.add_argument("--ray", metavar="ADDRESS", help="spread it over the Ray cluster there (127.0.0.1:6379, local)")
    parser.add_argument("--shard", type=int, default=5000, metavar="N", help="images a worker takes at a time (5000)")
    add_json_or_file(parser)


def _steps(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON object of preprocessing steps")
    return found


def run(args: argparse.Namespace) -> int:
    """Evaluate and print."""
    with json_output(args.json) as told:
        return _run(args, told)


def _run(args: argparse.Namespace, told: Callable[[Any], None]) -> int:
    from inferkit.cli.pixels import preprocessing_of, recipe_of
    from inferkit.cluster.worker import Evaluation
    from inferkit.measure.jobs.launch import prepare_network
    from inferkit.precision import normalize

    if args.batch_size < 1 or args.shard < 1:
        raise UsageError("--batch-size and --shard must be at least 1")
    precision = normalize(args.precision)
    steps = preprocessing_of(args) if args.preprocessing is None else args.preprocessing
    dataset = args.dataset if args.dataset == "fashion_mnist" else str(Path(args.dataset).resolve())
    with tempfile.TemporaryDirectory(prefix="inferkit-evaluate-") as folder:
        prepared = Path(folder, "network")
        prepare_network(recipe_of(args, precision, dataset=dataset, steps=steps), prepared)
        job = Evaluation(f"{args.model} {precision}", args.backend, precision, dataset, steps, args.batch_size)
        found, parts = _on_cluster(args, job, prepared) if args.ray else (_here(job, prepared), [])
    print(
        f"{args.model} {precision} on {args.backend}: top-1 {found.top1_percent:.2f} % "
        f"({int(found.top1.sum())} of {found.images}), top-5 {found.top5_percent:.2f} %, "
        f"{found.images / found.elapsed:,.0f} images/s"
    )
    told(
        {
            "schema": 1,
            "kind": "accuracy",
            "model": args.model,
            "backend": args.backend,
            "precision": precision,
            "dataset": dataset,
            "images": found.images,
            "top1_count": int(found.top1.sum()),
            "top5_count": int(found.top5.sum()),
            "not_finite": found.not_finite,
            "elapsed": found.elapsed,
            "parts": [{"start": part.start, "count": part.count, "worker": part.worker} for part in parts],
            "predictions": found.predictions.tolist(),
        }
    )
    return 0


def _here(job: Evaluation, prepared: Path) -> Accuracy:
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
