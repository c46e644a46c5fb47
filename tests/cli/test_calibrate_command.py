"""`inferkit calibrate`: from images to caches, ranges and batch files, and back."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from inferkit.cli.main import main
from inferkit.precision.calibration.batches import BatchFiles
from inferkit.precision.calibration.caches import parse_cache, read_cache
from inferkit.precision.calibration.ranges import Ranges
from tests.cli.called import exit_code

LENET = ["lenet", "fashion_mnist", "--images", "40", "--batch-size", "20"]


def calibrate(*arguments: str | Path) -> int:
    return main(["calibrate", *map(str, arguments)])


def test_a_cache_and_ranges_come_from_a_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache, ranges = tmp_path / "lenet.cache", tmp_path / "lenet.npz"
    assert calibrate(*LENET, "-o", cache, "--ranges", ranges, "--method", "max") == 0
    found = Ranges.load(ranges)
    assert found.images == 40
    assert set(read_cache(cache).amax) == set(found.histograms)
    assert cache.read_text().startswith("TRT-100300-MinMaxCalibration\n")
    # the network's own preprocessing was applied: pixels divided by 256
    assert read_cache(cache).amax["data"] == pytest.approx(255 / 256, rel=1e-6)
    assert "over 40 images" in capsys.readouterr().out


def test_batch_files_give_the_scales_that_their_images_gave(tmp_path: Path) -> None:
    batches, direct, again = tmp_path / "batches", tmp_path / "direct.cache", tmp_path / "again.cache"
    assert calibrate(*LENET, "-o", direct, "--write-batches", batches) == 0
    files = list(BatchFiles(batches))
    assert [file.images.shape for file in files] == [(20, 1, 28, 28)] * 2
    assert all(file.labels is not None and file.labels.dtype == np.float32 for file in files)
    assert calibrate("lenet", batches, "-o", again, "--no-header") == 0
    assert parse_cache(again.read_bytes())[0] is None
    assert parse_cache(again.read_bytes())[1] == parse_cache(direct.read_bytes())[1]
    assert (
        calibrate("lenet", batches, "--first-batch", "1", "--num-batches", "1", "--ranges", tmp_path / "one.npz") == 0
    )
    assert Ranges.load(tmp_path / "one.npz").images == 20


def test_images_that_fill_no_batch_file_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """NVIDIA's readers demand files of one size."""
    lenet = ("lenet", "fashion_mnist", "--images", "50", "--batch-size", "20")
    assert calibrate(*lenet, "--write-batches", tmp_path / "batches") == 0
    assert "2 files, batch0 to batch1; 10 images are left out" in capsys.readouterr().out


def test_ranges_of_parts_merge_to_those_of_the_whole(tmp_path: Path) -> None:
    batches = tmp_path / "batches"
    assert (
        calibrate(*LENET, "--write-batches", batches, "--batch-name", "batch_calibration{}.batch", "--no-labels") == 0
    )
    one, both, whole = (tmp_path / f"{name}.npz" for name in ("one", "both", "whole"))
    assert calibrate("lenet", batches, "--num-batches", "1", "--ranges", one) == 0
    assert calibrate("lenet", batches, "--first-batch", "1", "--merge", one, "--ranges", both) == 0
    assert calibrate("lenet", batches, "--ranges", whole) == 0
    assert Ranges.load(both) == Ranges.load(whole)


@pytest.mark.parametrize(
    ("options", "pixel"),
    [
        (["--scale", "1"], [1, 2, 200]),
        (["--channel-order", "2", "1", "0"], [200, 2, 1]),
        (["--gray"], [61]),  # 0.114 blue, 0.587 green, 0.299 red
        (["--color", "--mean", "1", "2", "0", "--scale", "0.5"], [0, 0, 100]),
    ],
)
def test_colours_are_brought_to_what_the_network_takes(tmp_path: Path, options: list[str], pixel: list[float]) -> None:
    image = np.full((8, 8, 3), (1, 2, 200), np.uint8)
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "red.png"), image)
    assert calibrate("lenet", tmp_path / "images", "--write-batches", tmp_path / "batches", *options) == 0
    (batch,) = BatchFiles(tmp_path / "batches")
    assert batch.images[0, :, 0, 0].tolist() == pixel


def test_colour_images_for_a_gray_network_are_refused_with_the_option(tmp_path, capsys):
    np.savez(tmp_path / "colour.npz", images=np.zeros((2, 3, 28, 28), np.uint8))
    assert calibrate("lenet", tmp_path / "colour.npz", "-o", tmp_path / "cache", "--scale", "1") == 2
    assert "apply the network's preprocessing (gray (--gray), resize, crop)" in capsys.readouterr().err


def test_batch_files_are_prepared_already(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert calibrate(*LENET, "--write-batches", tmp_path / "batches") == 0
    assert calibrate("lenet", tmp_path / "batches", "-o", tmp_path / "x", "--gray") == 2
    assert "leave out --gray" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([*LENET], "name what to write"),
        ([*LENET, "-o", "x", "--method", "guess"], "unknown calibration method"),
        ([*LENET, "-o", "x", "--mean", "1", "--mean-image", "m.npy"], "cannot be used together"),
        ([*LENET, "-o", "x", "--channel-order", "0", "2"], "not a permutation of the channels"),
        (["lenet", "fashion_mnist", "-o", "x", "--images", "0"], "at least 1"),
        (["lenet", "fashion_mnist", "-o", "x", "--num-batches", "3"], "has no batch file with the number 0"),
        (["lenet", "nowhere", "-o", "x"], "nowhere"),
        ([*LENET, "--write-batches", "x", "--batch-name", "batch"], "no {} for the number"),
        ([*LENET, "-o", "x", "--merge", "missing.npz"], "missing.npz"),
    ],
)
def test_what_makes_no_sense_is_said_and_nothing_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exit_code(["calibrate", *arguments]) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
