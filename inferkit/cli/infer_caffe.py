"""The study's first tool: classify images from an LMDB with real PyCaffe, timing nothing but net.forward()."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from inferkit.cli.ending import exit_code_of
from inferkit.cli.exit_codes import exit_code_lines
from inferkit.cli.help_text import HelpLines
from inferkit.cli.study import Tally, add_model_options, check_labels, scores_of
from inferkit.cli.study_images import (
    check_channels,
    first_shape,
    image_input,
    read_batches,
    read_preprocessing,
    training_preprocessing,
)
from inferkit.errors import NetworkError
from inferkit.exit_codes import ExitCode

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
        epilog=f"Only the forward call of each iteration is timed.\n\n{exit_code_lines(PROGRAM)}",
        formatter_class=HelpLines,
    )
    add_model_options(made)
    made.add_argument(
        "-c",
        "--caffeRoot",
        help="Caffe to use: the folder that tools/install_pycaffe.py made, a built source tree, or a Python that can "
        "import caffe (default: this Python's own, $INFERKIT_CAFFE_ROOT, the installed one)",
    )
    made.add_argument("--blobName", help="blob with the predictions (default: the network's output, or prob)")
    made.add_argument("--labels", type=Path, help="names of the classes, one per line, such as synset_words.txt")
    made.add_argument("--meanImage", help="mean image to subtract, .binaryproto or .npy")
    made.add_argument("--debug", action="store_true", help="verbose output: files, shapes, top 5 of every image")
    made.add_argument("--gpu", action="store_true", help="run Caffe on the GPU (needs a Caffe with CUDA)")
    made.add_argument("--csvFile", type=Path, help="file to append a row of the final stats to")
    made.add_argument("--quiet", action="store_true", help="print the final stats only")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns its exit code."""
    began = time.perf_counter()
    arguments = sys.argv[1:] if argv is None else argv
    return exit_code_of(PROGRAM, arguments, lambda: infer(parser().parse_args(arguments), began))


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
    return ExitCode.OK


def open_network(args: argparse.Namespace, dataset: Dataset, preprocessing: Preprocessing) -> CaffeNet:
    """The network in Caffe. A training prototxt without an image size gets that of the database's first image after
    `preprocessing`.

    Always in a worker process: Caffe aborts its process on bad files, and this one reports the reason.
    """
    from inferkit.backends.caffe.open import open_net

    opened = partial(open_net, args.model, args.weights, caffe_root=args.caffeRoot, gpu=args.gpu, in_process=False)
    try:
        return opened()
    except NetworkError:
        return opened(input_shapes=(args.batch, *first_shape(dataset, preprocessing)))


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
