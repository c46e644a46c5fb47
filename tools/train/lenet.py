"""LeNet trained by real Caffe: LMDBs of the images, then `caffe train` on the solver in this folder."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inferkit.backends.caffe.root import CaffeRoot
from inferkit.data.lmdb.write import write_lmdb
from inferkit.network.caffe.files.read import read_caffemodel
from tools.train import fashion_mnist

HERE = Path(__file__).parent
RECIPE = "tools/train/lenet_solver.prototxt"
SEED = 1  # random_seed of the solver


def train(root: CaffeRoot, dataset: Path, work: Path) -> Path:
    """Train in folder `work` and return the caffemodel there. What Caffe prints goes to work/caffe_train.log.

    One BLAS thread and a fixed kernel set, so that two runs on one kind of CPU add up in the same order.
    """
    for part, name in ((fashion_mnist.TRAIN, "train"), (fashion_mnist.TEST, "test")):
        folder = work / f"fashion_mnist_{name}_lmdb"
        if not folder.exists():
            write_lmdb(folder, *fashion_mnist.read(dataset, part))
    for name in ("lenet_train_val.prototxt", "lenet_solver.prototxt"):
        shutil.copy(HERE / name, work)
    command, environment = root.command(["caffe", "train", "--solver=lenet_solver.prototxt"])
    environment |= {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "1"}
    with open(work / "caffe_train.log", "w") as log:
        subprocess.run(command, env=environment, cwd=work, stdout=log, stderr=log, check=True)
    return max(work.glob("lenet_iter_*.caffemodel"), key=lambda path: path.stat().st_mtime)


def blobs(model: Path) -> dict[str, list[NDArray[np.float32]]]:
    """The parameter blobs by layer of a caffemodel that Caffe wrote (it also stores the layers of the loss)."""
    stored = read_caffemodel(model)
    return {
        layer.name: [stored.values(blob).reshape(tuple(blob.shape.dim)) for blob in layer.blobs]
        for layer in stored.net.layer
        if layer.blobs
    }
