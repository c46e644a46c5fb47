"""Which files a network is made of, whether they are there and of their kind, and what is fed, by their outline.

No weight is read, nothing is converted.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from inferkit.errors import DataError, NetworkError
from inferkit.files import inside
from inferkit.network.load import PathLike, kind_of, refuse_unsuited, whole_shapes
from inferkit.wire import BYTES, MOST_FIELDS, read_key, read_length, skip

if TYPE_CHECKING:
    import onnx

    from inferkit.network.network import TensorInfo

# Numbers of fields: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto and Caffe's caffe.proto.
_GRAPH, _OPSET = 7, 8  # of a ModelProto
_INITIALIZER, _INPUT, _OUTPUT = 5, 11, 12  # of a GraphProto
_NAME = 8  # of a TensorProto
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


def inputs_of(
    model: PathLike,
    caffemodel: PathLike | None = None,
    *,
    input_shape: Mapping[str, int | Sequence[int]] | None = None,
    batch_axis: Mapping[str, int] | None = None,
) -> tuple[TensorInfo, ...]:
    """The inputs of the network that `load` with these arguments would give, of files that `check_files` lets pass.

    A Caffe net's batch counts as open; its weights are read only where the prototxt does not state the shape.
    NetworkError, and UsageError for a shape or an axis that does not fit.
    """
    from inferkit.network.network import Network, TensorInfo

    kind = kind_of(model, Path(model), caffemodel)
    refuse_unsuited(kind, model, bool(batch_axis), {"input_shape": bool(input_shape)})
    if kind == "onnx":
        from inferkit.network.onnx_file import is_text, open_unknown_dimensions
        from inferkit.network.open_dimensions import declare_batch, fix_open_dimensions

        outline = _outline(Path(model))
        if not is_text(outline.graph):
            raise NetworkError(f"{model}: a name in it is not UTF-8 text; the file is damaged")
        open_unknown_dimensions(outline)
        if batch_axis:
            declare_batch(outline, batch_axis, str(model))
        if input_shape:
            fix_open_dimensions(outline, input_shape, str(model))
        try:
            return Network.from_model(outline, "").inputs
        except NetworkError as error:
            raise NetworkError(f"{model}: {error}") from None
    from inferkit.network.caffe.convert import inputs_of as inputs_of_caffe
    from inferkit.network.caffe.files.read import parse_prototxt
    from inferkit.network.caffe.prototxt.definition import define

    if kind == "zoo":
        from inferkit.network import zoo

        net = parse_prototxt(zoo.prototxt(str(model)), model)
    else:
        stated = whole_shapes(input_shape or None, Path(model))
        try:
            net = define(model, input_shapes=stated).net
        except NetworkError:
            if caffemodel is None:
                raise
            net = define(model, caffemodel, input_shapes=stated).net
    shapes = inputs_of_caffe(net, str(model))
    return tuple(TensorInfo(name, "float32", (None, *shape[1:])) for name, shape in shapes.items())


def _outline(source: Path) -> onnx.ModelProto:
    """The ONNX model without nodes and numbers."""
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    with _Mapped(source) as content:
        view = memoryview(content)
        try:
            graphs = [(begin, end) for number, begin, end in _fields(view, 0, len(view)) if number == _GRAPH]
            for number, begin, end in (field for graph in graphs for field in _fields(view, *graph)):
                if number == _INPUT:
                    model.graph.input.add().ParseFromString(bytes(view[begin:end]))
                elif number == _OUTPUT:
                    model.graph.output.add().ParseFromString(bytes(view[begin:end]))
                elif number == _INITIALIZER:
                    names = [bytes(view[b:e]) for field, b, e in _fields(view, begin, end) if field == _NAME]
                    model.graph.initializer.add().name = b"".join(names[-1:]).decode(errors="replace")
        except (DataError, DecodeError) as error:
            raise NetworkError(f"{source} is damaged, truncated or not an ONNX model: {error}") from None
        finally:
            view.release()
    return model


def _check_onnx(source: Path) -> None:
    for location in sorted(_locations(source)):
        file = inside(source.parent.resolve(), location)
        if file is not None and not os.path.isfile(file):  # what is outside of the folder is refused by `load`
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
            if os.path.exists(self._source) and not os.path.isfile(self._source):  # a pipe would never end
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
