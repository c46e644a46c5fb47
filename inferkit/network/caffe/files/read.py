"""Reads Caffe's two files, the prototxt (text) and the caffemodel (binary); any defect is a NetworkError."""

from __future__ import annotations

import codecs
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from inferkit.errors import DataError, NetworkError
from inferkit.network.caffe.files.schema import BlobProto, Message, NetParameter
from inferkit.network.caffe.files.wire import blob_values, take_values
from inferkit.network.limit import read_file

PathLike = str | os.PathLike[str]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_LFS = b"version https://git-lfs"
_ARCHIVES = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7z"}
_SOLVER_FIELDS = (
    *("net", "net_param", "train_net", "train_net_param", "train_state", "test_net", "test_net_param", "test_state"),
    *("test_iter", "test_interval", "base_lr", "lr_policy", "max_iter", "solver_mode", "snapshot", "snapshot_prefix"),
)


@dataclass(frozen=True, eq=False)
class CaffeModel:
    """A caffemodel: its layers as messages without numbers, and the numbers (flat float32 arrays) beside them."""

    path: Path
    net: NetParameter
    stored: tuple[NDArray[np.float32], ...]

    def values(self, blob: BlobProto) -> NDArray[np.float32]:
        """The numbers of a blob of `net`, flat."""
        return blob_values(blob, self.stored)


def read_prototxt(path: PathLike) -> NetParameter:
    """The network that a prototxt describes, as written: nothing upgraded, nothing filtered.

    Byte order marks, CRLF, and comments in any encoding are accepted. Raises NetworkError for a file that is missing,
    unreadable, empty, binary or of another kind, and, with line and column, for text that Caffe's parser refuses.
    """
    source = Path(path)
    content = _read(source, "prototxt")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = content.decode("utf-16", errors="replace")
    elif b"\0" in content:
        raise NetworkError(f"{source} is a binary file, not a prototxt; were prototxt and caffemodel swapped?")
    else:
        text = _decode(content.removeprefix(codecs.BOM_UTF8))
    net = parse_prototxt(text, source)
    if not (net.layer or net.layers or net.input):
        raise NetworkError(f"{source} describes no layer; give the prototxt of a network, not that of a solver")
    return net


def parse_prototxt(text: str, source: PathLike) -> NetParameter:
    """Parse the text of a prototxt; `source` is what errors call it. Raises NetworkError with line and column."""
    net = NetParameter()
    message: Any = net  # text_format's own stubs ask for their Message
    try:
        text_format.Parse(_MINUS_APART.sub(_join_minus, text), message)
    except text_format.ParseError as error:
        raise NetworkError(_describe(error, text, source)) from None
    except (ValueError, TypeError, RecursionError) as error:
        raise NetworkError(f"{source} is not a valid prototxt: {error}") from None
    if not message.IsInitialized():
        missing = ", ".join(message.FindInitializationErrors())
        raise NetworkError(f"{source}: required fields are missing: {missing}")
    return net


def read_caffemodel(path: PathLike) -> CaffeModel:
    """The trained model in a binary caffemodel, as written (not upgraded). Fields that Caffe does not know are ignored.

    The file is read once, its numbers are not copied. Raises NetworkError for a file that is missing, unreadable,
    empty, truncated, damaged, of another kind, or over the size limit (limit.py).
    """
    source = Path(path)
    content = _read(source, "caffemodel")
    try:
        small, stored = take_values(content)
        net = NetParameter.FromString(small)
        _repair_text(net)
    except DataError as error:
        if is_text(content):
            raise NetworkError(
                f"{source} is a text file, not a caffemodel; were prototxt and caffemodel swapped?"
            ) from None
        raise NetworkError(
            f"{source} is truncated, damaged or not a caffemodel ({len(content):,} bytes): {error}; download it again"
        ) from None
    except (DecodeError, ValueError, RecursionError) as error:  # ValueError: protobuf's Python code, for bad UTF-8
        raise NetworkError(f"{source} is damaged or not a caffemodel: {error}; download it again") from None
    if not (net.layer or net.layers):
        raise NetworkError(f"{source} holds no layer, so it is not a caffemodel")
    return CaffeModel(source, net, tuple(stored))


def _read(source: Path, what: str) -> bytes:
    """The whole file. Raises NetworkError where its first bytes show that it is of another kind."""
    try:
        content = read_file(source)
    except FileNotFoundError:
        raise NetworkError(f"{source} does not exist") from None
    except IsADirectoryError:
        raise NetworkError(f"{source} is a directory, not a {what}") from None
    except (OSError, ValueError, MemoryError) as error:
        raise NetworkError(f"{source} cannot be read: {error}") from None
    if not content or content.isspace():  # strip would copy it: a caffemodel begins with the byte of a newline
        raise NetworkError(f"{source} is empty; download it again")
    refuse_other_kinds(source, content[:512], what)
    return content


