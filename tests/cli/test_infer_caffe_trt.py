"""infer_caffe_trt: the study's options, what they mean, what is counted and timed, and how it fails.

What does not depend on TensorRT itself runs here with ONNX Runtime as the tool's backend; the tests marked `gpu` run
the tool as it is.
"""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from inferkit.backends.tensorrt import BACKEND
from inferkit.cli import infer_caffe_trt as tool
from inferkit.cli.study_engine import load_network, parse_image_shape, with_output
from inferkit.data.lmdb.write import write_lmdb
from inferkit.errors import UsageError
from inferkit.network import zoo
from inferkit.precision.calibration.batches import write_batches

STUDY = (
    "usage: infer_caffe_trt [-h] -m MODEL -w WEIGHTS -l LMDB [-b BATCH] [-i ITERATIONS] [-c CAFFEROOT] "
    "[--imageShape IMAGESHAPE] [--max_batch MAX_BATCH] [--outputLayer OUTPUTLAYER] [--outputSize OUTPUTSIZE] "
    "[--dtype {FLOAT,HALF,INT8,TF32,BF16,FP8}] [--labels LABELS] [--meanImage MEANIMAGE] [--csvFile CSVFILE] "
    "[--calBatchDir CALBATCHDIR] [--firstCalBatch FIRSTCALBATCH] [--numCalBatches NUMCALBATCHES] [--debug] [--quiet] "
    "[--uint8Input]"
)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Twelve grey images and, as labels, the classes that LeNet gives them on the CPU."""
    return np.random.default_rng(6).integers(0, 256, (12, 1, 28, 28)).astype(np.uint8)


@pytest.fixture(scope="module")
def labels(images: np.ndarray) -> list[int]:
    import onnxruntime

    import inferkit

    network = inferkit.load("lenet")
    session = onnxruntime.InferenceSession(network.model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["prob"], {"data": images.astype(np.float32)})[0].argmax(1).tolist()


@pytest.fixture
def options(tmp_path: Path, images: np.ndarray, labels: list[int]) -> list[str]:
    source = zoo.files("lenet")
    wrong = [(label + (5 if row == 3 else 0)) % 10 for row, label in enumerate(labels)]  # the fourth label is wrong
    write_lmdb(tmp_path / "lmdb", list(images), wrong)
    return ["-m", str(source.prototxt), "-w", str(source.caffemodel), "-l", str(tmp_path / "lmdb")]


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "BACKEND", "onnxruntime")


def test_the_usage_is_the_studys(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit) as ended:
        tool.main(["-h"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.splitlines()[0] == STUDY


@pytest.mark.usefixtures("on_cpu")
@pytest.mark.parametrize("dtype", ["FLOAT", "HALF"])
def test_data_types_count_the_same(options: list[str], dtype: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main([*options, "-b", "4", "-i", "3", "--dtype", dtype, "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Final Stats (times in seconds)\n")
    assert f"Data type: {dtype}\n" in printed
    assert "Total predictions: 12\nCorrect top 1 predictions: 11\n" in printed


@pytest.mark.usefixtures("on_cpu")
@pytest.mark.parametrize("dtype", ["FLOAT", "INT8"])
def test_pixels_that_the_engine_normalizes_count_the_same(
    options: list[str], images: np.ndarray, tmp_path: Path, dtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mean = np.random.default_rng(1).uniform(0, 9, (1, 28, 28)).astype(np.float32)
    np.save(tmp_path / "mean.npy", mean)
    write_batches(tmp_path / "batches", [(images - mean, None)])
    run = [*options, "-b", "4", "-i", "3", "--dtype", dtype, "--meanImage", str(tmp_path / "mean.npy"), "--debug"]
    run += ["--calBatchDir", str(tmp_path / "batches")]
    printed = []
    for more in ([], ["--uint8Input"]):
        assert tool.main([*run, *more]) == 0
        printed.append(capsys.readouterr())
    floats, pixels = ([line for line in each.out.splitlines() if "label" in line] for each in printed)
    assert len(floats) == 12
    assert pixels == floats
    assert "data [None, 1, 28, 28] float32" in printed[0].out
    assert "data [None, 1, 28, 28] uint8" in printed[1].out
    assert not any("preprocessed differently" in each.err for each in printed)


@pytest.mark.usefixtures("on_cpu")
def test_int8_is_calibrated_from_batch_files(
    options: list[str], images: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batches = ((images[start : start + 4].astype(np.float32), None) for start in range(0, 12, 4))
    write_batches(tmp_path / "batches", batches)
    calibration = ["--calBatchDir", str(tmp_path / "batches"), "--firstCalBatch", "1", "--numCalBatches", "2"]
    assert tool.main([*options, "-b", "4", "-i", "3", "--dtype", "INT8", "--debug", *calibration]) == 0
    printed = capsys.readouterr().out
    assert "8 images" in printed  # of batch1 and batch2 only
    correct = re.search(r"Correct top 1 predictions: (\d+)", printed)
    assert correct is not None
    assert int(correct[1]) >= 9


@pytest.mark.parametrize("dtype", ["INT8", "FP8"])
def test_calibrated_types_need_calibration_files(
    options: list[str], dtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool.main([*options, "--dtype", dtype]) == 2
    errors = capsys.readouterr().err
    assert "--calBatchDir" in errors
    assert "--write-batches" in errors


@pytest.mark.usefixtures("on_cpu")
def test_missing_batch_files_are_an_error(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool.main([*options, "--dtype", "INT8", "--calBatchDir", str(tmp_path / "nothing")]) == 2
    assert "nothing" in capsys.readouterr().err


@pytest.mark.usefixtures("on_cpu")
def test_the_csv_row_is_that_of_the_first_tool(options: list[str], tmp_path: Path) -> None:
    target = tmp_path / "runs.csv"
    for batch in ("1", "6"):
        assert tool.main([*options, "-b", batch, "-i", "2", "--quiet", "--csvFile", str(target)]) == 0
    rows = list(csv.DictReader(target.open(encoding="utf-8")))
    assert [(row["Batch size"], row["Iterations"], row["Data type"]) for row in rows] == [
        ("1", "2", "FLOAT"),
        ("6", "2", "FLOAT"),
    ]
    assert float(rows[1]["Inference time Total"]) < float(rows[1]["Total run time"])


@pytest.mark.usefixtures("on_cpu")
def test_debug_tells_what_runs(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main([*options, "-b", "2", "-i", "1", "--debug", "-c", "/opt/caffe"]) == 0
    printed = capsys.readouterr().out
    for words in ("predictions: prob", "/opt/caffe: not needed", "Images: 12", "Median seconds: copy in"):
        assert words in printed


@pytest.mark.usefixtures("on_cpu")
def test_an_inner_blob_can_be_the_output(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    network = load_network(Path(options[1]), Path(options[3]))
    inner = next(node.input[0] for node in network.model.graph.node if "prob" in node.output)
    assert tool.main([*options, "-b", "4", "-i", "3", "--outputLayer", inner, "--outputSize", "10", "--quiet"]) == 0
    assert "Correct top 1 predictions: 11\n" in capsys.readouterr().out  # softmax keeps the order
    assert tool.main([*options, "--outputLayer", "nowhere"]) == 2
    assert "no blob nowhere" in capsys.readouterr().err


@pytest.mark.usefixtures("on_cpu")
@pytest.mark.parametrize(
    "extra, message",
    [
        (["--outputSize", "1000"], "--outputSize 1000, but blob prob has 10"),
        (["-b", "8", "--max_batch", "4"], "8 images does not fit --max_batch 4"),
        (["--imageShape", "many"], "must be height,width"),
        (["--imageShape", "3,28,28"], "conv1"),
        (["--firstCalBatch", "-1", "--calBatchDir", "x"], "numbered from 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: list[str], extra: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool.main([*options, *extra]) in (1, 2)
    assert message in capsys.readouterr().err


def test_image_shapes_are_written_in_many_ways() -> None:
    assert parse_image_shape("224,224") == parse_image_shape("224x224") == parse_image_shape("(224, 224)") == (224, 224)
    assert parse_image_shape("224") == (224, 224)
    assert parse_image_shape("3,224,227") == (3, 224, 227)
    for text in ("", "0,4", "1,2,3,4", "-3", "a"):
        with pytest.raises(UsageError):
            parse_image_shape(text)


def test_the_image_shape_replaces_the_prototxts(tmp_path: Path) -> None:
    prototxt = tmp_path / "deploy.prototxt"
    prototxt.write_text(
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }\n'
        'layer { name: "m" type: "Pooling" bottom: "data" top: "m" pooling_param { pool: AVE global_pooling: true } }\n'
        'layer { name: "prob" type: "Softmax" bottom: "m" top: "prob" }\n'
    )
    empty = tmp_path / "empty.caffemodel"
    empty.write_bytes(b"\xa2\x06\x03\x0a\x01m")  # a layer without blobs
    assert load_network(prototxt, empty).inputs[0].shape == (None, 3, 8, 8)
    assert load_network(prototxt, empty, (10, 12)).inputs[0].shape == (None, 3, 10, 12)


def test_choosing_an_output_leaves_the_network_as_it_was() -> None:
    import inferkit

    network = inferkit.load("lenet")
    before = network.model.SerializeToString(deterministic=True)
    inner = network.model.graph.node[0].output[0]
    assert [info.name for info in with_output(network, inner).outputs] == [inner]
    assert network.model.SerializeToString(deterministic=True) == before
    assert with_output(network, "prob") is network


def test_without_a_gpu_it_says_so_before_anything_slow(
    options: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    if BACKEND.availability().ok:
        pytest.skip("TensorRT runs here")
    shutil.rmtree(tmp_path / "lmdb")  # not even opened
    assert tool.main(options) == 2
    assert capsys.readouterr().err.startswith("infer_caffe_trt: ")


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["FLOAT", "HALF"])
def test_on_a_gpu_it_counts_what_the_cpu_counts(
    options: list[str], dtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    available = BACKEND.availability()
    if not available.ok:
        pytest.skip(available.reason)
    assert tool.main([*options, "-b", "4", "-i", "3", "--dtype", dtype, "--debug"]) == 0
    printed = capsys.readouterr().out
    assert "Correct top 1 predictions: 11\n" in printed
    assert "launched by graph" in printed
