"""inferkit.load: a network from a Caffe model, an ONNX file, or by its name in the zoo."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from inferkit.errors import NetworkError, UsageError

if TYPE_CHECKING:
    from inferkit.network.network import Network

PathLike = str | os.PathLike[str]

_CAFFE_SUFFIXES = (".prototxt", ".pt", ".pbtxt", ".txt")


def load(
    prototxt: PathLike,
    caffemodel: PathLike | None = None,
    *,
    name: str | None = None,
    phase: str = "TEST",
    level: int = 0,
    stages: Sequence[str] = (),
    input_shape: Sequence[int] | Mapping[str, int | Sequence[int]] | None = None,
    batch_axis: int | Mapping[str, int] | None = None,
) -> Network:
    """Load a network: `load("deploy.prototxt", "weights.caffemodel")`, `load("model.onnx")` or `load("resnet50")`.

    A Caffe net becomes an ONNX model that computes what Caffe computes in TEST phase; its inputs and outputs are named
    as Caffe's blobs, and the first axis of its inputs is free. `phase`, `level` and `stages` choose among layers with
    include and exclude rules. `input_shape`, batch first, replaces the shape of the only input, or of each input by
    name; of an ONNX file it fixes what is open besides the batch, also by names of dimensions ({"H": 48, "W": 320}).
    `batch_axis` says which axis of the only input, or of inputs and outputs by name, is the batch, where an ONNX file's
    names of dimensions do not. Without a caffemodel every learned blob needs a deterministic filler (constant,
    bilinear). `name` is the network's name, else that in the file, else the file's. What the import noticed is in the
    network's `notes`.

    Raises NetworkError, naming file, layer, type and reason, for what cannot be read or imported, UsageError for a
    name that is neither a file nor in the zoo and for options that do not fit.
    """
    path = Path(prototxt)
    kind = kind_of(prototxt, path, caffemodel)
    options = {"phase": phase != "TEST", "level": level != 0, "stages": bool(stages), "input_shape": bool(input_shape)}
    refuse_unsuited(kind, prototxt, batch_axis is not None, options)
    if kind == "caffe":
        from inferkit.network.caffe.importer import import_caffe

        shapes = whole_shapes(input_shape, path)
        return import_caffe(path, caffemodel, name=name, phase=phase, level=level, stages=stages, input_shape=shapes)
    if kind == "onnx":
        from inferkit.network.onnx_file import read_onnx

        return read_onnx(path, name, input_shape, batch_axis)
    from inferkit.network import zoo

    files = zoo.files(str(prototxt))
    network = load(files.prototxt, files.caffemodel, name=str(prototxt))
    return network if name is None else network.with_model(network.model, name=name)


def refuse_unsuited(kind: str, model: PathLike, batch_axis: bool, options: Mapping[str, bool]) -> None:
    """UsageError for options (by name: is it given) that a network of this kind does not take."""
    if batch_axis and kind != "onnx":
        raise UsageError(f"batch_axis: for ONNX models only; the batch of {model} is axis 0")
    unsuited = [option for option, given in options.items() if given and (kind, option) != ("onnx", "input_shape")]
    if unsuited and kind != "caffe":
        raise UsageError(f"{', '.join(unsuited)}: for Caffe models only, not for {model}")


def whole_shapes(
    shapes: Sequence[int] | Mapping[str, int | Sequence[int]] | None, path: Path
) -> Sequence[int] | dict[str, Sequence[int]] | None:
    """UsageError for the size of a named dimension: a Caffe net names none."""
    if not isinstance(shapes, Mapping):
        return shapes
    whole = {name: shape for name, shape in shapes.items() if not isinstance(shape, int)}
    sizes = ", ".join(name for name in shapes if name not in whole)
    if sizes:
        raise UsageError(f"input_shape of {path}: a Caffe net has no dimension named {sizes}; give shapes by input")
    return whole


def kind_of(model: PathLike, path: Path, caffemodel: PathLike | None) -> str:
    """Which of `caffe`, `onnx` and `zoo` is meant."""
    for each in (path, caffemodel):
        if each is not None and "\0" in os.fspath(each):
            raise UsageError(f"{os.fspath(each)!r} cannot be the path of a file: there is a zero byte in it")
    suffix = path.suffix.lower()
    if suffix in (".caffemodel", ".binaryproto"):
        raise UsageError(f"{path} holds only weights; give the prototxt first: load('deploy.prototxt', '{path}')")
    if caffemodel is not None:
        if suffix == ".onnx":
            raise UsageError(f"{path} is an ONNX model and takes no caffemodel ({caffemodel})")
        return "caffe"
    if suffix == ".onnx":
        return "onnx"
    if suffix in _CAFFE_SUFFIXES:
        return "caffe"
    from inferkit.network import zoo

    if isinstance(model, str) and zoo.knows(model):
        return "zoo"
    if os.path.isfile(path):  # False, too, for a name longer than any file has
        from inferkit.network.caffe.files.read import is_text

        return "caffe" if is_text(_beginning(path)) else "onnx"
    if isinstance(model, str) and path.name == model:
        near = ", ".join(map(repr, get_close_matches(model, zoo.names())))
        hint = f"; did you mean {near}?" if near else f", which has {', '.join(zoo.names())}"
        raise UsageError(f"{model!r} is neither a file nor a network of the zoo{hint}")
    raise NetworkError(f"{path} does not exist")


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4096)
    except OSError as error:
        raise NetworkError(f"{path} cannot be read: {error}") from None
