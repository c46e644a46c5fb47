"""Which files a network is made of, and whether they are there and of their kind, by their outline.

No weight is read, nothing is converted.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from inferkit.errors import DataError, NetworkError
from inferkit.files import inside
from inferkit.network.load import PathLike, kind_of
from inferkit.wire import BYTES, MOST_FIELDS, read_key, read_length, skip

# Numbers of fields: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto and Caffe's caffe.proto.
_GRAPH, _OPSET = 7, 8  # of a ModelProto
_INITIALIZER, _OUTPUT = 5, 12  # of a GraphProto
_EXTERNAL = 13  # of a TensorProto: entries of key and value
_KEY, _VALUE = 1, 2
_LAYERS, _LAYER = 2, 100  # of a NetParameter, in the old form and the new
_BEGINNING = 512


def check_files(model: PathLike, caffemodel: PathLike | None = None) -> None:
    """Raise what `inferkit.load` would raise of files that are missing or of another kind, in milliseconds.

    A prototxt is parsed; of the others the top fields are visited and their contents skipped, so that a file that was
    cut is found too, and of an ONNX file the places of its external data. NetworkError or UsageError.
    """
    kind = kind_of(model, Path(model), caffemodel)
    if kind == "onnx":
        _check_onnx(Path(model))
    elif kind == "caffe":
        from inferkit.network.caffe.files.read import read_prototxt

        read_prototxt(model)
        if caffemodel is not None:
            _check_caffemodel(Path(caffemodel))


def files_of(model: PathLike, caffemodel: PathLike | None = None) -> list[Path]:
    """The files of a network that is not the zoo's: its model, its weights, an ONNX file's external data.

    Those of external data that are not below the model's folder, which `load` refuses, are left out. NetworkError or
    UsageError as `check_files`.
    """
    kind = kind_of(model, Path(model), caffemodel)
    if kind == "onnx":
        source = Path(model)
        external = (inside(source.parent.resolve(), location) for location in sorted(_locations(source)))
        return [source, *(file for file in external if file is not None)]
    return [] if kind == "zoo" else [Path(each) for each in (model, caffemodel) if each is not None]


def _check_onnx(source: Path) -> None:
    for location in sorted(_locations(source)):
        file = inside(source.parent.resolve(), location)
        if file is not None and not file.is_file():  # what is outside of the folder is refused by `load`
            raise NetworkError(f"{source}: its external data, {location}, does not exist beside it")


def _locations(source: Path) -> set[str]:
    """The places of an ONNX file's external data, as it has them. NetworkError where it is no model."""
    from inferkit.network.onnx_file import no_model, refuse_pointer

    with _Mapped(source) as content:
        refuse_pointer(source, content[:_BEGINNING])
        view = memoryview(content)
        try:
            fields = list(_fields(view, 0, len(view)))
            graphs = [(begin, end) for number, begin, end in fields if number == _GRAPH]
            inside_graph = {number for graph in graphs for number, _, _ in _fields(view, *graph)}
            if _OUTPUT not in inside_graph or all(number != _OPSET for number, _, _ in fields):
                raise DataError("it has no graph with outputs")
            return {location for graph in graphs for location in _external(view, *graph)}
        except DataError as error:
            raise no_model(source, len(view), error) from None
        finally:
            view.release()


def _check_caffemodel(source: Path) -> None:
    from inferkit.network.caffe.files.read import refuse_other_kinds

    with _Mapped(source) as content:
        refuse_other_kinds(source, content[:_BEGINNING], "caffemodel")
        view = memoryview(content)
        try:
            has_layers = not {_LAYER, _LAYERS}.isdisjoint({number for number, _, _ in _fields(view, 0, len(view))})
        except DataError as error:
            raise NetworkError(
                f"{source} is truncated, damaged or not a caffemodel ({len(view):,} bytes): {error}"
            ) from None
        finally:
            view.release()
    if not has_layers:
        raise NetworkError(f"{source} holds no layer, so it is not a caffemodel")


class _Mapped:
    """The content of a file, of which only what is looked at is read. NetworkError where it cannot be."""

    def __init__(self, source: Path) -> None:
        self._source = source

    def __enter__(self) -> mmap.mmap:
        try:
            if self._source.exists() and not self._source.is_file():  # a pipe would never end
                raise NetworkError(f"{self._source} is not a regular file")
            with self._source.open("rb") as file:
                if not os.fstat(file.fileno()).st_size:
                    raise NetworkError(f"{self._source} is empty; download it again")
                self._content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            raise NetworkError(f"{self._source} does not exist") from None
        except OSError as error:
            raise NetworkError(f"{self._source} cannot be read: {error.strerror or error}") from None
        return self._content

    def __exit__(self, *_: object) -> None:
        self._content.close()


def _fields(view: memoryview, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, begin and end of each field's value; what has a length is not looked into."""
    while position < end:
        key, begin = read_key(view, position, end)
        if key & 7 == BYTES:
            begin, position = read_length(view, begin, end)
        else:
            position = skip(view, key, begin, end)
        yield key >> 3, begin, position


def _external(view: memoryview, begin: int, end: int) -> Iterator[str]:
    """The files in which a graph's initializers say that their data is; of a graph that is endless, the first ones."""
    for tensor, tensor_begin, tensor_end in islice(_fields(view, begin, end), MOST_FIELDS):
        if tensor != _INITIALIZER:
            continue
        for entry, entry_begin, entry_end in _fields(view, tensor_begin, tensor_end):
            if entry == _EXTERNAL:
                pair = {number: bytes(view[b:e]) for number, b, e in _fields(view, entry_begin, entry_end)}
                if pair.get(_KEY) == b"location":
                    yield pair.get(_VALUE, b"").decode(errors="replace")
