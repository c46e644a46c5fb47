"""Against real Caffe: databases that its tools write, what its data layers read from them, and caffe.io.Transformer."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inferkit.backends.caffe.root import CaffeRoot
from inferkit.data import (
    Preprocessing,
    compute_mean,
    open_dataset,
    preprocessing_of,
    read_list,
    read_mean,
    write_binaryproto,
    write_lmdb,
)
from inferkit.data.pixels.resize import resize_mean
from inferkit.errors import DataError
from inferkit.network.caffe.files.schema import TransformationParameter
from tests.data.caffe_files import convert, data_net, image_net, picture, png, png_chunk, read_by_caffe, write_pictures

pytestmark = pytest.mark.pycaffe

SIZES = [(40, 61), (64, 64), (37, 50), (128, 33), (90, 141), (33, 32)]
RESIZED = ("--resize_height=40", "--resize_width=47")
# Flags of convert_imageset; transforms that fit what they make; `MEAN` is the mean of that database.
CASES = {
    "raw": (RESIZED, ["", "crop_size: 27", "crop_size: 26 MEAN", "MEAN scale: 0.017", "mean_value: 100.3"]),
    "gray": ((*RESIZED, "--gray"), ["MEAN", "crop_size: 40 mean_value: 3.3 scale: 0.00390625"]),
    "jpg": (
        (*RESIZED, "--encoded", "--encode_type=jpg"),
        ["MEAN crop_size: 39", "force_gray: true", "force_color: true"],
    ),
    "png": (
        ("--encoded", "--encode_type=png"),
        ["crop_size: 31 mean_value: 104.1 mean_value: 117.2 mean_value: 123.3", "crop_size: 32 force_gray: true"],
    ),
    "files as they are": (("--encoded",), ["crop_size: 30 scale: 2"]),
    "shuffled": ((*RESIZED, "--shuffle"), ["MEAN"]),
}


def parsed(text: str) -> TransformationParameter:
    from google.protobuf import text_format

    return text_format.Parse(text, TransformationParameter())


@pytest.fixture(scope="module")
def judged(
    caffe_root: CaffeRoot, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, NDArray[np.float32]]]:
    """All databases of CASES by Caffe's own tools, and what a Data layer reads from each with each transform."""
    folder = tmp_path_factory.mktemp("caffe")
    listing = write_pictures(folder / "pictures", SIZES)
    nets = {}
    for name, (flags, transforms) in CASES.items():
        database = convert(caffe_root, listing, folder / name, *flags)
        if any("MEAN" in text for text in transforms):
            caffe_root.run(["compute_image_mean", database, folder / f"{name}.binaryproto"])
        for index, text in enumerate(transforms):
            text = text.replace("MEAN", f'mean_file: "{folder / name}.binaryproto"')
            nets[f"{name} {index}"] = data_net(database, 5, text)
    return folder, read_by_caffe(caffe_root, folder, nets, forwards=2)


@pytest.mark.parametrize(
    ("name", "index"), [(name, i) for name, (_, texts) in CASES.items() for i in range(len(texts))]
)
def test_batches_are_those_of_a_data_layer_bit_for_bit(
    judged: tuple[Path, dict[str, NDArray[np.float32]]], name: str, index: int
) -> None:
    folder, read = judged
    text = CASES[name][1][index].replace("MEAN", f'mean_file: "{name}.binaryproto"')
    with open_dataset(folder / name) as dataset:
        batches = list(dataset.batches(5, limit=10, preprocessing=preprocessing_of(parsed(text), folder)))
    np.testing.assert_array_equal(np.concatenate([batch.images for batch in batches]), read[f"{name} {index}/data"])
    np.testing.assert_array_equal(
        np.concatenate([batch.labels for batch in batches]), read[f"{name} {index}/label"].ravel()
    )


