"""The zoo's files: prototxt and caffemodel in a folder of the user's, in the package (trained), or in the cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from filelock import FileLock

from inferkit.cache import VARIABLE, CacheError, cache_dir
from inferkit.errors import UsageError
from inferkit.files import replacing, write_atomically
from inferkit.network.network import CaffeSource
from inferkit.network.zoo.builder import NetBuilder
from inferkit.network.zoo.caffemodel import caffemodel
from inferkit.network.zoo.catalogue import build, entry
from inferkit.network.zoo.weights import made_up

TRAINED = Path(__file__).with_name("trained")
RECIPE = 1  # raised when made-up weights change, so that none of another recipe is taken from a cache


def write(name: str, folder: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Write `name`.prototxt and `name`.caffemodel to `folder` (made if missing); returns both paths.

    Raises UsageError for a name that the zoo does not have, OSError where the folder cannot be written.
    """
    net = build(name)
    prototxt, model = _paths(Path(folder), name)
    if entry(name).trained:
        with replacing(model) as file, open(_paths(TRAINED, name)[1], "rb") as stored:
            shutil.copyfileobj(stored, file)
    else:
        _write_made_up(net, model)
    write_atomically(prototxt, net.prototxt().encode())
    return prototxt, model


def files(name: str) -> CaffeSource:
    """The network's files, to be read only: the package's for trained networks, else made once and kept in the cache.

    A cached file is taken only with the size and SHA-256 that it was written with. Two processes may ask at once: one
    writes, the other waits. Raises UsageError for a name that the zoo does not have, CacheError where the cache fails.
    """
    if entry(name).trained:
        return CaffeSource(*_paths(TRAINED, name))
    net = build(name)
    folder = cache_dir("zoo", f"recipe-{RECIPE}")
    prototxt, model = _paths(folder, name)
    text = net.prototxt().encode()
    record = folder / f"{name}.json"
    try:
        with FileLock(folder / f".{name}.lock"):
            if not (_holds(prototxt, text) and _intact(model, record)):
                record.unlink(missing_ok=True)
                written = _write_made_up(net, model)
                write_atomically(prototxt, text)
                write_atomically(record, json.dumps(written).encode())
    except OSError as error:
        raise CacheError(
            f"the files of {name} cannot be written to {folder}: {error.strerror or error}; "
            f"set {VARIABLE} to a writable folder"
        ) from error
    return CaffeSource(prototxt, model)


def card(name: str) -> dict[str, Any]:
    """The model card of a trained network: dataset, preprocessing, recipe, who trained it, measured accuracy.

    Raises UsageError for a network that is not stored trained.
    """
    if not entry(name).trained:
        raise UsageError(f"the zoo's {name} is not trained: its weights are made up, and its accuracy means nothing")
    content: dict[str, Any] = json.loads((TRAINED / f"{name}.json").read_text(encoding="utf-8"))
    return content


def _paths(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.prototxt", folder / f"{name}.caffemodel"


def _write_made_up(net: NetBuilder, path: Path) -> dict[str, Any]:
    """Write the caffemodel, layer by layer; returns its size and digest."""
    digest = hashlib.sha256()
    layers = ((layer.name, layer.type, blobs) for layer, blobs in made_up(net) if blobs)
    with replacing(path) as file:
        for piece in caffemodel(net.name, layers):
            digest.update(piece)
            file.write(piece)
        size = file.tell()
    return {"size": size, "sha256": digest.hexdigest()}


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _intact(path: Path, record: Path) -> bool:
    """Whether `path` is the file that `record` was written for; False for a damaged or missing record."""
    try:
        expected = json.loads(record.read_bytes())
        if path.stat().st_size != expected["size"]:
            return False
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == expected["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