def refuse_other_kinds(source: Path, beginning: bytes, what: str) -> None:
    """NetworkError where the first 512 bytes of a file show that it is no prototxt or caffemodel (`what`)."""
    if beginning.startswith(_LFS):
        raise NetworkError(f"{source} is a git-lfs pointer, not the file itself; run `git lfs pull`")
    if beginning.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise NetworkError(f"{source} is a web page, not a {what}: the download failed; download it again")
    if beginning.startswith(_HDF5):
        raise NetworkError(
            f"{source} is an HDF5 file; only binary caffemodels are read: load it into Caffe "
            "(net = caffe.Net(prototxt, caffe.TEST, weights=file)) and save it with net.save('model.caffemodel')"
        )
    for magic, kind in _ARCHIVES.items():
        if beginning.startswith(magic):
            raise NetworkError(f"{source} is a {kind} archive; unpack it first")


def _decode(content: bytes) -> str:
    """Text, line by line: a comment in another encoding must not spoil the names in other lines."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return "\n".join(_decode_line(line) for line in content.split(b"\n"))


def _decode_line(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _repair_text(message: Message) -> None:
    """Make text of names that are not UTF-8: protobuf hands out raw bytes for them, and takes none."""
    for field, value in message.ListFields():
        if isinstance(value, bytes):
            setattr(message, field.name, _decode_line(value))
        elif isinstance(value, Message):
            _repair_text(value)
        elif hasattr(value, "__len__") and not isinstance(value, str):
            for index, element in enumerate(value):
                if isinstance(element, bytes):
                    value[index] = _decode_line(element)
                elif isinstance(element, Message):
                    _repair_text(element)
                elif not isinstance(element, str):
                    break  # a list of numbers


# A minus apart from its number, which Caffe's parser takes and Python's does not; strings and comments are skipped.
_MINUS_APART = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|-([ \t]+)(?=[\d.in])""")


def _join_minus(match: re.Match[str]) -> str:
    """Moves the minus to its number, so that columns stay what they were."""
    return f"{match[1]}-" if match[1] else match[0]


def is_text(content: bytes) -> bool:
    """Whether a file is text, judged by its first part."""
    return all(byte >= 32 or byte in b"\t\n\r\f\v" for byte in content[:4096])


def _describe(error: text_format.ParseError, text: str, source: PathLike) -> str:
    """The parser's message rewritten: file, line, column, the enclosing layer, and the reason."""
    line, column = error.GetLine(), error.GetColumn()
    reason = re.sub(r"^\d+(:\d+)? : ", "", str(error)).replace("inferkit.caffe.", "").strip().rstrip(".")
    reason = re.sub(r"""^(['"]).*\1: (?=[A-Z])""", "", reason)  # the line, quoted
    unknown = re.match(r'Message type "(\w+)" has no field named "([^"]*)"', reason)
    if unknown:
        message, name = unknown.groups()
        solver = message == "NetParameter" and name in _SOLVER_FIELDS
        hint = (
            "this is the prototxt of a solver; give the prototxt of its network"
            if solver
            else "is the file for a fork of Caffe?"
        )
        reason = f"Caffe 1.0 has no field {name!r} in {message} ({hint})"
    where = f"{source}" if line is None else f"{source}, line {line}, column {column}"
    layer = enclosing_layer(text, line, column) if line is not None and column is not None else None
    within = f", in {layer}" if layer else ""
    return f"{where}{within}: {reason}"


_TOKEN = re.compile(r"#[^\n]*|\"(?:\\.|[^\"\\\n])*\"?|'(?:\\.|[^'\\\n])*'?|[{}<>]|:|[\w.+-]+|\S")
# How deep a layer's name and type stand: in the oldest form within `layers { layer { } }`.
_DEPTHS = {"layer": (1,), "layers": (1, 2)}


def enclosing_layer(text: str, line: int, column: int) -> str | None:
    """Name and type of the layer whose braces enclose a place (both counted from 1), like "layer 'fc' (Softmax)".

    Reads on to the layer's end, since its type may be written after the place. None outside of layers.
    """
    place = _offset(text, line, column)
    depth, start, entry, values = 0, 0, "", dict[str, str]()
    previous: list[str] = ["", ""]  # the two tokens before this one
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token.startswith("#"):
            continue
        if token in "{<":
            if depth == 0:
                start, values = match.start(), {}
                entry = previous[1] if previous[1] != ":" else previous[0]
            depth += 1
        elif token in "}>":
            depth = max(depth - 1, 0)
            if depth == 0:
                if start <= place <= match.start():
                    break
                if start > place:
                    return None
        elif previous[1] == ":" and previous[0] in ("name", "type") and depth in _DEPTHS.get(entry, ()):
            values.setdefault(previous[0], token.strip("\"'"))
        previous = [previous[1], token]
    else:
        if depth == 0 or start > place:  # outside of all, or the last layer lacks its closing brace
            return None
    if entry not in ("layer", "layers"):
        return None
    name = f"layer {values['name']!r}" if "name" in values else "a layer without a name"
    return f"{name} ({values['type']})" if "type" in values else name


def _offset(text: str, line: int, column: int) -> int:
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    return starts[min(line, len(starts)) - 1] + column - 1
