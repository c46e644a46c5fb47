"""infer_caffe on real PyCaffe: the study's options and report, what is counted, and how it fails."""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from inferkit.backends.caffe.root import CaffeRoot
from inferkit.cli import infer_caffe
from inferkit.data.lmdb.write import write_lmdb
from inferkit.data.pixels.mean import write_binaryproto

# Scores are the sums of each channel: the class of an image is its brightest channel.
DEPLOY = """
name: "brightest"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean" pooling_param { pool: AVE global_pooling: true } }
layer { name: "scaled" type: "Power" bottom: "mean" top: "scaled" power_param { scale: 0.1 } }
layer { name: "prob" type: "Softmax" bottom: "scaled" top: "prob" }
"""
STEPS = "crop_size: 4 mean_value: 200 mean_value: 0 mean_value: 0"
TRAIN = DEPLOY.replace(
    'type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } }',
    f'type: "Data" top: "data" top: "label" data_param {{ source: "x" batch_size: 7 }} transform_param {{ {STEPS} }}',
).replace(
    'name: "prob" type: "Softmax" bottom: "scaled"',
    'name: "loss" type: "SoftmaxWithLoss" bottom: "scaled" bottom: "label"',
)
BLOCK = r"""Final Stats \(times in seconds\)
-{30}
Date: \d\d/\d\d/\d{4}
Time: \d\d:\d\d:\d\d
Host: \S+
Iterations: 3
Batch size: 2
Data type: NA
Total run time: \d+\.\d{4}
Stats for all iterations
-{24}
Total predictions: 6
Correct top 1 predictions: 5
Correct top 5 predictions: 6
Top 1 accuracy: 83\.33%
Top 5 accuracy: 100\.00%
Inference time --
Total: \d+\.\d{4}
Mean: \d+\.\d{4}
Min: \d+\.\d{4}
Max: \d+\.\d{4}
Range: \d+\.\d{4}
STD: \d+\.\d{4}
Median: \d+\.\d{4}
Inference time/prediction: \d+\.\d{4}
Images/sec: \d+\.\d{2}
"""


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Options for a network without weights and an LMDB of five images, four of them labelled right."""
    (tmp_path / "deploy.prototxt").write_text(DEPLOY, encoding="utf-8")
    (tmp_path / "empty.caffemodel").write_bytes(b"\xa2\x06\x06\x0a\x04mean")  # a layer without blobs
    write_lmdb(tmp_path / "lmdb", [bright(channel) for channel in (0, 1, 2, 0, 1)], [0, 1, 2, 1, 1])
    return [
        *("-m", str(tmp_path / "deploy.prototxt"), "-w", str(tmp_path / "empty.caffemodel")),
        *("-l", str(tmp_path / "lmdb")),
    ]


def bright(channel: int, size: int = 6) -> np.ndarray:
    """A dark [3, size, size] image whose `channel` is bright in the middle, and another one at the border."""
    image = np.full((size, size, 3), 10, np.uint8)
    image[..., (channel + 1) % 3] = 255
    image[1:-1, 1:-1] = 10
    image[1:-1, 1:-1, channel] = 100
    return image.transpose(2, 0, 1)  # [C, H, W], as a Datum has it


def run(caffe_root: CaffeRoot, *options: str) -> int:
    return infer_caffe.main([*options, "-c", str(caffe_root.path)])


def test_the_usage_is_the_studys(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit) as ended:
        infer_caffe.main(["-h"])
    told = capsys.readouterr().out
    assert ended.value.code == 0
    assert told.startswith(
        "usage: infer_caffe [-h] -m MODEL -w WEIGHTS -l LMDB [-b BATCH] [-i ITERATIONS] [-c CAFFEROOT] "
        "[--blobName BLOBNAME] [--labels LABELS] [--meanImage MEANIMAGE] [--debug] [--gpu] [--csvFile CSVFILE] "
        "[--quiet]\n\nUse a trained Caffe model to classify images from a LMDB database.\n"
    )


@pytest.mark.parametrize("wrong", [["-b", "0"], ["-i", "-1"], ["-b", "many"], ["--unknown"]])
def test_options_without_sense_are_a_usage_error(files: list[str], wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        infer_caffe.main([*files, *wrong])
    assert ended.value.code == 2


@pytest.mark.pycaffe
def test_the_final_stats_of_a_quiet_run_are_all_it_prints(
    caffe_root: CaffeRoot, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(caffe_root, *files, "-b", "2", "-i", "3", "--quiet") == 0
    told = capsys.readouterr()
    assert re.fullmatch(BLOCK, told.out), told.out
    assert "the images were repeated" in told.err  # 6 images are needed, 5 are there: the sixth is the first


@pytest.mark.pycaffe
def test_predictions_are_told_with_their_names(
    caffe_root: CaffeRoot, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words.txt").write_text("n00000001 blue\nn00000002 green\nn00000003 red\n")
    assert run(caffe_root, *files, "-b", "5", "-i", "1", "--labels", str(tmp_path / "words.txt")) == 0
    told = capsys.readouterr().out
    assert len(re.findall(r"^Iteration \d+: \d+\.\d{4} seconds for 5 images$", told, re.MULTILINE)) == 1
    assert len(re.findall(r"\(correct, label", told)) == 4
    assert re.search(r"0 blue 0\.\d{4} \(top 5, label 1 green\)", told)


@pytest.mark.pycaffe
def test_debug_tells_the_set_up_and_every_top_5(
    caffe_root: CaffeRoot, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(caffe_root, *files, "-i", "1", "--debug") == 0
    told = capsys.readouterr().out
    assert "Inputs: data [1, 3, 4, 4]" in told
    assert len(re.findall(r"^    \d\. \d 0\.\d{6}$", told, re.MULTILINE)) == 3
    assert "beside the timed call" in told


@pytest.mark.pycaffe
@pytest.mark.parametrize("form", ["binaryproto", "npy"])
def test_a_mean_image_is_subtracted_and_cropped_with_the_image(
    caffe_root: CaffeRoot, files: list[str], tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mean = np.zeros((3, 6, 6), np.float32)
    mean[0, 1:-1, 1:-1] = 200  # takes channel 0 out of the race: images of class 0 become another class
    path = tmp_path / f"mean.{form}"
    if form == "npy":
        np.save(path, mean)
    else:
        write_binaryproto(path, mean)
    assert run(caffe_root, *files, "-b", "5", "-i", "1", "--quiet", "--meanImage", str(path)) == 0
    assert "Correct top 1 predictions: 3" in capsys.readouterr().out


@pytest.mark.pycaffe
def test_a_training_prototxt_brings_its_own_preprocessing(
    caffe_root: CaffeRoot, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "deploy.prototxt").write_text(TRAIN, encoding="utf-8")
    assert run(caffe_root, *files, "-b", "5", "-i", "1", "--quiet") == 0
    assert "Correct top 1 predictions: 3" in capsys.readouterr().out


@pytest.mark.pycaffe
@pytest.mark.parametrize("crop", ["crop_size: 4", ""])
def test_gray_images_become_colour_where_the_prototxt_forces_it(
    caffe_root: CaffeRoot, files: list[str], tmp_path: Path, crop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = f"{crop} force_color: true mean_value: 200 mean_value: 200 mean_value: 0"  # class 2 is the brightest
    (tmp_path / "deploy.prototxt").write_text(TRAIN.replace(STEPS, steps), encoding="utf-8")
    write_lmdb(tmp_path / "gray", [np.full((1, 6, 6), 50, np.uint8)] * 3, [2, 0, 2], encoded="png")
    assert run(caffe_root, *files, "-l", str(tmp_path / "gray"), "-b", "3", "-i", "1", "--quiet") == 0
    assert "Correct top 1 predictions: 2" in capsys.readouterr().out


@pytest.mark.pycaffe
def test_images_are_cropped_where_the_prototxt_tells_a_crop_but_no_channels(
    caffe_root: CaffeRoot, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "deploy.prototxt").write_text(TRAIN.replace(STEPS, "crop_size: 4"), encoding="utf-8")
    assert run(caffe_root, *files, "-b", "5", "-i", "1", "--quiet") == 0
    assert "Correct top 1 predictions: 4" in capsys.readouterr().out


@pytest.mark.pycaffe
def test_another_blob_may_hold_the_predictions(
    caffe_root: CaffeRoot, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(caffe_root, *files, "-b", "5", "-i", "1", "--quiet", "--blobName", "mean") == 0
    assert "Correct top 1 predictions: 4" in capsys.readouterr().out
    assert run(caffe_root, *files, "--blobName", "fc8") == 2
    assert "no blob fc8" in capsys.readouterr().err


@pytest.mark.pycaffe
def test_each_run_appends_a_row(caffe_root: CaffeRoot, files: list[str], tmp_path: Path) -> None:
    path = tmp_path / "pycaffe.csv"
    for batch in ("1", "5"):
        assert run(caffe_root, *files, "-b", batch, "-i", "2", "--quiet", "--csvFile", str(path)) == 0
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["Batch size"] for row in rows] == ["1", "5"]
    assert [row["Correct top 1 predictions"] for row in rows] == ["2", "8"]
    assert all(float(row["Inference time Total"]) < float(row["Total run time"]) for row in rows)


@pytest.mark.pycaffe
def test_a_gpu_that_caffe_was_not_built_for_is_told_with_exit_code_2(
    caffe_root: CaffeRoot, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(caffe_root, *files, "--gpu") == 2
    told = capsys.readouterr().err
    assert told.startswith("infer_caffe: this Caffe was built for the CPU only")
    assert told.count("\n") == 1


@pytest.mark.pycaffe
@pytest.mark.parametrize(
    "option, value, told",
    [
        ("-m", "nowhere.prototxt", "nowhere.prototxt"),
        ("-w", "nowhere.caffemodel", "nowhere.caffemodel"),
        ("-l", "nowhere", "nowhere"),
        ("--labels", "nowhere.txt", "nowhere.txt"),
        ("--meanImage", "nowhere.npy", "nowhere.npy"),
        ("--csvFile", "nowhere/runs.csv", "nowhere"),
    ],
)
def test_a_file_that_is_missing_is_one_line_and_exit_code_2(
    caffe_root: CaffeRoot, files: list[str], option: str, value: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(caffe_root, *files, option, value, "--quiet") == 2
    printed = capsys.readouterr()
    assert told in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


@pytest.mark.pycaffe
def test_a_caffemodel_of_another_network_is_told_in_caffes_words_on_one_line(
    caffe_root: CaffeRoot, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.caffemodel").write_bytes(b"\x0a\xff\xff")
    assert run(caffe_root, *files) == 2
    told = capsys.readouterr().err
    assert "empty.caffemodel" in told
    assert told.count("\n") == 1


@pytest.mark.pycaffe
def test_images_with_other_channels_than_the_network_takes_are_told(
    caffe_root: CaffeRoot, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_lmdb(tmp_path / "gray", [np.zeros((1, 6, 6), np.uint8)], [0])
    assert run(caffe_root, *files, "-l", str(tmp_path / "gray")) == 2
    assert "1 channels, the network takes 3" in capsys.readouterr().err


@pytest.mark.pycaffe
def test_labels_for_fewer_classes_than_the_network_has_are_refused(
    caffe_root: CaffeRoot, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words.txt").write_text("blue\ngreen\n")
    assert run(caffe_root, *files, "--labels", str(tmp_path / "words.txt")) == 2
    assert "names 2 classes, the network has 3" in capsys.readouterr().err


def test_a_caffe_root_without_caffe_is_told_with_exit_code_2(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert infer_caffe.main([*files, "-c", str(tmp_path)]) == 2
    assert "holds no Caffe" in capsys.readouterr().err
    assert infer_caffe.main([*files, "-c", sys.executable]) == 2
    assert "import caffe fails" in capsys.readouterr().err
