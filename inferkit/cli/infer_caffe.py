"""The study's first tool: classify images from an LMDB with real PyCaffe, timing nothing but net.forward()."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from inferkit.cli.study import (
    Tally,
    add_model_options,
    check_labels,
    read_batches,
    read_preprocessing,
    run_tool,
    scores_of,
)
from inferkit.errors import DataError, NetworkError, UsageError

if TYPE_CHECKING:
    from inferkit.backends.caffe.net import CaffeNet
    from inferkit.data.dataset import Dataset
    from inferkit.data.pixels.preprocessing import Preprocessing

PROGRAM = "infer_caffe"


def parser() -> argparse.ArgumentParser:
    """The study's options, in its order."""
    made = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Use a trained Caffe model to classify images from a LMDB database.",
        epilog="Only the forward call of each iteration is timed. Exit codes: 0 done, 1 failed, 2 usage, or no such "
        "Caffe or GPU here.",
    )
    add_model_options(made)
    made.add_argument(
        "-c",
        "--caffeRoot",
        help="Caffe to use: the folder that tools/install_pycaffe.py made, a built source tree, or a Python that can "
        "import caffe (default: this Python's own, $INFERKIT_CAFFE_ROOT, the installed one)",
    )
    made.add_argument("--blobName", help="blob with the predictions (default: the network's output, or prob)")
    made.add_argument("--labels", type=Path, help="names of the classes, one a line, as synset_words.txt")
    made.add_argument("--meanImage", help="mean image to subtract, .binaryproto or .npy")
    made.add_argument("--debug", action="store_true", help="tell everything: files, shapes, every top 5")
    made.add_argument("--gpu", action="store_true", help="run Caffe on the GPU; it must be built with CUDA")
    made.add_argument("--csvFile", type=Path, help="file to append a row of the final stats to")
    made.add_argument("--quiet", action="store_true", help="print the final stats only")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns its exit code."""
    began = time.perf_counter()
    args = parser().parse_args(argv)
    return run_tool(PROGRAM, lambda: infer(args, began))


def infer(args: argparse.Namespace, began: float) -> int:
    """Open everything, run the iterations, print and append the final stats."""
    from inferkit.data.labels import read_labels
    from inferkit.data.opening import open_dataset
    from inferkit.measure.accuracy.top_k import scores_output

    names = read_labels(args.labels) if args.labels is not None else ()
    tally = Tally(PROGRAM, args.batch, "NA", args.quiet, args.debug, names, args.csvFile, clock=began)
    with open_dataset(args.lmdb) as dataset:
        training = training_preprocessing(args.model)
        net = open_network(args, dataset, training)
        try:
            data, shape = image_input(net.inputs, args.model)
            blob = args.blobName or scores_output(list(net.outputs), f"{args.model} (--blobName chooses)")
            preprocessing = read_preprocessing(args.meanImage, (shape[2], shape[3]), training)
            check_channels(first_shape(dataset, preprocessing), shape, args.lmdb)
            if args.debug:
                print_setup(args, net, len(dataset), blob)
            for batch in read_batches(dataset, args.batch, args.iterations, preprocessing):
                net.load({data: batch.images})
                seconds = net.execute()
                scores = scores_of(net.fetch([blob])[blob], args.batch, blob)
                if not tally.times:
                    check_labels(names, scores.shape[1], str(args.labels))
                tally.add(batch, scores, seconds)
            if args.debug:
                print_overhead(net)
        finally:
            net.close()
    tally.finish()
    return 0


def open_network(args: argparse.Namespace, dataset: Dataset, preprocessing: Preprocessing) -> CaffeNet:
    """The network in Caffe. A training prototxt that tells no image size gets that of the database's first image,
    `preprocessing` done.

    Always in a worker: what is wrong with the files aborts Caffe's process, and this one is to say what it was.
    """
    from inferkit.backends.caffe.open import open_net

    opened = partial(open_net, args.model, args.weights, caffe_root=args.caffeRoot, gpu=args.gpu, in_process=False)
    try:
        return opened()
    except NetworkError:
        return opened(input_shapes=(args.batch, *first_shape(dataset, preprocessing)))


def training_preprocessing(model: Path) -> Preprocessing:
    """What the TEST phase's data layer of a training prototxt does to images; nothing for a deploy prototxt."""
    from inferkit.data.pixels.preprocessing import Preprocessing
    from inferkit.data.pixels.transform_param import preprocessing_of
    from inferkit.network.caffe.files.read import read_prototxt
    from inferkit.network.caffe.prototxt.deploy import is_data
    from inferkit.network.caffe.prototxt.filter import filter_net
    from inferkit.network.caffe.prototxt.upgrade import upgrade

    try:
        net = read_prototxt(model)
        upgrade(net, model)
        layers = [layer for layer in filter_net(net, model).layer if is_data(layer)]
    except NetworkError:
        return Preprocessing()  # what the import cannot read, Caffe could
    found = [layer.transform_param for layer in layers if layer.HasField("transform_param")]
    return preprocessing_of(found[0], model.parent) if found else Preprocessing()


def image_input(inputs: Mapping[str, tuple[int, ...]], model: Path) -> tuple[str, tuple[int, ...]]:
    """Name and shape of the input that takes the images. UsageError where it is not clear which, or it takes none."""
    if len(inputs) != 1:
        raise UsageError(f"{model} has the inputs {', '.join(inputs) or 'none'}; this tool feeds images to one")
    ((name, shape),) = inputs.items()
    if len(shape) != 4:
        raise UsageError(f"{model}: input {name} has the shape {list(shape)}; images need [N, C, H, W]")
    return name, shape


def first_shape(dataset: Dataset, preprocessing: Preprocessing) -> tuple[int, int, int]:
    """[C, H, W] of the first image after `preprocessing`, which may also decode it in colour or gray other than it is
    stored. DataError where they do not fit."""
    first = dataset.first(preprocessing.color)
    return preprocessing.output_shape(first.pixels.shape, first.layout)


def check_channels(image: tuple[int, ...], shape: tuple[int, ...], source: str) -> None:
    """DataError where images of this shape are not what the network takes; Caffe itself would abort."""
    if image[0] != shape[1]:
        raise DataError(f"{source}: its images have {image[0]} channels, the network takes {shape[1]}")


def print_setup(args: argparse.Namespace, net: CaffeNet, images: int, blob: str) -> None:
    """--debug: what is about to run."""
    print(f"Caffe: {net.version}{'' if net.threads is None else f', {net.threads} threads'}")
    print(f"Model: {args.model}, weights: {args.weights}")
    print(f"Inputs: {', '.join(f'{name} {list(shape)}' for name, shape in net.inputs.items())}")
    print(f"Outputs: {', '.join(f'{name} {list(shape)}' for name, shape in net.outputs.items())}; predictions: {blob}")
    print(f"Images: {images} in {args.lmdb}, mean image: {args.meanImage or 'none'}")


def print_overhead(net: CaffeNet) -> None:
    """--debug: what reaching Caffe cost, beside the timed calls."""
    for step, seconds in net.overhead().items():
        print(f"Worker, {step}: {seconds:.6f} seconds beside the timed call (median)")


if __name__ == "__main__":
    sys.exit(main())
