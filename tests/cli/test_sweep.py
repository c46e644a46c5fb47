"""`inferkit sweep`: every point of the experiment is there, with its figures or with the reason why not."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from inferkit.cli.main import main
from inferkit.cli.sweep import BATCHES, SERIES
from inferkit.cli.sweep_points import SweepPoint
from inferkit.data.lmdb.write import write_lmdb
from inferkit.measure.latency.rounds import Round, Timing
from inferkit.measure.latency.warmup import WarmUp
from inferkit.network import zoo
from inferkit.precision.calibration.batches import write_batches


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    images = np.random.default_rng(4).integers(0, 256, (10, 1, 28, 28)).astype(np.uint8)
    write_lmdb(tmp_path / "lmdb", list(images), list(range(10)))
    write_batches(tmp_path / "batches", [(images.astype(np.float32), None)])
    source = zoo.files("lenet")
    return [
        *("sweep", "-m", str(source.prototxt), "-w", str(source.caffemodel), "-l", str(tmp_path / "lmdb")),
        *("--calBatchDir", str(tmp_path / "batches"), "-i", "2", "--backend", "onnxruntime"),
        *("--rounds", "2", "--seconds", "10ms"),
        *("--csvFile", str(tmp_path / "out.csv"), "--json", str(tmp_path / "out.json")),
    ]


def points(folder: Path) -> list[dict]:
    return json.loads((folder / "out.json").read_text())["points"]


def test_the_studys_experiment_is_the_default() -> None:
    assert BATCHES == (1, 5, 10, 25, 50, 75, 100, 125, 150, 175)
    assert SERIES == ("PyCaffe", "FLOAT", "HALF", "INT8")


def test_every_series_runs_over_every_batch(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*options, "--series", "FLOAT", "HALF", "INT8", "--batches", "5", "1"]) == 0
    found = points(tmp_path)
    assert [(point["series"], point["batch_size"]) for point in found] == [
        *(("FLOAT", 1), ("FLOAT", 5), ("HALF", 1), ("HALF", 5), ("INT8", 1), ("INT8", 5)),
    ]
    for point in found:
        assert point["status"] == "ok"
        assert point["images"] == 2 * point["batch_size"]
        assert len(point["times"]) == 2
        assert point["parts"]["wall"] > 0
        assert point["backend"] == "onnxruntime"
        timing = point["timing"]
        assert 0 < timing["low"] <= timing["median"] <= timing["high"]
        assert len(timing["rounds"]) == 2
        assert timing["steady"] is not bool(timing["unsteady"])
        assert "limit" not in point  # a CPU's data sheet is not known
    assert "batch" in found[5]["calibration"]
    rows = list(csv.DictReader((tmp_path / "out.csv").open(encoding="utf-8")))
    assert [float(row["Rounds Median"]) for row in rows] == pytest.approx(
        [point["timing"]["median"] for point in found], abs=1e-9
    )
    assert {row["Steady"].partition(":")[0] for row in rows} <= {"yes", "no"}
    assert [(row["Data type"], row["Batch size"]) for row in rows] == [
        (point["series"], str(point["batch_size"])) for point in found
    ]
    printed = capsys.readouterr().out
    assert "throughput, images/sec" in printed
    assert "Final Stats" not in printed
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["kind"] == "sweep"
    assert [(pair["first"], pair["second"]) for pair in content["crossings"]] == [
        *(("FLOAT", "HALF"), ("FLOAT", "INT8"), ("HALF", "INT8")),
    ]
    for pair in content["crossings"]:
        assert pair["text"] in printed
    for point in found:
        for reason in point["timing"]["unsteady"]:
            assert f"not steady: {point['series']} batch {point['batch_size']}: " in printed
            assert reason in printed


def test_engines_of_every_series_can_be_fed_pixels(options: list[str], tmp_path: Path) -> None:
    correct = []
    for more in ([], ["--uint8Input"]):
        assert main([*options, *more, "--series", "FLOAT", "HALF", "INT8", "--batches", "5"]) == 0
        found = points(tmp_path)
        assert {point["input"] for point in found} == {"uint8" if more else "float32"}
        correct.append([(point["series"], point["correct_top1"], point["correct_top5"]) for point in found])
    assert correct[0] == correct[1]


@pytest.mark.pycaffe
def test_pycaffe_is_one_of_the_series(options: list[str], tmp_path: Path, caffe_root) -> None:
    arguments = [*options, "-c", str(caffe_root.path), "--series", "PyCaffe", "FLOAT", "--batches", "1", "4"]
    assert main(arguments) == 0
    found = points(tmp_path)
    assert [point["series"] for point in found] == ["PyCaffe", "PyCaffe", "FLOAT", "FLOAT"]
    by_series = {(point["series"], point["batch_size"]): point["correct_top1"] for point in found}
    assert by_series["PyCaffe", 4] == by_series["FLOAT", 4]


def test_a_series_that_cannot_run_says_why_and_the_others_run(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*options, "--series", "PyCaffe", "FLOAT", "--batches", "1", "2", "-c", str(tmp_path / "no-caffe")]
    assert main(arguments) in (0, 1)
    found = points(tmp_path)
    assert [point["status"] == "ok" for point in found] == [False, False, True, True]
    assert all(point["reason"] for point in found[:2])
    assert "no-caffe" in capsys.readouterr().err


def test_the_share_of_the_cards_limit_is_that_of_the_execution() -> None:
    parts = {"host_to_device": 0.001, "compute": 0.004, "device_to_host": 0.001, "wall": 0.006, "enqueue": 0.0}
    measured = Round(parts, (0.006, 0.006), 9, WarmUp(9, 0.2, True))
    point = SweepPoint("HALF", 8, timing=Timing((measured,)), limit={"seconds": 0.001})
    assert point.share == 0.25
    assert point.as_dict()["limit"] == {"seconds": 0.001, "share": 0.25}


def test_images_are_repeated_where_the_iterations_need_more(options: list[str], tmp_path: Path) -> None:
    assert main([*options, "--series", "FLOAT", "--batches", "5", "6"]) == 0
    assert [point["images_repeated"] for point in points(tmp_path)] == [False, True]


def test_nothing_to_run_is_exit_code_2(options: list[str], tmp_path: Path) -> None:
    from inferkit.backends.tensorrt import BACKEND

    if BACKEND.availability().ok:
        pytest.skip("TensorRT runs here")
    assert main([*options, "--backend", "tensorrt", "--series", "FLOAT", "--batches", "1"]) == 2
    assert points(tmp_path)[0]["status"] == "unsupported"


def test_int8_without_calibration_files_fails_by_name(options: list[str], tmp_path: Path) -> None:
    at = options.index("--calBatchDir")
    arguments = options[:at] + options[at + 2 :]
    assert main([*arguments, "--series", "INT8", "FLOAT", "--batches", "1"]) == 2
    found = points(tmp_path)
    assert found[0]["status"] == "failed"
    assert "--calBatchDir" in found[0]["reason"]
    assert found[1]["status"] == "ok"


def test_calibration_files_of_other_preprocessing_are_told(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*options, "--series", "INT8", "--batches", "1", "2"]
    assert main(arguments) == 0
    assert "preprocessed" not in capsys.readouterr().err
    images = np.random.default_rng(4).random((10, 1, 28, 28)).astype(np.float32)  # as if divided by 255
    write_batches(tmp_path / "batches", [(images, None)])
    assert main(arguments) == 0
    told = capsys.readouterr().err
    assert told.count("they were preprocessed differently") == 1  # for the series, not for every batch size
    assert "int8 was calibrated up to 1:" in told or "int8 was calibrated up to 0.99" in told
    assert "the largest value of the images is 2" in told  # raw pixels, of up to 255


def test_a_csv_file_of_something_else_is_refused_at_once(options: list[str], tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("a,b\n1,2\n")
    assert main([*options, "--series", "FLOAT", "--batches", "1"]) == 2
    assert not (tmp_path / "out.json").exists()


def test_json_alone_is_all_that_stdout_has(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*options[:-1], "--series", "FLOAT", "--batches", "5"]) == 0
    printed = capsys.readouterr()
    assert [point["batch_size"] for point in json.loads(printed.out)["points"]] == [5]
    assert "images/sec" in printed.err
