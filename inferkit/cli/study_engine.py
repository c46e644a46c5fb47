"""The study's network as an engine: imported, brought to a data type, run over the images of a database."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.cli.option_types import at_least_one
from inferkit.cli.study import Tally, check_labels, scores_of
from inferkit.cli.study_images import (
    check_channels,
    first_shape,
    image_input,
    read_batches,
    read_preprocessing,
    training_preprocessing,
)
from inferkit.data.opening import image_type
from inferkit.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from inferkit.backends.base import Session, Trace
    from inferkit.data.dataset import Dataset
    from inferkit.data.pixels.preprocessing import Preprocessing
    from inferkit.network.network import Network

# The study's data types, then those that came after it.
DATA_TYPES = {"FLOAT": "fp32", "HALF": "fp16", "INT8": "int8", "TF32": "tf32", "BF16": "bf16", "FP8": "fp8"}
CALIBRATED = ("INT8", "FP8")


NEEDS_FILES = (
    "{} needs calibration files: name their folder with --calBatchDir; `inferkit calibrate MODEL LMDB --write-batches "
    "FOLDER` makes them from a database"
)


@dataclass(frozen=True)
class CalibrationFiles:
    """Batch files to calibrate with: `count` files of a folder from number `first` on, all where `count` is None."""

    folder: Path
    first: int = 0
    count: int | None = None


def add_calibration_options(parser: argparse.ArgumentParser) -> None:
    """Those that `calibration_files` reads."""
    parser.add_argument("--calBatchDir", type=Path, help="folder of the calibration batch files (INT8, FP8)")
    parser.add_argument("--firstCalBatch", type=int, default=0, help="number of the first file (default: 0)")
    parser.add_argument("--numCalBatches", type=at_least_one, help="number of files (default: all)")


def calibration_files(args: argparse.Namespace) -> CalibrationFiles | None:
    """The batch files that the options name, None where they name none. UsageError for a number below 0."""
    if args.firstCalBatch < 0:
        raise UsageError(f"--firstCalBatch {args.firstCalBatch}: batch files are numbered from 0")
    return args.calBatchDir and CalibrationFiles(args.calBatchDir, args.firstCalBatch, args.numCalBatches)


def load_network(
    model: Path, weights: Path, image_shape: tuple[int, ...] | None = None, output: str | None = None
) -> Network:
    """The Caffe network with one image input [N, C, H, W] and, where `output` names a blob, that as its only output.

    `image_shape` (height, width) or (channels, height, width) replaces the prototxt's. UsageError where they do not
    fit the network.
    """
    import inferkit

    network = inferkit.load(model, weights)
    if image_shape is not None:
        channels = _image_shape(network, model)[1]
        wanted = (1, *image_shape) if len(image_shape) == 3 else (1, channels, *image_shape)
        network = inferkit.load(model, weights, input_shape=wanted)
    _image_shape(network, model)
    return network if output is None else with_output(network, output)


def _image_shape(network: Network, model: Path) -> tuple[int, ...]:
    return image_input({info.name: info.shape for info in network.inputs}, model)[1]


def with_output(network: Network, blob: str) -> Network:
    """`network` with the tensor `blob` as its only output. UsageError where it has no such tensor."""
    import onnx
    from onnx import TensorProto, helper

    if [info.name for info in network.outputs] == [blob]:
        return network
    tensors = [name for node in network.model.graph.node for name in node.output]
    if blob not in tensors:
        raise UsageError(f"{network.name} has no blob {blob}; its last ones are {', '.join(tensors[-5:])}")
    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    values = {value.name: value for value in (*model.graph.output, *model.graph.value_info)}
    value = values.get(blob) or helper.make_tensor_value_info(blob, TensorProto.FLOAT, None)
    chosen = onnx.ValueInfoProto()
    chosen.CopyFrom(value)
    del model.graph.output[:]
    model.graph.output.append(chosen)
    return network.with_model(model)


def at_data_type(network: Network, data_type: str, calibration: CalibrationFiles | None) -> Network:
    """The network at one of DATA_TYPES. UsageError where INT8 or FP8 has no calibration files."""
    import inferkit

    precision = DATA_TYPES[data_type]
    if data_type not in CALIBRATED:
        return inferkit.at_precision(network, precision)
    if calibration is None:
        raise UsageError(NEEDS_FILES.format(data_type))
    from inferkit.precision.calibration.batches import BatchFiles

    files = BatchFiles(calibration.folder, calibration.first, calibration.count)
    return inferkit.at_precision(network, precision, calibration=files)


def parse_image_shape(text: str) -> tuple[int, ...]:
    """`224,224`, `3,224,224` or `224x224`: (height, width) or (channels, height, width); `224` is a square."""
    parts = [part for part in re.split(r"[,x×\s]+", text.strip(" ()[]")) if part]
    if not 1 <= len(parts) <= 3 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise UsageError(f"--imageShape {text!r}: must be height,width or channels,height,width")
    numbers = tuple(int(part) for part in parts)
    return numbers * 2 if len(numbers) == 1 else numbers


def image_preprocessing(
    model: Path, mean_image: str | None, network: Network, dataset: Dataset, source: str
) -> Preprocessing:
    """What is done to the images before the network sees them. DataError where they do not fit it."""
    shape = _image_shape(network, model)
    preprocessing = read_preprocessing(mean_image, (shape[2], shape[3]), training_preprocessing(model))
    check_channels(first_shape(dataset, preprocessing), shape, source)
    return preprocessing


def add_uint8_option(parser: argparse.ArgumentParser) -> None:
    """--uint8Input."""
    parser.add_argument(
        "--uint8Input",
        action="store_true",
        help="copy the pixels as they are, a quarter of the bytes; the engine subtracts the mean and scales",
    )


def taking_pixels(network: Network, preprocessing: Preprocessing) -> tuple[Network, Preprocessing]:
    """The network, at its data type already, with mean and scale in it, and what is left to be done to images."""
    from inferkit.backends.uint8_input import normalization_of, with_uint8_input

    rewritten = with_uint8_input(network, normalization_of(preprocessing, network.inputs[0]))
    return rewritten, preprocessing.pixels_only()


def check_output_size(classes: int, wanted: int | None, blob: str) -> None:
    """UsageError where --outputSize is not what the network gives."""
    if wanted is not None and wanted != classes:
        raise UsageError(f"--outputSize {wanted}, but blob {blob} has {classes} scores for each image")


def _warn_unlike_calibration(network: Network, images: NDArray[Any], tally: Tally) -> None:
    from inferkit.precision.input_range import calibrated_inputs, unlike_calibration

    warning = unlike_calibration(calibrated_inputs(network), {network.inputs[0].name: images}, network.precision)
    if warning:
        tally.note(warning)


def classify(
    session: Session,
    output: str,
    dataset: Dataset,
    preprocessing: Preprocessing,
    tally: Tally,
    iterations: int,
    *,
    labels_file: str | None = None,
    output_size: int | None = None,
    warm: Callable[[Session], None] | None = None,
    network: Network | None = None,
) -> list[Trace]:
    """Run `iterations` batches of the dataset and count them in `tally`; returns the traces.

    Timed is the study's region alone: copy in, execute, copy out, synchronize. `warm` runs once, on the first batch.
    Where the engine takes uint8, the images are pixels, and `preprocessing` has neither mean nor scale.
    Where `network` is quantized and its calibration saw other images than these, a line on stderr says so.
    """
    traces: list[Trace] = []
    for batch in read_batches(dataset, tally.batch_size, iterations, preprocessing, image_type(session.inputs[0])):
        if not traces and network is not None:
            _warn_unlike_calibration(network, batch.images, tally)
        session.load(batch.images)
        if warm is not None and not traces:
            warm(session)
        trace = session.execute()
        outputs = session.fetch()
        if output not in outputs:
            raise DataError(f"the engine has no output {output}")
        scores = scores_of(outputs[output], tally.batch_size, output)
        if not traces:
            check_labels(tally.names, scores.shape[1], str(labels_file))
            check_output_size(scores.shape[1], output_size, output)
        traces.append(trace)
        tally.add(batch, scores, trace.wall)
    return traces