@pytest.mark.parametrize("name", [name for name, (_, texts) in CASES.items() if "MEAN" in "".join(texts)])
def test_the_mean_is_that_of_compute_image_mean_bit_for_bit(
    judged: tuple[Path, dict[str, NDArray[np.float32]]], tmp_path: Path, name: str
) -> None:
    folder, _ = judged
    with open_dataset(folder / name) as dataset:
        mean = compute_mean(dataset)
    np.testing.assert_array_equal(mean, read_mean(folder / f"{name}.binaryproto"))
    write_binaryproto(tmp_path / "mean.binaryproto", mean)
    assert (tmp_path / "mean.binaryproto").read_bytes() == (folder / f"{name}.binaryproto").read_bytes()


def test_what_we_write_caffe_reads(caffe_root: CaffeRoot, tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    pixels = random.integers(0, 256, (6, 3, 17, 19), np.uint8)
    floats = random.standard_normal((6, 2, 7, 9)).astype(np.float32)
    write_lmdb(tmp_path / "raw", pixels, range(6))
    write_lmdb(tmp_path / "floats", floats, range(-6, 0))
    write_lmdb(tmp_path / "png", pixels, range(6), encoded="png")
    nets = {name: data_net(tmp_path / name, 6, "scale: 3") for name in ("raw", "floats", "png")}
    read = read_by_caffe(caffe_root, tmp_path, nets)
    np.testing.assert_array_equal(read["raw/data"], pixels * np.float32(3))
    np.testing.assert_array_equal(read["png/data"], pixels * np.float32(3))
    np.testing.assert_array_equal(read["floats/data"], floats * np.float32(3))
    assert read["floats/label"].ravel().tolist() == [-6, -5, -4, -3, -2, -1]


def test_image_files_are_those_of_an_image_data_layer(caffe_root: CaffeRoot, tmp_path: Path) -> None:
    listing = write_pictures(tmp_path / "pictures", SIZES)
    text = "crop_size: 30 mean_value: 99.5 scale: 0.5"
    cases = {"smaller": ((33, 44), True), "larger": ((150, 160), True), "gray": ((64, 31), False)}
    nets = {name: image_net(listing, 12, size, text, color) for name, (size, color) in cases.items()}
    read = read_by_caffe(caffe_root, tmp_path, nets)
    for name, (size, color) in cases.items():
        preprocessing = Preprocessing(resize=size, crop=30, mean_values=(99.5,), scale=0.5, color=color)
        batch = next(read_list(listing).batches(12, preprocessing=preprocessing))
        np.testing.assert_array_equal(batch.images, read[f"{name}/data"], err_msg=name)
        assert batch.labels.tolist() == read[f"{name}/label"].ravel().tolist()


def test_image_files_through_caffe_ios_transformer(caffe_root: CaffeRoot, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    write_pictures(tmp_path, SIZES, (".png",))
    means = {"fits": (3, 30, 40), "other": (3, 50, 61), "channels": (3,)}
    for name, shape in means.items():
        np.save(tmp_path / f"{name}.npy", random.uniform(80, 140, shape).astype(np.float32))
    jobs, expected = {}, {}
    for index in range(len(SIZES)):
        file = str(tmp_path / f"picture {index}.png")
        image = cv2.imread(file)
        small = {"resize": (30, 40), "interpolation": "caffe.io"}
        jobs[f"{index} larger"] = {"file": file, "shape": [1, 3, 200, 301]}
        expected[f"{index} larger"] = Preprocessing(resize=(200, 301), interpolation="caffe.io")(image)
        for name in means:
            mean = read_mean(tmp_path / f"{name}.npy")
            mean = resize_mean(mean, (30, 40)) if name == "other" else mean
            jobs[f"{index} {name}"] = {
                "file": file,
                "shape": [1, 3, 30, 40],
                "mean": str(tmp_path / f"{name}.npy"),
                "scale": 0.017,
            }
            expected[f"{index} {name}"] = Preprocessing(**small, mean=mean, scale=0.017)(image)
    read = read_by_caffe(caffe_root, tmp_path, {}, transformers=jobs)
    for name, image in expected.items():
        # scikit-image computes positions in float32: where values jump by 255, that is up to 2e-5 of them.
        scale = 255 * (0.017 if "larger" not in name else 1)
        np.testing.assert_allclose(image, read[name], rtol=0, atol=2e-5 * scale, err_msg=name)


def unusual_files() -> dict[str, bytes]:
    """Image files that decoders like to differ on, all of 32 × 32 pixels or cropped to it."""
    random = np.random.default_rng(7)

    def rows(size: int) -> bytes:
        return b"".join(b"\0" + random.bytes(size) for _ in range(32))

    palette = png_chunk(b"PLTE", random.bytes(768))
    jpeg = cv2.imencode(".jpg", picture(3, 33, 40))[1].tobytes()
    turned = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x112, 3, 1, 6, 0, 0)
    files = {
        "four channels": cv2.imencode(".png", picture(0, 32, 32, 4))[1].tobytes(),
        "palette": png(32, 32, 8, 3, rows(32), palette),
        "palette with transparency": png(32, 32, 8, 3, rows(32), palette + png_chunk(b"tRNS", bytes(range(256)))),
        "gray with transparency": png(32, 32, 8, 4, rows(64)),
        "1 bit": png(32, 32, 1, 0, rows(4)),
        "4 bits": png(32, 32, 4, 0, rows(16)),
        "gray, one value transparent": png(32, 32, 8, 0, rows(32), png_chunk(b"tRNS", b"\0\7")),
        "colour, one value transparent": png(32, 32, 8, 2, rows(96), png_chunk(b"tRNS", b"\0\7\0\7\0\7")),
        "gamma": png(32, 32, 8, 2, rows(96), png_chunk(b"gAMA", struct.pack(">I", 100_000))),
        "turned by EXIF": jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(turned) + 2) + turned + jpeg[2:],
        "bytes after the end": jpeg + b"garbage" * 20,
        "bmp": cv2.imencode(".bmp", picture(1, 32, 32))[1].tobytes(),
    }
    for name, flags in {
        "progressive": (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "low quality": (cv2.IMWRITE_JPEG_QUALITY, 20),
        "444": (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
        "422": (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422),
        "440": (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440),
        "restarts": (cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    }.items():
        files[name] = cv2.imencode(".jpg", picture(2, 35, 33), flags)[1].tobytes()
    return files


def test_unusual_image_files_are_decoded_as_by_caffes_opencv(caffe_root: CaffeRoot, tmp_path: Path) -> None:
    colors = {"": None, "force_color: true": True, "force_gray: true": False}
    nets, expected = {}, {}
    for name, content in unusual_files().items():
        write_lmdb(tmp_path / name, [content], [1])
        for text, color in colors.items():
            nets[name + text] = data_net(tmp_path / name, 1, f"crop_size: 32 {text}")
            with open_dataset(tmp_path / name) as dataset:
                expected[name + text] = next(dataset.batches(1, preprocessing=Preprocessing(crop=32, color=color)))
    read = read_by_caffe(caffe_root, tmp_path, nets)
    for name, batch in expected.items():
        np.testing.assert_array_equal(batch.images, read[f"{name}/data"], err_msg=name)


@pytest.mark.parametrize(
    ("transform", "preprocessing"),
    [
        ("crop_size: 41", Preprocessing(crop=41)),
        ("mean_value: 1 mean_value: 2", Preprocessing(mean_values=(1, 2))),
        ("mean_file: 'MEAN'", Preprocessing(mean=np.zeros((3, 40, 40)))),
    ],
)
def test_what_caffe_refuses_we_refuse(
    caffe_root: CaffeRoot, tmp_path: Path, transform: str, preprocessing: Preprocessing
) -> None:
    from inferkit.errors import BackendError

    write_lmdb(tmp_path / "db", np.zeros((2, 3, 40, 47), np.uint8), [0, 1])
    write_binaryproto(tmp_path / "mean.binaryproto", np.zeros((3, 40, 40)))
    with pytest.raises(BackendError, match="Check failed"):
        read_by_caffe(
            caffe_root,
            tmp_path,
            {"net": data_net(tmp_path / "db", 2, transform.replace("MEAN", str(tmp_path / "mean.binaryproto")))},
        )
    with open_dataset(tmp_path / "db") as dataset, pytest.raises(DataError):
        dataset.batches(2, preprocessing=preprocessing)
