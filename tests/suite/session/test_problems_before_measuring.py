"""What the matrix names is checked before the first measurement: all that is wrong in one list, exit code 2."""

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from inferkit.suite.checkup import suite
from tests.suite.tiny_project import MATRIX, store_baseline

WRONG = (
    MATRIX
    + """
[[networks]]
name = "typo"
model = "tinny.onnx"
dataset = "images.npz"
[[networks]]
name = "text"
model = "notes.onnx"
[[networks]]
name = "caffe"
model = "deploy.prototxt"
weights = "net.caffemodel"
dataset = "photos.txt"
[[networks]]
name = "other_caffe"
model = "deploy.prototxt"
weights = "net.caffemodel"
[[networks]]
name = "named"
model = "resnet5O"
dataset = "val_lmbd"
preprocessing = { mean = "mean.npy" }
"""
)
PROTOTXT = """\
input: "data" input_shape { dim: 1 dim: 1 dim: 8 dim: 8 }
layer { name: "flat" type: "Flatten" bottom: "data" top: "flat" }
"""


@pytest.fixture
def mistaken(project):
    """A project with a file of each kind that is missing, or is another than it should be."""
    bench = project.folder / "bench"
    project.matrix(WRONG)
    (bench / "notes.onnx").write_text("a page of notes, renamed\n")
    (bench / "deploy.prototxt").write_text(PROTOTXT)
    (bench / "net.caffemodel").write_text(PROTOTXT)  # swapped
    (bench / "photos.txt").write_text("missing.png 0\n")
    return project


def test_everything_that_is_wrong_is_in_one_list_before_anything_is_measured(mistaken):
    run = mistaken.run("--benchmark-json=run.json")
    assert run.code == 2
    assert not (mistaken.folder / "run.json").exists()
    assert "replicate" not in run.text
    assert "preparing" not in run.text
    assert run.text.count("ERROR collecting") == 1
    assert "7 problems; nothing was measured" in run.text
    lines = [line for line in run.text.splitlines() if "matrix.toml:" in line]
    assert [line.partition("[networks] ")[2].partition(":")[0] for line in lines] == [
        *("'typo'", "'text'", "'caffe', 'other_caffe'", "'caffe'", "'named'", "'named'", "'named'"),
    ]
    for words in (
        "tinny.onnx does not exist; did you mean 'tiny.onnx'?",
        "notes.onnx is damaged, truncated or not an ONNX model",
        "net.caffemodel is truncated, damaged or not a caffemodel",
        "photos.txt: entry 'missing.png': the file cannot be read: No such file or directory",
        "'resnet5O' is neither a file nor a network of the zoo; did you mean 'resnet50'",
        "val_lmbd: no such file or folder",
        "mean.npy",
    ):
        assert sum(words in line for line in lines) == 1, words
    (error,) = (case.find("error") for case in run.tests.values())
    assert "nothing was measured" in (error.get("message") or "") + (error.text or "")


@pytest.mark.parametrize("chosen", [["--model=tiny"], ["-k", "tiny-fp32-b1"]])
def test_only_what_is_selected_is_checked(mistaken, chosen):
    run = mistaken.run("--replicates=1", "--min-time=0.001", *chosen)
    assert run.code == 0, run.text
    assert "1 passed" in run.text or "no baseline" in run.text


def test_collecting_alone_checks_nothing(mistaken):
    assert mistaken.run("--collect-only").code == 0


def test_under_xdist_the_list_is_shown_once_and_no_test_runs(mistaken):
    run = mistaken.run("-n", "2")
    assert run.code == 2
    assert run.text.count("tinny.onnx does not exist") == 1
    assert "INVALID" not in run.text


def test_a_matrix_with_mistakes_is_told_once_with_the_files_that_are_missing(project):
    project.matrix(MATRIX + '[[networks]]\nname = "b"\nmodel = "b.onnx"\nprecisions = ["fp23"]\nbackends = ["ort"]\n')
    run = project.run()
    assert run.code == 2
    for words in ("'fp23' is not supported; did you mean 'fp32'?", "'ort' is not supported", "b.onnx does not exist"):
        assert run.text.count(words) == 1, run.text


