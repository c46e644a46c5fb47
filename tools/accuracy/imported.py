"""The table "import accuracy": every zoo network in real PyCaffe and, imported, in ONNX Runtime, on the same images.

    python -m tools.accuracy.imported [NAME ...] [--caffe-root FOLDER] [--batch 2]

Prints Markdown: for each network the largest difference of any output, relative to the largest output that Caffe
gives, and on how many images both choose the same class. Random images are uniform 8-bit pixels (less 128, or divided
by 256 for the trained networks); trained networks are also run on embedded test images. The whole zoo takes some ten
minutes, mostly PyCaffe's.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import inferkit
from inferkit.backends import backend
from inferkit.network import zoo
from inferkit.network.network import Network

REAL_IMAGES = 1000
SEED = 7


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; exit code 1 where a difference exceeds --tolerance."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", metavar="NAME", nargs="*", help="networks (default: the whole zoo)")
    parser.add_argument("--caffe-root", help="where real Caffe is (default: INFERKIT_CAFFE_ROOT)")
    parser.add_argument("--batch", type=int, default=2, help="images at once (default 2)")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="relative difference allowed (default 1e-4)")
    args = parser.parse_args(argv)
    versions = ", ".join(f"{name} {backend(name).availability().version}" for name in ("caffe", "onnxruntime"))
    print(f"{versions}, {platform.machine()}, batch {args.batch}\n")
    print("| network | images | outputs | max abs(import − Caffe) / max abs(Caffe) | same class |")
    print("| --- | --- | ---: | ---: | ---: |")
    worst = 0.0
    for name in args.names or zoo.names():
        network = inferkit.load(name)
        for kind, images in _images(network, args.batch):
            caffe = outputs(network, images, args.batch, "caffe", caffe_root=args.caffe_root)
            ours = outputs(network, images, args.batch, "onnxruntime")
            error = float(np.abs(ours - caffe).max() / np.abs(caffe).max())
            same = int((ours.argmax(axis=1) == caffe.argmax(axis=1)).sum())
            worst = max(worst, error)
            print(f"| {name} | {kind} | {caffe.size:,} | {error:.1e} | {same} of {len(images)} |", flush=True)
    print(f"\nThe largest: {worst:.1e} (allowed: {args.tolerance:.0e}).")
    return int(worst > args.tolerance)


def _images(network: Network, batch: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Random images in the network's range, and real ones where it was trained."""
    shape = (batch, *(int(side or 1) for side in network.inputs[0].shape[1:]))
    pixels = np.random.default_rng(SEED).integers(0, 256, shape).astype(np.float32)
    if not zoo.is_trained(network.name):
        yield f"{batch} random", pixels - 128
        return
    from inferkit.data.fashion_mnist import read_embedded

    scale = np.float32(zoo.card(network.name)["preprocessing"]["scale"])
    yield f"{batch} random", pixels * scale
    real = read_embedded()[0][:REAL_IMAGES, np.newaxis].astype(np.float32)
    yield f"{len(real):,} test images", real * scale


def outputs(
    network: Network, images: NDArray[np.float32], batch: int, backend: str, **options: Any
) -> NDArray[np.float32]:
    """The output `prob` [N, classes] of a network in a backend for all images, `batch` at once."""
    with inferkit.build(network, backend=backend, max_batch=batch, **options).session() as session:
        parts = [session.run(images[start : start + batch])["prob"] for start in range(0, len(images), batch)]
    return np.concatenate(parts).reshape(len(images), -1)


if __name__ == "__main__":
    sys.exit(main())
