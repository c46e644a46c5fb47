"""The files that the networks of a matrix are made of, each with its SHA-256: what a commit alone may not have.

{"tiny.onnx": "9f86d0…", "../data/images.npz": "60303a…"}          # relative to the matrix's folder

A file outside of the git repository that the matrix is in has its absolute path: no checkout can hold it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from inferkit.content_store import sha256_of
from inferkit.errors import InferkitError
from inferkit.network.outline import files_of
from inferkit.suite.matrix.definition import NetworkDefinition

# A larger dataset is a matter of its own: to read 100 GB at every run takes longer than the run, and nobody reviews a
# baseline that lists 10,000 images.
MOST_DATASET_BYTES, MOST_DATASET_FILES = 256 << 20, 100


def network_files(networks: Iterable[NetworkDefinition], folder: Path) -> dict[str, dict[str, str]]:
    """By network name: the SHA-256 of its files by path, for a matrix in `folder`.

    They are model, weights, external data, mean image, and a dataset of up to MOST_DATASET_BYTES in MOST_DATASET_FILES.
    Files that cannot be read are left out: whoever measures the network says what is wrong with them.
    """
    root = folder.resolve()
    top = top_of(root)
    digests: dict[Path, str] = {}
    files: dict[str, dict[str, str]] = {}
    for network in networks:
        mine = files.setdefault(network.name, {})
        for path in _paths(network):
            try:
                digest = digests.get(path) or digests.setdefault(path, sha256_of(path))
            except OSError:
                continue
            name = path.as_posix() if not path.is_relative_to(top) else Path(os.path.relpath(path, root)).as_posix()
            mine[name] = digest
    return files


def top_of(folder: Path) -> Path:
    """The top folder of the git repository that an absolute folder is in; itself where it is in none."""
    return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)


def _paths(network: NetworkDefinition) -> Iterator[Path]:
    try:
        own = files_of(network.model, network.weights)
    except InferkitError:
        own = []
    mean = network.preprocessing.get("mean")
    yield from (path.resolve() for path in own)
    if isinstance(mean, str):
        yield Path(mean).resolve()
    if network.dataset is not None and os.path.isabs(network.dataset):  # else it is an embedded one
        yield from _of_dataset(Path(network.dataset).resolve())


def _of_dataset(dataset: Path) -> list[Path]:
    """The file, or all files of the folder; none of a dataset that is too large."""
    files, total = [], 0
    for path in [dataset] if dataset.is_file() else dataset.rglob("*"):
        if path.is_file():
            files.append(path)
            total += path.stat().st_size
            if total > MOST_DATASET_BYTES or len(files) > MOST_DATASET_FILES:
                return []
    return sorted(files)
