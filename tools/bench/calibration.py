"""Calibration measured: its memory and time, and its range finding against ONNX Runtime's entropy calibrator.

    python -m tools.bench.calibration      # VGG16, 500 images of 224 x 224; about 15 minutes
    python -m tools.bench.calibration --images 40 --shared-images 8

Range finding is everything but the forward passes, which both sides leave to ONNX Runtime: the time inside
InferenceSession.run is taken off the whole. Both sides look at the same tensors (the inputs of convolutions and inner
products) of the same images. ONNX Runtime's calibrator keeps every activation until the end: where the memory is too
small for all `--images`, both get `--shared-images` for the ratio; inferkit is measured on all of them as well. Every
measurement has a process of its own; memory is what it takes above its start.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from inferkit.measure.machine.host import HighWater

MIB = 1 << 20
_KEPT = 1.5  # measured with VGG16: 54 MB an image beyond the first ones, whose activations are 36 MB


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="vgg16", help="a name of the zoo (default: vgg16)")
    parser.add_argument("--images", type=int, default=500, help="images for inferkit's memory and time (500)")
    parser.add_argument("--shared-images", type=int, default=160, help="images for both, for the ratio (160)")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--part", choices=sorted(_PARTS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        memory = HighWater()
        figures = _PARTS[args.part](args)
        print(json.dumps({**figures, "peak": memory.peak()}))
        return 0
    if args.shared_images % args.batch_size:
        parser.error("--shared-images must be whole batches: the peer stacks them")
    figures = {part: _in_process(part) for part in _PARTS}
    for line in report(args, figures):
        print(line)
    return 0


def _in_process(part: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tools.bench.calibration", *sys.argv[1:], "--part", part]
    print(f"measuring: {part}", file=sys.stderr)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figure: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figure


def _kept_per_image(figure: dict[str, Any]) -> float:
    """Bytes that ONNX Runtime's calibrator holds for an image: its activations, and a copy of the largest of them."""
    return _KEPT * 4.0 * float(figure["elements"]) / float(figure["images"])


def report(args: argparse.Namespace, figures: dict[str, Any]) -> list[str]:
    """The figures as text."""
    model, short, whole, ours, *theirs = figures.values()
    lines = [
        f"{args.model}, batches of {args.batch_size}, {whole['tensors']} tensors",
        f"  the model alone (FP32 session, one batch run): {model['peak'] / MIB:,.0f} MiB",
    ]
    for figure in (short, whole):
        beyond = (figure["peak"] - model["peak"]) / MIB
        lines.append(
            f"  calibration with {figure['images']} images: {beyond:,.0f} MiB beyond it, {figure['total']:.1f} s, "
            f"of which range finding {figure['ranges']:.2f} s"
        )
    if args.shared_images < args.images:
        need = args.images * _kept_per_image(short) / MIB
        lines.append(
            f"  the peer keeps every activation, about {need:,.0f} MiB for {args.images} images; this machine has "
            f"{psutil.virtual_memory().total / MIB:,.0f} MiB; both were compared on {args.shared_images} images:"
        )
    lines += [
        f"  range finding on the same {ours['images']} images, {ours['elements'] / 1e6:,.0f} million values:",
        f"    inferkit, entropy       {ours['ranges']:8.2f} s {ours['elements'] / ours['ranges'] / 1e6:8.0f} million/s",
    ]
    for peer in theirs:
        seconds, rate = peer["ranges"], peer["elements"] / peer["ranges"] / 1e6
        lines.append(
            f"    ONNX Runtime, {peer['bins']:>4} bins {seconds:8.2f} s {rate:8.0f} million/s: "
            f"{seconds / ours['ranges']:.1f} times inferkit's, {peer['peak'] / MIB:,.0f} MiB at its peak"
        )
    return lines


