"""Trains the networks that inferkit/network/zoo/trained holds, and measures what it writes there.

    python -m tools.train lenet fashion_vgg fashion_resnet --dataset /usr/share/datasets/fashion-mnist

Needs Fashion-MNIST's four original files (Debian package dataset-fashion-mnist), real PyCaffe (`--caffe-root` or
INFERKIT_CAFFE_ROOT) and, for the last two networks, torch (`pip install torch`). Takes ten to fifteen minutes of one
CPU core for each; torch uses a GPU where there is one, and is done in a minute or two. Each network gets NAME.prototxt
(what the zoo's builder writes), NAME.caffemodel and NAME.json: recipe, seed, preprocessing, and top-1 and top-5 on the
10,000 test images through real PyCaffe and through the import in ONNX Runtime. The seeds are fixed; another machine or
library adds up in another order, so weights differ in their last places at first and accuracies by some tenths of a
point at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import inferkit
from inferkit.backends.caffe.root import require_root
from inferkit.files import replacing, write_atomically
from inferkit.measure.accuracy.top_k import rank_of_labels
from inferkit.network.network import Network
from inferkit.network.zoo import build
from inferkit.network.zoo.caffemodel import caffemodel
from inferkit.network.zoo.store import TRAINED
from tools.accuracy.imported import outputs
from tools.train import fashion_mnist

SCALE = 1 / 256  # the only preprocessing: pixels from 0 to just below 1
NAMES = ("lenet", "fashion_vgg", "fashion_resnet")
BATCH = 100


def main(argv: Sequence[str] | None = None) -> int:
    """Train, write and measure the networks named."""
    parser = argparse.ArgumentParser(prog="python -m tools.train", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", metavar="NAME", nargs="+", choices=NAMES, help="lenet, fashion_vgg, fashion_resnet")
    parser.add_argument("--dataset", type=Path, required=True, help="folder of Fashion-MNIST's four .gz files")
    parser.add_argument("--caffe-root", type=Path, help="where real Caffe is (default: INFERKIT_CAFFE_ROOT)")
    parser.add_argument("--output", type=Path, default=TRAINED, help="folder to write to (default: the package's)")
    parser.add_argument("--work", type=Path, help="folder for LMDBs, logs and snapshots (default: a temporary one)")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="inferkit-train-") as temporary:
        work = args.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        for name in args.names:
            blobs, how = _train(name, args, work)
            _store(name, blobs, args.output)
            _describe(name, how, args)
    return 0


def _train(name: str, args: argparse.Namespace, work: Path) -> tuple[dict[str, list[NDArray[Any]]], dict[str, Any]]:
    """The trained blobs by layer, and how they came about."""
    if name == "lenet":
        from tools.train import lenet

        model = lenet.train(require_root(args.caffe_root), args.dataset, work)
        return lenet.blobs(model), {
            "trained_by": "Caffe 1.0 (caffe train, CPU)",
            "recipe": lenet.RECIPE,
            "seed": lenet.SEED,
        }
    import torch

    from tools.train import with_torch

    torch.set_num_threads(1)
    recipe = with_torch.RECIPES[name]
    place = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    made_by = f"torch {torch.__version__} ({place})"
    return with_torch.train(name, args.dataset), {"trained_by": made_by, "recipe": str(recipe), "seed": recipe.seed}


def _store(name: str, blobs: dict[str, list[NDArray[Any]]], folder: Path) -> None:
    """Write prototxt and caffemodel, every blob checked against the shape that the builder knows."""
    net = build(name)
    layers = [layer for layer in net.layers if layer.blobs]
    for layer in layers:
        shapes = tuple(tuple(blob.shape) for blob in blobs[layer.name])
        if shapes != layer.blobs:
            raise ValueError(f"{name}: layer {layer.name} was trained with blobs {shapes}, not {layer.blobs}")
    with replacing(folder / f"{name}.caffemodel") as file:
        for piece in caffemodel(name, [(layer.name, layer.type, blobs[layer.name]) for layer in layers]):
            file.write(piece)
    write_atomically(folder / f"{name}.prototxt", net.prototxt().encode())


def _describe(name: str, how: dict[str, Any], args: argparse.Namespace) -> None:
    """Measure the network in both backends and write its card."""
    prototxt, model = args.output / f"{name}.prototxt", args.output / f"{name}.caffemodel"
    network = inferkit.load(prototxt, model, name=name)
    images, labels = fashion_mnist.read(args.dataset, fashion_mnist.TEST)
    accuracy = {
        "caffe": measure(network, images, labels, "caffe", caffe_root=args.caffe_root),
        "onnxruntime": measure(network, images, labels, "onnxruntime"),
    }
    card = {
        "network": name,
        "dataset": "Fashion-MNIST",
        "training_images": 60_000,
        "preprocessing": {"scale": SCALE},
        **how,
        "test_images": len(images),
        "accuracy": accuracy,
        "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
    }
    write_atomically(args.output / f"{name}.json", (json.dumps(card, indent=2) + "\n").encode())
    print(f"{name}: {accuracy}")


def measure(
    network: Network, images: NDArray[np.uint8], labels: NDArray[np.uint8], backend: str, **options: Any
) -> dict[str, float]:
    """Top-1 and top-5, as fractions, of `network` on all images in `backend`."""
    scores = outputs(network, images.astype(np.float32) * np.float32(SCALE), BATCH, backend, **options)
    rank = rank_of_labels(scores, labels)
    return {"top1": float(np.mean(rank < 1)), "top5": float(np.mean(rank < 5))}


if __name__ == "__main__":
    sys.exit(main())
