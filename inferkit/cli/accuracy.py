"""`inferkit accuracy`: two precisions, backends or models on the same images, compared in top-1 and layer by layer."""

from __future__ import annotations

import argparse
import base64
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.backends import DEFAULT_BACKEND, backend, backend_names
from inferkit.cli.model_options import PRECISIONS, add_dimensions, stated_dimensions
from inferkit.cli.option_types import at_least_one, tolerance
from inferkit.cli.output import add_json, print_json, write_output
from inferkit.cli.pixels import add_preprocessing, given_preprocessing
from inferkit.errors import BackendUnavailable, UsageError
from inferkit.exit_codes import ExitCode

if TYPE_CHECKING:
    from inferkit.data.stream import Batch
    from inferkit.gate.outcome import Outcome
    from inferkit.measure.accuracy.side_by_side import Classes
    from inferkit.network.network import Network, TensorInfo

_EXAMPLES = """examples:
  inferkit accuracy lenet --precision int8                  FP32 against INT8
  inferkit accuracy lenet --backend caffe --layers          ONNX Runtime against PyCaffe
  inferkit accuracy old.onnx new.onnx --dataset val_lmdb    two models
  inferkit accuracy net.onnx --precision fp16,int8 --dataset val_lmdb --layers"""
_LAYER_IMAGES = 64
_BATCH = 50
_LAYER_BATCH = 16


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "models", nargs="+", metavar="MODEL", help="one or two (base, head): prototxt, ONNX model or built-in network"
    )
    parser.add_argument(
        "-w", "--weights", nargs="+", action="extend", metavar="FILE", help="caffemodels of the prototxts, in order"
    )
    parser.add_argument("--precision", metavar="P[,P]", help=f"of both, or of head where base is FP32: {PRECISIONS}")
    parser.add_argument("--backend", metavar="B[,B]", help=f"of both, or of head (default: {DEFAULT_BACKEND})")
    parser.add_argument(
        "--dataset", metavar="D", help="name or path (default: the dataset of a trained built-in network)"
    )
    parser.add_argument(
        "--images", type=at_least_one, metavar="N", help="number of images (default: all; 64 for layers)"
    )
    parser.add_argument(
        "--batch-size", type=at_least_one, metavar="N", help="images per batch (default: 50; 16 for layers)"
    )
    parser.add_argument("--layers", action="store_true", help="compare layer by layer, and name the first to diverge")
    parser.add_argument("--limit", type=float, metavar="DB", help="SNR in dB below which a layer has diverged")
    parser.add_argument(
        "--tolerance",
        type=tolerance,
        default=0.5,
        metavar="POINTS",
        help="top-1 that may be lost, in percentage points (default: %(default)s)",
    )
    parser.add_argument(
        "--calibration-images",
        type=at_least_one,
        default=500,
        metavar="N",
        help="images to calibrate int8 and fp8 with (default: %(default)s)",
    )
    parser.add_argument("--pictures", metavar="FOLDER", help="write images whose class changed as PNG files")
    add_dimensions(parser)
    add_preprocessing(parser)
    add_json(parser)


@dataclass(frozen=True)
class ComparedEngine:
    """What base or head is."""

    model: str
    weights: str | None
    precision: str | None
    backend: str

    @property
    def text(self) -> str:
        """For people: `lenet int8 onnxruntime`."""
        return " ".join(part for part in (Path(self.model).name, self.precision, self.backend) if part)


def run(args: argparse.Namespace) -> int:
    """Compare and print; returns the exit code."""
    engines = engines_of(args)
    dataset, preprocessing = images_of(args)
    if dataset is None and not args.layers:
        raise UsageError(f"{args.models[0]} has no images of its own: name a --dataset, or compare --layers only")
    _refuse_precisions(engines)
    networks = _networks(args, engines, dataset, preprocessing)
    result: dict[str, Any] = {"base": asdict(engines[0]), "head": asdict(engines[1]), "dataset": dataset}
    outcome = None
    if dataset is not None:
        outcome = _compare_classes(args, engines, networks, dataset, preprocessing, result)
    if args.layers:
        _compare_layers(args, engines, networks, dataset, preprocessing, result)
    code = ExitCode.REGRESSED if outcome is not None and outcome.verdict == "REGRESSED" else ExitCode.OK
    if args.pictures:
        _write_pictures(Path(args.pictures), result)
    if args.json:
        print_json({**result, "exit_code": code})
    else:
        from inferkit.report.accuracy import accuracy_lines
        from inferkit.report.table import stdout_look

        width, color = stdout_look()
        title = f"base: {engines[0].text} · head: {engines[1].text}"
        print("\n".join([title, *accuracy_lines(result, width=width, color=color)]))
    return code


