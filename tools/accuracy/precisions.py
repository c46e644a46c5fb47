"""What each precision costs in accuracy: the trained networks on the 10,000 embedded images, executed on the CPU.

    python -m tools.accuracy.precisions                        # a Markdown table; about a minute on 2 cores
    python -m tools.accuracy.precisions lenet --precision int8 --method percentile --method entropy

INT8 and FP16 run as ONNX Runtime computes the graphs that TensorRT builds; for BF16 and FP8, which it cannot compute,
FP32 arithmetic rounds every value to the type (inferkit.precision.emulation). Each line is paired with FP32 image by
image: how many images it lost and won, and the bounds that the drop keeps with 95 % confidence on either side.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH = 250
CONFIDENCE = 0.95
_EMULATED = ("bf16", "fp8")


def main() -> int:
    from inferkit.precision.calibration.methods import METHODS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=["lenet", "fashion_vgg", "fashion_resnet"])
    parser.add_argument("--precision", action="append", choices=("fp16", "bf16", "int8", "fp8"))
    parser.add_argument("--method", action="append", help="calibration methods of int8 and fp8 (default: all)")
    parser.add_argument("--images", type=int, default=500, help="images to calibrate with (500)")
    args = parser.parse_args()
    print("| network | precision | calibration | top-1 % | drop, points | bounds of the drop | lost | won |")
    print("|---|---|---|---:|---:|---:|---:|---:|")
    for name in args.networks:
        for line in lines(name, args.precision or ["fp16", "bf16", "int8", "fp8"], args.method or METHODS, args.images):
            print(line, flush=True)
    return 0


def lines(name: str, precisions: list[str], methods: Any, images: int) -> list[str]:
    """The table's lines for one network."""
    import inferkit
    from inferkit.data import open_dataset
    from inferkit.data.opening import preprocessing_from
    from inferkit.gate.stats.paired import paired_drop
    from inferkit.network import zoo
    from inferkit.precision import collect_ranges

    network = inferkit.load(name)
    dataset, preprocessing = open_dataset("fashion_mnist"), preprocessing_from(zoo.card(name)["preprocessing"])
    exact = correct(network, dataset, preprocessing)
    table = [f"| {name} | fp32 | | {exact.mean() * 100:.2f} | | | | |"]
    ranges = None
    for precision in precisions:
        quantized = precision in ("int8", "fp8")
        if quantized and ranges is None:
            ranges = collect_ranges(network, dataset, images=images, preprocessing=preprocessing)
        for method in methods if quantized else [None]:
            options = {"calibration": ranges, "method": method} if quantized else {}
            right = correct(inferkit.at_precision(network, precision, **options), dataset, preprocessing)
            lost, won = int((exact & ~right).sum()), int((~exact & right).sum())
            drop = paired_drop(lost, won, exact.size, CONFIDENCE)
            table.append(
                f"| {name} | {precision} | {method or ''} | {right.mean() * 100:.2f} | "
                f"{(lost - won) / exact.size * 100:+.2f} | {drop.lower * 100:+.2f} … {drop.upper * 100:+.2f} | "
                f"{lost} | {won} |"
            )
    return table


def correct(network: Any, dataset: Any, preprocessing: Any) -> NDArray[np.bool_]:
    """For each image whether the best class is its label."""
    import inferkit

    engine = inferkit.build(network, "onnxruntime", BATCH, emulate=network.precision in _EMULATED)
    right = []
    with engine.session() as session:
        for batch in dataset.batches(BATCH, preprocessing=preprocessing):
            [scores] = session.run(batch.images).values()
            right.append(scores.reshape(len(scores), -1).argmax(axis=1) == batch.labels)
    return np.concatenate(right)


if __name__ == "__main__":
    sys.exit(main())
