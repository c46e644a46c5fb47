"""Decodes image files as Caffe's OpenCV does, after checking the size that the file declares."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import DataError, UsageError

MAX_PIXELS = 100_000_000  # default limit: an image of 300 MB; the largest of ImageNet has 61 million pixels
VARIABLE = "INFERKIT_MAX_PIXELS"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG markers that begin a frame (SOF0 to SOF15)
_ALONE = frozenset(range(0xD0, 0xD8)) | {0x01}  # JPEG markers without a length: RST0 to RST7, TEM
_MARKER = re.compile(rb"\xff[\x01-\xfe]", re.DOTALL)
_MOST_SEGMENTS = 10_000
_MOST_CHUNKS = 100_000


def decode_image(
    file: bytes | memoryview, color: bool | None = None, max_pixels: int | None = None
) -> NDArray[np.uint8]:
    """The pixels of a JPEG, PNG, BMP or WebP file: uint8 [H, W, C] (blue, green, red) or [H, W] (gray).

    `color` None keeps the file's channels, as Caffe does with encoded Datums; True makes it 3 (force_color, and
    convert_imageset), False makes it gray (force_gray, --gray). DataError where it cannot be decoded, is truncated, has
    more than 8 bits per channel, or more than `max_pixels` (see `pixel_limit`), checked before anything is decoded.
    """
    import cv2

    height, width = image_size(file)
    check_pixels(height, width, pixel_limit(max_pixels))
    flag = cv2.IMREAD_UNCHANGED if color is None else cv2.IMREAD_COLOR if color else cv2.IMREAD_GRAYSCALE
    try:
        image: NDArray[Any] | None = cv2.imdecode(np.frombuffer(file, np.uint8), flag)
    except cv2.error as error:
        raise DataError(f"the image cannot be decoded: {str(error).strip()}") from error
    if image is None or image.size == 0:
        raise DataError(f"the image cannot be decoded ({len(file)} bytes)")
    if image.dtype != np.uint8:
        raise DataError(f"the image has {image.dtype} pixels; Caffe reads 8 bits per channel")
    if image.shape[0] * image.shape[1] != height * width:
        raise DataError(
            f"the image has {image.shape[1]} × {image.shape[0]} pixels, but its header declares {width} × {height}"
        )
    return image


def pixel_limit(chosen: int | None = None) -> int:
    """How many pixels an image may have: `chosen`, else $INFERKIT_MAX_PIXELS, else MAX_PIXELS. UsageError otherwise."""
    text = os.environ.get(VARIABLE)
    try:
        limit = chosen if chosen is not None else int(text) if text else MAX_PIXELS
    except ValueError as error:
        raise UsageError(f"{VARIABLE}={text!r} is not a number of pixels") from error
    if limit < 1:
        raise UsageError(f"max_pixels={limit} must be at least 1")
    return limit


def check_pixels(height: int, width: int, max_pixels: int) -> None:
    """DataError, naming the limit, where an image has more than `max_pixels`."""
    if height * width > max_pixels:
        raise DataError(
            f"the image has {width} × {height} pixels, over the limit max_pixels={max_pixels} "
            f"(set {VARIABLE} to change it)"
        )


def check_bytes(size: int, max_pixels: int) -> None:
    """DataError where a file or record is larger than any that is read: 4 bytes for each of `max_pixels`, and 1 MiB."""
    if size > 4 * max_pixels + (1 << 20):
        raise DataError(
            f"{size} bytes are over the limit for an image of max_pixels={max_pixels} (set {VARIABLE} to change it)"
        )


def image_size(file: bytes | memoryview) -> tuple[int, int]:
    """Height and width that a JPEG, PNG, BMP or WebP file declares. DataError for other or truncated files."""
    for begins, name, reader in _FORMATS:
        if bytes(file[: len(begins)]) == begins:
            try:
                height, width = reader(file)
            except (struct.error, IndexError) as error:
                raise DataError(f"the {name} file is truncated ({len(file)} bytes)") from error
            if height <= 0 or width <= 0:
                raise DataError(f"the {name} file declares {width} × {height} pixels")
            return height, width
    raise DataError(f"the image is not a JPEG, PNG, BMP or WebP file (it begins with {bytes(file[:8])!r})")


def _jpeg_size(file: bytes | memoryview) -> tuple[int, int]:
    size: tuple[int, int] | None = None
    position = 2
    for _ in range(_MOST_SEGMENTS):
        match = _MARKER.search(file, position)  # as libjpeg: bytes between two segments are skipped
        if match is None:
            raise IndexError(position)
        position = match.end()
        marker = file[position - 1]
        if marker in _ALONE:
            continue
        if marker == 0xDA and size is not None:  # start of the pixels
            _require_end(file, position)
            return size
        if marker in (0xD8, 0xD9, 0xDA):
            raise DataError("the JPEG file has no image size before its pixels")
        (length,) = struct.unpack_from(">H", file, position)
        if length < 2:
            raise DataError(f"the JPEG file is damaged: a segment of {length} bytes")
        if marker in _FRAMES and size is None:
            size = struct.unpack_from(">HH", file, position + 3)
        position += length
    raise DataError(f"the JPEG file has over {_MOST_SEGMENTS} segments before its pixels")


def _png_size(file: bytes | memoryview) -> tuple[int, int]:
    _, kind, width, height = struct.unpack_from(">I4sII", file, 8)
    if kind != b"IHDR":
        raise DataError("the PNG file is damaged: it does not begin with its header")
    if file[24] > 8:  # decoders cut them to the upper 8 bits where a number of channels is asked for
        raise DataError(f"the PNG file has {file[24]} bits per channel; Caffe reads 8: convert its images to 8 bits")
    position = 8
    for _ in range(_MOST_CHUNKS):
        # Every chunk's size is checked: decoders have been seen to take memory for the 4 GiB that one may claim.
        length, kind = struct.unpack_from(">I4s", file, position)
        position += 12 + length
        if position > len(file):
            raise IndexError(position)
        if kind == b"IEND":
            return height, width
    raise DataError(f"the PNG file has over {_MOST_CHUNKS} chunks")


def _bmp_size(file: bytes | memoryview) -> tuple[int, int]:
    (header,) = struct.unpack_from("<I", file, 14)
    if header == 12:
        width, height = struct.unpack_from("<HH", file, 18)
    else:
        width, height = struct.unpack_from("<ii", file, 18)
    return abs(height), abs(width)  # a negative height: rows from the top down


def _webp_size(file: bytes | memoryview) -> tuple[int, int]:
    kind = bytes(file[8:16])
    if kind == b"WEBPVP8X":
        low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", file, 24)
        return (low_h | high_h << 16) + 1, (low_w | high_w << 16) + 1
    if kind == b"WEBPVP8L":
        (bits,) = struct.unpack_from("<I", file, 21)
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == b"WEBPVP8 ":
        width, height = struct.unpack_from("<HH", file, 26)
        return height & 0x3FFF, width & 0x3FFF
    raise DataError("the WebP file is damaged: it has no image")


def _require_end(file: bytes | memoryview, start: int) -> None:
    """DataError where a JPEG has no end mark after `start`; decoders fill what is missing with gray, silently."""
    mark = b"\xff\xd9"
    if mark not in bytes(file[max(start, len(file) - 32) :]) and bytes(file).find(mark, start) < 0:
        raise DataError(f"the JPEG file is truncated: its end marker is missing ({len(file)} bytes)")


_Reader = Callable[[bytes | memoryview], tuple[int, int]]
_FORMATS: tuple[tuple[bytes, str, _Reader], ...] = (
    (b"\xff\xd8\xff", "JPEG", _jpeg_size),
    (b"\x89PNG\r\n\x1a\n", "PNG", _png_size),
    (b"BM", "BMP", _bmp_size),
    (b"RIFF", "WebP", _webp_size),
)
