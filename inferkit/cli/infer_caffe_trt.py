"""The study's second tool: classify images from an LMDB with TensorRT, timing copy in, execution and copy out."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from inferkit.cli.ending import exit_code_of
from inferkit.cli.exit_codes import exit_code_lines
from inferkit.cli.help_text import HelpLines
from inferkit.cli.option_types import at_least_one
from inferkit.cli.study import Tally, add_model_options
from inferkit.cli.study_engine import (
    CALIBRATED,
    DATA_TYPES,
    NEEDS_FILES,
    add_calibration_options,
    add_uint8_option,
    at_data_type,
    calibration_files,
    classify,
    image_preprocessing,
    load_network,
    parse_image_shape,
    taking_pixels,
)
from inferkit.errors import BackendUnavailable, UsageError
from inferkit.exit_codes import ExitCode
from inferkit.report.progress import shown_on_stderr

if TYPE_CHECKING:
    from inferkit.backends.base import Engine, Session, Trace
    from inferkit.network.network import Network

PROGRAM = "infer_caffe_trt"
BACKEND = "tensorrt"


def parser() -> argparse.ArgumentParser:
    """The study's options, in its order."""
    made = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Uses NVidia TensorRT to optimize and run inference on a trained Caffe model performing an image "
        "recognition task and prints performance and accuracy results.",
        epilog="Timed per iteration: copy the images to the GPU, execute, copy the predictions back, synchronize.\n\n"
        + exit_code_lines(PROGRAM),
        formatter_class=HelpLines,
    )
    add_model_options(made)
    made.add_argument("-c", "--caffeRoot", help="ignored: no Caffe is needed; accepted for the study's command lines")
    made.add_argument("--imageShape", help="height,width of the images (default: the prototxt's), such as 224,224")
    made.add_argument("--max_batch", type=at_least_one, help="largest batch of the engine (default: the batch size)")
    made.add_argument("--outputLayer", help="blob with the predictions (default: the network's output, or prob)")
    made.add_argument("--outputSize", type=at_least_one, help="expected number of predictions per image; checked")
    made.add_argument("--dtype", choices=tuple(DATA_TYPES), default="FLOAT", help="data type (default: FLOAT)")
    made.add_argument("--labels", type=Path, help="names of the classes, one per line, such as synset_words.txt")
    made.add_argument("--meanImage", help="mean image to subtract, .binaryproto or .npy")
    made.add_argument("--csvFile", type=Path, help="file to append a row of the final stats to")
    add_calibration_options(made)
    made.add_argument("--debug", action="store_true", help="verbose output: engine, shapes, parts of the time, top 5")
    made.add_argument("--quiet", action="store_true", help="print the final stats only")
    add_uint8_option(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns its exit code."""
    began = time.perf_counter()
    arguments = sys.argv[1:] if argv is None else argv

    def run() -> int:
        return infer(parser().parse_args(arguments), began)

    return exit_code_of(PROGRAM, arguments, run)


def infer(args: argparse.Namespace, began: float) -> int:
    """Build the engine, run the iterations, print and append the final stats."""
    import inferkit
    from inferkit.backends import backend
    from inferkit.data.labels import read_labels
    from inferkit.data.opening import open_dataset
    from inferkit.measure.accuracy.top_k import scores_output
    from inferkit.measure.machine.lease import device_lease

    max_batch = args.max_batch or args.batch
    if args.batch > max_batch:
        raise UsageError(f"a batch of {args.batch} images does not fit --max_batch {max_batch}")
    shape = None if args.imageShape is None else parse_image_shape(args.imageShape)
    calibration = calibration_files(args)
    if calibration is None and args.dtype in CALIBRATED:
        raise UsageError(NEEDS_FILES.format(args.dtype))
    _require(args.dtype)
    names = read_labels(args.labels) if args.labels is not None else ()
    tally = Tally(PROGRAM, args.batch, args.dtype, args.quiet, args.debug, names, args.csvFile, clock=began)
    with contextlib.nullcontext() if args.quiet else shown_on_stderr(), open_dataset(args.lmdb) as dataset:
        network = load_network(args.model, args.weights, shape, args.outputLayer)
        output = scores_output([info.name for info in network.outputs], f"{args.model} (--outputLayer chooses)")
        preprocessing = image_preprocessing(args.model, args.meanImage, network, dataset, args.lmdb)
        network = at_data_type(network, args.dtype, calibration)
        if args.uint8Input:
            network, preprocessing = taking_pixels(network, preprocessing)
        with contextlib.ExitStack() as stack:
            stack.enter_context(device_lease(backend(BACKEND).device()))  # some builders time tactics on it
            engine = inferkit.build(network, backend=BACKEND, max_batch=max_batch)
            session = stack.enter_context(engine.session())
            if args.debug:
                print_setup(args, network, engine, len(dataset), output)
            traces = classify(
                session,
                output,
                dataset,
                preprocessing,
                tally,
                args.iterations,
                labels_file=str(args.labels),
                output_size=args.outputSize,
                network=network,
            )
            if args.debug:
                print_parts(traces, session)
    tally.finish()
    return ExitCode.OK


def print_setup(args: argparse.Namespace, network: Network, engine: Engine, images: int, output: str) -> None:
    """--debug: what is about to run."""
    info = engine.info
    took = "from the cache" if info.details.get("from_cache") else f"built in {info.build_seconds or 0:.2f} seconds"
    print(f"{info.flavour or info.backend} {info.version}, engine of {(info.size_bytes or 0) / 1e6:.1f} MB {took}")
    print(f"Model: {args.model}, weights: {args.weights}, calibration: {network.calibration or 'none'}")
    shapes = ", ".join(f"{each.name} {list(each.shape)} {each.dtype}" for each in (*network.inputs, *network.outputs))
    print(f"Inputs and outputs: {shapes}; predictions: {output}; batches up to {info.max_batch}")
    print(f"Images: {images} in {args.lmdb}, mean image: {args.meanImage or 'none'}")
    if args.caffeRoot is not None:
        print(f"Caffe root {args.caffeRoot}: not needed, the import reads Caffe's files itself")


def print_parts(traces: Sequence[Trace], session: Session) -> None:
    """--debug: where the time went."""
    parts = {
        "copy in": median(trace.host_to_device for trace in traces),
        "execution": median(trace.compute for trace in traces),
        "copy out": median(trace.device_to_host for trace in traces),
        "submitting": median(trace.enqueue or 0.0 for trace in traces),
    }
    text = ", ".join(f"{name} {seconds:.6f}" for name, seconds in parts.items())
    print(f"Median seconds: {text} (launched by {getattr(session, 'launch', 'call')})")


def _require(data_type: str) -> None:
    """BackendUnavailable before anything slow is done, where this machine cannot run the data type."""
    from inferkit.backends import backend

    available = backend(BACKEND).availability(DATA_TYPES[data_type])
    if not available.ok:
        raise BackendUnavailable(available.reason, available.hint)


if __name__ == "__main__":
    sys.exit(main())
