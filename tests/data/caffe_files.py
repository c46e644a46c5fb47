"""Input for real Caffe in tests: seeded images, databases by convert_imageset, nets of one data layer."""

from __future__ import annotations

import json
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inferkit.backends.caffe.root import CaffeRoot

READER = Path(__file__).parent / "read_with_caffe.py"


def picture(seed: int, height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    """A smooth image of random blobs, [H, W, C] or gray [H, W]: compressible, and every pixel tells where it is."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (height // 6 + 2, width // 6 + 2, channels), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def png(width: int, height: int, depth: int, kind: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG of any pixel format, by hand: OpenCV writes only some."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk of a PNG with its length and its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def write_pictures(folder: Path, sizes: list[tuple[int, int]], suffixes: tuple[str, ...] = (".png", ".jpg")) -> Path:
    """Write one colour image per size and suffix, and `list.txt` with them: labels count up from 0. The list's path."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for index, (height, width) in enumerate(sizes):
        for suffix in suffixes:
            name = f"picture {index}{suffix}"  # a space: convert_imageset parts a line at its last one
            cv2.imwrite(str(folder / name), picture(index, height, width))
            lines.append(f"{name} {len(lines)}")
    (folder / "list.txt").write_text("\n".join(lines) + "\n")
    return folder / "list.txt"


def convert(root: CaffeRoot, listing: Path, database: Path, *flags: str) -> Path:
    """An LMDB that Caffe's own convert_imageset makes of the list's images."""
    root.run(["convert_imageset", *flags, f"{listing.parent}/", listing, database])
    return database


def data_net(database: Path, batch: int, transform: str = "") -> str:
    """A prototxt with a Data layer alone."""
    return (
        'layer { name: "data" type: "Data" top: "data" top: "label" '
        f"transform_param {{ {transform} }} "
        f'data_param {{ source: "{database}" batch_size: {batch} backend: LMDB }} }}'
    )


def image_net(listing: Path, batch: int, size: tuple[int, int], transform: str = "", color: bool = True) -> str:
    """A prototxt with an ImageData layer alone, which reads image files and resizes them."""
    return (
        'layer { name: "data" type: "ImageData" top: "data" top: "label" '
        f"transform_param {{ {transform} }} "
        f'image_data_param {{ source: "{listing}" root_folder: "{listing.parent}/" batch_size: {batch} '
        f"new_height: {size[0]} new_width: {size[1]} is_color: {str(color).lower()} }} }}"
    )


def read_by_caffe(
    root: CaffeRoot,
    folder: Path,
    nets: dict[str, str],
    forwards: int = 1,
    transformers: dict[str, dict[str, Any]] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """What real Caffe reads: `name/data` and `name/label` of each net's batches, and each transformer's image."""
    jobs = {name: {"prototxt": text, "forwards": forwards} for name, text in nets.items()}
    (folder / "jobs.json").write_text(json.dumps({"nets": jobs, "transformers": transformers or {}}))
    done: subprocess.CompletedProcess[str] = root.run(["python3", READER, folder / "jobs.json", folder / "read.npz"])
    assert done.returncode == 0
    with np.load(folder / "read.npz") as arrays:
        return dict(arrays)