def engines_of(args: argparse.Namespace) -> tuple[ComparedEngine, ComparedEngine]:
    """Base and head from the options. UsageError for too many words, or a base and a head that are the same."""
    from inferkit.precision import normalize

    if len(args.models) > 2:
        raise UsageError(f"name one or two models, not {len(args.models)}")
    weights = _weights(args.models, args.weights or [])
    two = len(args.models) == 2
    precisions = [normalize(word) for word in _words(args.precision, "--precision")]
    backends = _words(args.backend, "--backend")
    for word in backends:
        if word not in backend_names():
            raise UsageError(f"--backend {word}: choose from {', '.join(backend_names())}")
    if len(precisions) == 1:
        precisions = [*(precisions if two else ["fp32"]), *precisions]
    if len(backends) == 1:
        alone = not two and not precisions
        backends = [*([DEFAULT_BACKEND] if alone else backends), *backends]
    base, head = (
        ComparedEngine(
            args.models[index if two else 0],
            weights[index if two else 0],
            precisions[index] if precisions else None,
            backends[index] if backends else DEFAULT_BACKEND,
        )
        for index in (0, 1)
    )
    if base == head:
        raise UsageError("base and head are the same: name two models, or use --precision or --backend")
    return base, head


def _weights(models: Sequence[str], files: Sequence[str]) -> list[str | None]:
    """Each model's caffemodel: in order, of those that are neither ONNX models nor zoo networks. UsageError for more
    files than such models."""
    from inferkit.network import zoo

    left = list(files)
    taken = []
    for model in models:
        brings_its_own = Path(model).suffix.lower() == ".onnx" or zoo.knows(model)
        taken.append(left.pop(0) if left and not brings_its_own else None)
    if left:
        raise UsageError(
            f"--weights: no prototxt for {', '.join(left)}; ONNX models and built-in networks contain their weights"
        )
    return taken


def _words(given: str | None, option: str) -> list[str]:
    words = given.replace(",", " ").split() if given else []
    if len(words) > 2:
        raise UsageError(f"{option} {given}: name one, or one for base and one for head")
    return words


def images_of(args: argparse.Namespace) -> tuple[str | None, dict[str, Any]]:
    """The dataset and its preprocessing, in the form that the matrix has; those of a trained zoo network by default."""
    from inferkit.data import fashion_mnist
    from inferkit.network import zoo

    preprocessing, trained = given_preprocessing(args), zoo.trained_preprocessing(args.models[0])
    if args.dataset in (None, fashion_mnist.NAME):
        preprocessing = preprocessing or trained
    return args.dataset or (fashion_mnist.NAME if trained else None), preprocessing


def _refuse_precisions(engines: tuple[ComparedEngine, ComparedEngine]) -> None:
    """BackendUnavailable for a precision that the backend never computes in, before minutes go into calibration."""
    for engine in engines:
        runs_it = backend(engine.backend)
        if engine.precision and engine.precision not in (*runs_it.precisions, *runs_it.facts.emulates):
            availability = runs_it.availability(engine.precision)
            raise BackendUnavailable(availability.reason, availability.hint)