class Forward:
    """Counts the seconds spent inside InferenceSession.run, whoever calls it, while it is open."""

    def __enter__(self) -> Forward:
        import onnxruntime

        self.seconds = 0.0
        self._class: Any = onnxruntime.InferenceSession
        self._run: Callable[..., Any] = self._class.run

        def run(session: Any, *args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return self._run(session, *args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - start

        self._class.run = run
        return self

    def __exit__(self, *_: object) -> None:
        self._class.run = self._run


def pictures(shape: Sequence[int], count: int, batch_size: int) -> Iterator[NDArray[np.float32]]:
    """Batches of pictures [N, C, H, W]: the embedded ones, enlarged, one for each channel, less the mean."""
    from inferkit.data.opening import open_dataset
    from inferkit.data.pixels.preprocessing import Preprocessing

    channels, height, width = shape
    dataset = open_dataset("fashion_mnist")
    one = Preprocessing(resize=(height, width), mean_values=(73.0,))
    for start in range(0, count, batch_size):
        size = min(batch_size, count - start)
        [batch] = dataset.batches(size * channels, start=start * channels, limit=size * channels, preprocessing=one)
        yield batch.images.reshape(size, channels, height, width)


def _model(args: argparse.Namespace) -> dict[str, Any]:
    """The model's own memory: an FP32 session that has run one batch."""
    import onnxruntime

    import inferkit

    network = inferkit.load(args.model)
    session = onnxruntime.InferenceSession(network.model.SerializeToString())
    [info] = network.inputs
    for batch in pictures(_shape(info), args.batch_size, args.batch_size):
        session.run(None, {info.name: batch})
    return {}


def _shape(info: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in info.shape[1:])


def _prepared(args: argparse.Namespace) -> tuple[Any, Any, Any]:
    import inferkit
    from inferkit.precision.placement import place
    from inferkit.precision.rewrite.fold import prepare

    network = inferkit.load(args.model)
    graph = prepare(network.model)
    return network, graph, place(graph)


def _ours(args: argparse.Namespace, images: int) -> dict[str, Any]:
    from inferkit.precision.calibration.collect import Collector
    from inferkit.precision.calibration.methods import calibration_from

    network, graph, placement = _prepared(args)
    [info] = network.inputs
    collector = Collector(graph, placement.tensors)
    Collector(graph, [info.name]).add({info.name: np.zeros((1, *_shape(info)), np.float32)})  # libraries load
    total = 0.0
    with Forward() as forward:
        for batch in pictures(_shape(info), images, args.batch_size):
            start = time.perf_counter()
            collector.add({info.name: batch})
            total += time.perf_counter() - start
        start = time.perf_counter()
        ranges = collector.ranges()
        calibration_from(ranges, "entropy")
        total += time.perf_counter() - start
    return {
        "images": images,
        "tensors": len(placement.tensors),
        "elements": sum(histogram.total for histogram in ranges.histograms.values()),
        "total": total,
        "ranges": total - forward.seconds,
    }


def _onnxruntime(args: argparse.Namespace, bins: int) -> dict[str, Any]:
    """ONNX Runtime's EntropyCalibrater."""
    import onnx
    from onnxruntime.quantization.calibrate import CalibrationDataReader, EntropyCalibrater

    network, _, placement = _prepared(args)
    [info] = network.inputs
    wanted = {name for name in placement.tensors if name != info.name}

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = pictures(_shape(info), args.shared_images, args.batch_size)
            self.seconds = 0.0

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            start = time.perf_counter()
            batch = next(self.batches, None)
            self.seconds += time.perf_counter() - start
            return None if batch is None else {info.name: batch}

    class SameTensors(EntropyCalibrater):
        def select_tensors_to_calibrate(self, model: onnx.ModelProto) -> tuple[set[str], dict[str, Any]]:
            _, values = super().select_tensors_to_calibrate(model)
            return {info.name, *wanted}, values

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        path.write_bytes(network.model.SerializeToString())
        augmented = str(Path(folder, "augmented.onnx"))
        calibrator = SameTensors(str(path), augmented_model_path=augmented, symmetric=True, num_bins=bins)
        calibrator.augment_graph()
        calibrator.create_inference_session()
        reader = Reader()
        with Forward() as forward:
            start = time.perf_counter()
            calibrator.collect_data(reader)
            calibrator.compute_data()
            total = time.perf_counter() - start
    elements = int(sum(sum(histogram[0]) for histogram in calibrator.collector.histogram_dict.values()))
    return {"bins": bins, "ranges": total - forward.seconds - reader.seconds, "elements": elements}


_PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "model": _model,
    "short": lambda args: _ours(args, max(args.batch_size, args.images // 10)),
    "long": lambda args: _ours(args, args.images),
    "shared": lambda args: _ours(args, args.shared_images),
    # As it comes, and with the bins of the method.
    **{f"onnxruntime {bins}": partial(_onnxruntime, bins=bins) for bins in (128, 2048)},
}


if __name__ == "__main__":
    sys.exit(main())
