"""`inferkit calibrate`: a TensorRT calibration cache, a file of dynamic ranges, or batch files, made from images."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.cli.model_options import add_model, load_model
from inferkit.cli.option_types import at_least_one
from inferkit.cli.output import add_json, print_json
from inferkit.cli.pixels import add_preprocessing, given_options, given_preprocessing
from inferkit.errors import UsageError
from inferkit.exit_codes import ExitCode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from inferkit.data.pixels.preprocessing import Preprocessing


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options."""
    add_model(parser)
    parser.add_argument(
        "dataset", metavar="DATASET", help="name or path of a dataset (such as an LMDB), or folder of batch files"
    )
    parser.add_argument("-o", "--output", metavar="CACHE", help="write a TensorRT calibration cache")
    parser.add_argument(
        "--ranges", metavar="FILE", help="write the histograms (.npz), from which every method can be computed"
    )
    parser.add_argument(
        "--merge",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="add these --ranges files, made from other images",
    )
    parser.add_argument("--method", metavar="M", help="max, entropy, percentile, percentile:SHARE or mse (default)")
    parser.add_argument(
        "--images", type=at_least_one, metavar="N", help="number of images (default: 500; all of batch files)"
    )
    parser.add_argument(
        "--batch-size", type=at_least_one, default=50, metavar="N", help="images per batch (default: %(default)s)"
    )
    parser.add_argument("--no-header", action="store_true", help="leave out the first line of the cache")
    parser.add_argument(
        "--trt-version",
        default="100300",
        metavar="V",
        help="TensorRT version in the first line of the cache (default: %(default)s)",
    )
    add_json(parser)
    files = parser.add_argument_group("batch files (TensorRT 3)")
    files.add_argument("--write-batches", metavar="FOLDER", help="write the images as batch files")
    files.add_argument(
        "--batch-name", default="batch{}", metavar="NAME", help="name of a file, {} is its number (default: batch{})"
    )
    files.add_argument("--no-labels", action="store_true", help="leave the labels out of batch files")
    files.add_argument(
        "--first-batch", type=int, default=0, metavar="N", help="first batch file to read (default: %(default)s)"
    )
    files.add_argument(
        "--num-batches", type=at_least_one, metavar="N", help="number of batch files to read (default: all)"
    )
    add_preprocessing(parser)


def run(args: argparse.Namespace) -> int:
    """Calibrate and write what was asked for; prints one line per file and returns the exit code."""
    if args.output is None and args.ranges is None and args.write_batches is None:
        raise UsageError("name what to write: -o CACHE, --ranges FILE or --write-batches FOLDER")
    source, preprocessing = _source(args)
    written: list[Written] = []
    if args.write_batches is not None:
        written.append(_write_batches(args, source, preprocessing))
    if args.output is not None or args.ranges is not None:
        written += _calibrate(args, source, preprocessing)
    if args.json:
        print_json([asdict(each) for each in written])
    else:
        print("\n".join(f"{each.path}: {each.what}" for each in written))
    return ExitCode.OK


@dataclass(frozen=True)
class Written:
    """A file or folder that was written, and what is in it."""

    path: str
    what: str


def _source(args: argparse.Namespace) -> tuple[Any, Preprocessing | None]:
    """The dataset, or batch files, and how images are prepared (batch files hold prepared ones)."""
    from inferkit.precision.calibration.batches import NAMES, BatchFiles

    given = given_options(args)
    folder = Path(args.dataset)
    if folder.is_dir() and any((folder / name.format(args.first_batch)).is_file() for name in NAMES):
        if given:
            raise UsageError(f"{folder} contains batch files, which are already preprocessed; leave out {given[0]}")
        if args.write_batches is not None:
            raise UsageError(f"{folder} already contains batch files; copy them, or name a dataset")
        return BatchFiles(folder, args.first_batch, args.num_batches), None
    if args.first_batch != 0 or args.num_batches is not None:
        raise UsageError(f"{folder} has no batch file with the number {args.first_batch}")
    from inferkit.data import open_dataset

    return open_dataset(args.dataset), _preprocessing(args)


def _preprocessing(args: argparse.Namespace) -> Preprocessing:
    from inferkit.data.opening import preprocessing_from
    from inferkit.network import zoo

    preprocessing: Preprocessing = preprocessing_from(
        given_preprocessing(args) or zoo.trained_preprocessing(args.model)
    )
    return preprocessing


def _write_batches(args: argparse.Namespace, dataset: Any, preprocessing: Preprocessing | None) -> Written:
    from inferkit.precision.calibration.batches import write_batches
    from inferkit.precision.calibration.collect import IMAGES

    images = args.images or IMAGES
    chosen = dataset.batches(args.batch_size, limit=images, spread=True, preprocessing=preprocessing)
    sizes: list[int] = []

    def pairs() -> Iterator[tuple[NDArray[np.float32], NDArray[Any] | None]]:
        for batch in chosen:
            sizes.append(len(batch.images))
            yield batch.images, None if args.no_labels else batch.labels

    count = write_batches(args.write_batches, pairs(), args.batch_name)
    first, last = (args.batch_name.format(number) for number in (0, count - 1))
    missing = sum(sizes[count:])
    rest = f"; {missing} images are left out, because every file holds {sizes[0]}" if missing else ""
    return Written(args.write_batches, f"{count} files, {first} to {last}{rest}")


def _calibrate(args: argparse.Namespace, source: Any, preprocessing: Preprocessing | None) -> list[Written]:
    from inferkit.precision import collect_ranges
    from inferkit.precision.calibration.caches import write_cache
    from inferkit.precision.calibration.methods import DEFAULT_METHOD, calibration_from, method
    from inferkit.precision.calibration.ranges import Ranges

    chosen = method(args.method or DEFAULT_METHOD)
    merged = [Ranges.load(path) for path in args.merge]
    network = load_model(args)
    ranges = collect_ranges(
        network, source, images=args.images, batch_size=args.batch_size, preprocessing=preprocessing
    )
    for each in merged:
        ranges = ranges.merged(each)
    written = []
    if args.ranges is not None:
        ranges.save(args.ranges)
        what = f"ranges of {len(ranges.histograms)} tensors over {ranges.images} images"
        written.append(Written(args.ranges, what))
    if args.output is not None:
        calibration = calibration_from(ranges, chosen)
        write_cache(args.output, calibration, version=args.trt_version, with_header=not args.no_header)
        written.append(Written(args.output, f"{len(calibration.amax)} tensors, {calibration.description}"))
    return written