def _networks(
    args: argparse.Namespace,
    engines: tuple[ComparedEngine, ComparedEngine],
    dataset: str | None,
    preprocessing: Mapping[str, Any],
) -> tuple[Network, Network]:
    import inferkit
    from inferkit.measure.images import ImageSource

    networks = []
    for engine in engines:
        network = inferkit.load(engine.model, engine.weights, **stated_dimensions(args))
        if engine.precision is not None and engine.precision != network.precision:
            if engine.precision in ("int8", "fp8"):
                source = ImageSource(network, dataset, preprocessing)
                count = args.calibration_images
                batches = source.calibration(count)
                network = inferkit.at_precision(network, engine.precision, calibration=batches, images=count)
            else:
                network = inferkit.at_precision(network, engine.precision)
        if len(network.inputs) != 1:
            raise UsageError(
                f"{engine.model} has {len(network.inputs)} inputs ({', '.join(i.name for i in network.inputs)}), and "
                "`inferkit accuracy` compares networks of one"
            )
        networks.append(network)
    return networks[0], networks[1]


def _batch_size(engines: tuple[ComparedEngine, ComparedEngine], networks: tuple[Network, Network], wanted: int) -> int:
    """The batch size to run base and head with: `wanted`, or the fixed one of a network. UsageError where both are
    fixed, and differ."""
    fixed = {network.inputs[0].batch for network in networks if network.inputs[0].batch is not None}
    if len(fixed) > 1:
        base, head = (network.inputs[0].batch for network in networks)
        raise UsageError(
            f"{engines[0].model} takes batches of {base} only and {engines[1].model} of {head}, but both need the same "
            "batches: export one of them with a dynamic batch size"
        )
    return fixed.pop() if fixed else wanted


def _batches(
    info: TensorInfo, dataset: str | None, preprocessing: Mapping[str, Any], size: int, limit: int | None
) -> Any:
    """Batches of `size` of the first `limit` images; without a dataset embedded ones, brought to the input's shape."""
    import numpy as np

    from inferkit.data import open_dataset
    from inferkit.data.opening import preprocessing_from
    from inferkit.data.stream import Batch
    from inferkit.measure.images import stand_in

    if dataset is None:
        total = _count(None, limit)
        for start in range(0, total, size):  # all full, as a fixed batch needs them; `count` says how many are meant
            yield Batch(stand_in(info, size, start), np.full(size, -1, np.int64), (), min(size, total - start))
        return
    dtype = "uint8" if info.dtype == "uint8" else "float32"
    with open_dataset(dataset) as images:
        yield from images.batches(
            size, limit=limit, preprocessing=preprocessing_from(preprocessing), dtype=dtype, last="pad"
        )


def _compare_classes(
    args: argparse.Namespace,
    engines: tuple[ComparedEngine, ComparedEngine],
    networks: tuple[Network, Network],
    dataset: str,
    preprocessing: Mapping[str, Any],
    result: dict[str, Any],
) -> Outcome | None:
    """Fill `result` with the classes that base and head give; returns the outcome on top-1, None without labels."""
    import inferkit
    from inferkit.measure.accuracy.confusion import confusion
    from inferkit.measure.accuracy.side_by_side import classify
    from inferkit.progress import tell

    size = _batch_size(engines, networks, args.batch_size or _BATCH)
    opened = [
        inferkit.build(network, backend=engine.backend, max_batch=size, **_emulated(network, engine)).session()
        for network, engine in zip(networks, engines, strict=True)
    ]
    try:
        batches = _checked(_batches(networks[0].inputs[0], dataset, preprocessing, size, args.images), networks)
        total = _count(dataset, args.images)
        base, head, labelled = classify((opened[0], opened[1]), batches, lambda done: tell("images", done, total))
    finally:
        for session in opened:
            session.close()
    result["images"] = len(base.predictions)
    result["agreement"] = float((base.predictions == head.predictions).mean())
    result["not_finite"] = [base.not_finite, head.not_finite]
    result["confusion"] = confusion(base.predictions, head.predictions, dataset, first=args.images is not None)
    if not labelled:
        return None
    return _judged(base, head, args.tolerance, f"{engines[0].text} -> {engines[1].text}", result)


def _checked(batches: Iterable[Batch], networks: Sequence[Network]) -> Iterator[Batch]:
    """The batches, after a warning on stderr where the first is unlike those that a network was calibrated with."""
    from inferkit.precision.input_range import calibrated_inputs, unlike_calibration

    for number, batch in enumerate(batches):
        for network in networks if number == 0 else ():
            images = {network.inputs[0].name: batch.images}
            warning = unlike_calibration(calibrated_inputs(network), images, network.precision)
            if warning:
                print(f"inferkit accuracy: {network.name}: {warning}", file=sys.stderr)
        yield batch


