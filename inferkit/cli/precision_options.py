"""A network at --precision: the options for layers that stay FP32 and for calibration, and what they mean."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from inferkit.cli.option_types import at_least_one
from inferkit.errors import UsageError

if TYPE_CHECKING:
    from inferkit.data.dataset import Dataset
    from inferkit.data.pixels.preprocessing import Preprocessing
    from inferkit.network.network import Network

_QUANTIZED = ("int8", "fp8")
_HALF = ("fp16", "bf16")


def add_precision_options(parser: argparse.ArgumentParser) -> None:
    """The options that `at_precision` reads."""
    layers = parser.add_argument_group("layers (fp16, bf16, int8, fp8)")
    layers.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="LAYER",
        help="keep this layer in FP32: a name or pattern; repeatable",
    )
    layers.add_argument("--keep-first", action="store_true", help="do not quantize the first layers (int8, fp8)")
    layers.add_argument("--keep-last", action="store_true", help="do not quantize the last layers (int8, fp8)")
    layers.add_argument("--half-inputs", action="store_true", help="half-precision inputs (fp16, bf16)")
    layers.add_argument("--half-outputs", action="store_true", help="half-precision outputs (fp16, bf16)")
    group = parser.add_argument_group("calibration (int8, fp8)")
    group.add_argument(
        "--calibration",
        metavar="PATH",
        help="TensorRT calibration cache, file of dynamic ranges, or folder of batch files",
    )
    group.add_argument(
        "--calibration-data",
        metavar="DATASET",
        help="name or path of a dataset to calibrate with; images are resized to the input (for a trained built-in "
        "network: with its own preprocessing)",
    )
    group.add_argument(
        "--calibration-images",
        type=at_least_one,
        metavar="N",
        help="number of images (default: 500 of a dataset)",
    )
    group.add_argument(
        "--calibration-method",
        metavar="M",
        help="max, entropy, percentile, percentile:SHARE or mse (default for int8: mse; for fp8: max)",
    )
    group.add_argument(
        "--calibration-mean", type=float, nargs="+", metavar="M", help="mean per channel of the dataset's images"
    )
    group.add_argument("--calibration-scale", type=float, default=1.0, metavar="S", help="factor after that mean")


def given_options(args: argparse.Namespace) -> list[str]:
    """The options of `add_precision_options` that were given, as they are written on the command line."""
    parser = argparse.ArgumentParser(add_help=False)
    add_precision_options(parser)
    unset = vars(parser.parse_args([]))
    return [f"--{name.replace('_', '-')}" for name, value in unset.items() if getattr(args, name) != value]


def at_precision(network: Network, args: argparse.Namespace) -> Network:
    """The network at --precision, with what the options say. UsageError where they do not fit."""
    import inferkit
    from inferkit.precision import normalize

    precision = normalize(args.precision)
    layers = _layer_options(precision, args)
    source, options = calibration_options(args, network)
    if precision not in _QUANTIZED and (source is not None or options):
        raise UsageError(f"{precision} needs no calibration: leave out the calibration options")
    if precision == network.precision and source is None and not options and not layers:
        return network
    return inferkit.at_precision(network, precision, calibration=source, **options, **layers)


def _layer_options(precision: str, args: argparse.Namespace) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if args.keep:
        given["exclude" if precision in _QUANTIZED else "keep"] = args.keep
    for name, option, value, belongs in (
        ("keep_first", "first_layer", False, _QUANTIZED),
        ("keep_last", "last_layer", False, _QUANTIZED),
        ("half_inputs", "half_inputs", True, _HALF),
        ("half_outputs", "half_outputs", True, _HALF),
    ):
        if getattr(args, name):
            if precision not in belongs:
                raise UsageError(f"--{name.replace('_', '-')} is for {' and '.join(belongs)}, not for {precision}")
            given[option] = value
    if args.keep and precision not in (*_QUANTIZED, *_HALF):
        raise UsageError(f"--keep is for fp16, bf16, int8 and fp8: at {precision} every layer is FP32")
    return given


def calibration_options(args: argparse.Namespace, network: Network) -> tuple[Any, dict[str, Any]]:
    """What `inferkit.at_precision` takes as calibration, and its options, from the calibration options."""
    if args.calibration and args.calibration_data:
        raise UsageError("--calibration and --calibration-data cannot be used together")
    options: dict[str, Any] = {}
    if args.calibration_images is not None:
        options["images"] = args.calibration_images
    if args.calibration_method is not None:
        options["method"] = args.calibration_method
    if not args.calibration_data:
        if args.calibration_mean or args.calibration_scale != 1.0:
            raise UsageError("--calibration-mean and --calibration-scale need --calibration-data")
        return args.calibration, options
    from inferkit.data import open_dataset

    dataset = open_dataset(args.calibration_data)
    options["preprocessing"] = _calibration_preprocessing(args, network, dataset)
    return dataset, options


def _calibration_preprocessing(args: argparse.Namespace, network: Network, dataset: Dataset) -> Preprocessing:
    """That of a trained built-in network, unless a mean or scale is given; images are resized to the input."""
    from inferkit.data import Preprocessing
    from inferkit.data.opening import preprocessing_from
    from inferkit.network import zoo

    trained = zoo.trained_preprocessing(args.model)
    if trained and not args.calibration_mean and args.calibration_scale == 1.0:
        preprocessing: Preprocessing = preprocessing_from(trained)
        return preprocessing
    shape = network.inputs[0].shape
    size = (shape[2], shape[3]) if len(network.inputs) == 1 and len(shape) == 4 else dataset.shape[1:]
    resize = None if None in size or size == dataset.shape[1:] else size
    is_gray = len(network.inputs) == 1 and len(shape) == 4 and shape[1] == 1 and dataset.shape[0] == 3
    return Preprocessing(
        color=False if is_gray else None,
        resize=resize,  # type: ignore[arg-type]
        mean_values=tuple(args.calibration_mean or ()),
        scale=args.calibration_scale,
    )