def test_images_that_the_preprocessing_does_not_fit_are_told(project):
    (project.folder / "bench" / "photos" / "a").mkdir(parents=True)
    cv2.imwrite(str(project.folder / "bench" / "photos" / "a" / "1.png"), np.zeros((6, 6), np.uint8))
    text = MATRIX.replace("images.npz", "photos").replace("{ scale = 0.01 }", "{ crop = 8 }")
    project.matrix(text)
    run = project.run()
    assert run.code == 2
    assert "6 × 6 pixels (height × width), fewer than the crop 8 × 8" in run.text


def test_a_dataset_without_labels_is_refused_where_an_accuracy_is_measured(project):
    np.savez(project.folder / "bench" / "images.npz", images=np.zeros((4, 1, 8, 8), np.uint8))
    assert "images.npz: has images without a label; set `accuracy = false`" in project.run().text
    only_latency = project.run("--replicates=1", "--min-time=0.001", "bench/test_latency.py", "-k", "latency")
    assert only_latency.code == 0, only_latency.text


def test_a_damaged_baseline_is_told_before_anything_is_measured_and_is_not_touched(project):
    path = store_baseline(project.folder / "baselines", {"tiny-fp32-b1-onnxruntime": [0.0]})
    path.write_text(path.read_text()[:-20])
    content = path.read_bytes()
    run = project.run("--replicates=1")
    assert run.code == 2
    assert path.name in run.text
    assert "restore it from the last commit" in run.text
    assert "replicate" not in run.text
    assert path.read_bytes() == content


def test_a_folder_of_baselines_that_is_none_is_told(project):
    run = project.run("--baseline-dir=bench/matrix.toml")
    assert run.code == 2
    assert "matrix.toml: is not a folder of baselines" in run.text
    absent = project.run("--baseline-dir=basline", "--replicates=1", "--min-time=0.001", "--batch-size=1")
    assert absent.code == 0
    assert "--baseline-dir basline: there is no such folder" in absent.text


def open_model(path, dims):
    """A network that takes images of any size and gives them back."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name in ("data", "same")]
    graph = helper.make_graph([helper.make_node("Relu", ["data"], ["same"])], "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def test_sizes_and_datasets_that_do_not_fit_are_in_the_same_list_and_in_doctors(project, monkeypatch, capsys):
    bench = project.folder / "bench"
    open_model(bench / "open.onnx", ["N", 1, "H", "W"])
    text = MATRIX
    for name, rest in (
        ("unsized", ""),
        ("misnamed", "shape = { H = 8, Width = 8 }"),
        ("larger", 'shape = { H = 16, W = 8 }\ndataset = "images.npz"\naccuracy = false'),
        ("axis", "batch_axis = { data = 1 }"),
    ):
        text += f'[[networks]]\nname = "{name}"\nmodel = "open.onnx"\n{rest}\n'
    text += '[[networks]]\nname = "lenet"\ndataset = "images.npz"\naccuracy = false\n'
    project.matrix(text)
    run = project.run()
    assert run.code == 2
    assert "5 problems; nothing was measured" in run.text
    problems = (
        "'unsized': input 'data' is [N, 1, H, W], and nothing states H and W; state the sizes",
        "'misnamed': {folder}/open.onnx has no open dimension 'Width': its inputs data have N, H, W",
        "'larger': {folder}/images.npz: an image is 1 × 8 × 8 after preprocessing, but input 'data' takes 1 × 16 × 8",
        "'axis': {folder}/open.onnx: 'data' is [N, 1, H, W], so its axis 1 cannot be the batch",
        "'lenet': {folder}/images.npz: an image is 1 × 8 × 8 after preprocessing, but input 'data' takes 1 × 28 × 28",
    )
    for problem in problems:
        assert run.text.count(problem.format(folder=bench.resolve())) == 1, problem
    monkeypatch.chdir(bench)
    findings = list(suite())
    assert sum(finding.name == "suite files" for finding in findings) == 5
    assert "matrix.toml: 2 of 7 latency cases can run here, 5 wait for their files" in [f.text for f in findings]