def _emulated(network: Network, engine: ComparedEngine) -> dict[str, Any]:
    """What the backend has no kernels for is rounded in FP32: right in accuracy, which is all that counts."""
    return {"emulate": True} if network.precision in backend(engine.backend).facts.emulates else {}


def _count(dataset: str | None, limit: int | None) -> int:
    """The number of images to compare; without a dataset as many as the options name."""
    from inferkit.data import open_dataset

    if dataset is None:
        return limit or _LAYER_IMAGES
    with open_dataset(dataset) as images:
        return min(len(images), limit or len(images))


def _judged(base: Classes, head: Classes, tolerance: float, case: str, result: dict[str, Any]) -> Outcome:
    from inferkit.gate.accuracy import CONFIDENCE, judge_pair
    from inferkit.gate.stats.paired import paired_drop

    for name, of_base, of_head in (("top1", base.top1, head.top1), ("top5", base.top5, head.top5)):
        lost, gained = int((of_base & ~of_head).sum()), int((~of_base & of_head).sum())
        drop = paired_drop(lost, gained, len(of_base), CONFIDENCE)
        result[name] = {
            "base": 100 * float(of_base.mean()),
            "head": 100 * float(of_head.mean()),
            "lost": lost,
            "gained": gained,
            "drop": 100 * drop.drop,
            "worst": 100 * drop.upper,
        }
    outcome = judge_pair(case, base.top1, head.top1, tolerance, not_finite=head.not_finite)
    result["verdict"], result["line"] = str(outcome.verdict), outcome.line
    return outcome


def _compare_layers(
    args: argparse.Namespace,
    engines: tuple[ComparedEngine, ComparedEngine],
    networks: tuple[Network, Network],
    dataset: str | None,
    preprocessing: Mapping[str, Any],
    result: dict[str, Any],
) -> None:
    from inferkit.measure.accuracy.layer_error import LIMITS, first_divergence, limit_of
    from inferkit.measure.accuracy.probes import open_probe
    from inferkit.measure.accuracy.side_by_side import compare_layers
    from inferkit.measure.layers.network_layers import layers_of
    from inferkit.progress import tell

    size = _batch_size(engines, networks, args.batch_size or _LAYER_BATCH)
    probes = []
    try:
        for network, engine in zip(networks, engines, strict=True):
            probes.append(open_probe(network, engine.backend, size))
        limit = args.images or _LAYER_IMAGES
        total = _count(dataset, limit)
        batches = _batches(networks[0].inputs[0], dataset, preprocessing, size, limit)
        errors, compared = compare_layers((probes[0], probes[1]), batches, lambda done: tell("layers", done, total))
    finally:
        for probe in probes:
            probe.close()
    # A model that was rewritten elsewhere does not say its precision; its layers do.
    precisions = {layer.precision for network in networks for layer in layers_of(network)}
    stated = {network.precision for network in networks}
    decibels = args.limit if args.limit is not None else limit_of((precisions & set(LIMITS)) | stated)
    first = first_divergence(errors, decibels)
    result["layers"] = {
        "images": compared,
        "limit_db": decibels,
        "first_divergent": first.name if first is not None else None,
        "only_base": sorted(set(probes[0].kinds) - set(probes[1].kinds)),
        "only_head": sorted(set(probes[1].kinds) - set(probes[0].kinds)),
        "layers": [error.as_dict() for error in errors],
    }


def _write_pictures(folder: Path, result: Mapping[str, Any]) -> None:
    """The pictures of images that changed their class, named by number, label and both classes."""
    pictures: Iterator[Mapping[str, Any]] = iter(result.get("confusion", {}).get("images", ()))
    for each in pictures:
        if each["png"] is not None:
            name = f"{each['index']:06d}-label{each['label']}-{each['base']}-to-{each['head']}.png"
            write_output(folder / name, base64.b64decode(each["png"].partition(",")[2]))
