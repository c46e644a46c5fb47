"""`uint8_input` in the matrix: where mean and scale come from, and what is refused with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inferkit.errors import UsageError
from inferkit.suite.matrix.definition import Matrix, NetworkDefinition
from inferkit.suite.matrix.files import file_problems
from inferkit.suite.matrix.read import load_matrix
from tests.suite.tiny_project import write_files

TINY = '[[networks]]\nname = "tiny"\nmodel = "tiny.onnx"\n'
STEPS = "preprocessing = { crop = 8, mean_values = [3.0], scale = 0.01 }\n"


def load(folder: Path, text: str) -> Matrix:
    path = folder / "matrix.toml"
    path.write_text(text, encoding="utf-8")
    return load_matrix(path)


def network(folder: Path, text: str) -> NetworkDefinition:
    return load(folder, text).networks[0]


def test_without_the_entry_images_are_normalized_before_they_are_fed(tmp_path: Path) -> None:
    for text in (TINY + STEPS, TINY + STEPS + "uint8_input = false\n"):
        tiny = network(tmp_path, text)
        assert not tiny.uint8_input
        assert tiny.image_preprocessing == tiny.preprocessing == {"crop": 8, "mean_values": [3.0], "scale": 0.01}


def test_true_takes_mean_and_scale_of_the_preprocessing(tmp_path: Path) -> None:
    tiny = network(tmp_path, TINY + STEPS + "uint8_input = true\n")
    assert tiny.uint8_input
    assert tiny.preprocessing == {"crop": 8, "mean_values": [3.0], "scale": 0.01}
    assert tiny.image_preprocessing == {"crop": 8}


def test_true_takes_those_of_a_trained_network_s_card(tmp_path: Path) -> None:
    lenet = network(tmp_path, '[[networks]]\nname = "lenet"\ndataset = "fashion_mnist"\nuint8_input = true\n')
    assert lenet.preprocessing == {"scale": 0.00390625}
    assert lenet.image_preprocessing == {}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{ mean = [1.5, 2, 3], scale = 0.5 }", {"crop": 8, "mean_values": [1.5, 2, 3], "scale": 0.5}),
        ("{ mean = 33.5 }", {"crop": 8, "mean_values": [33.5]}),
        ("{ scale = 2 }", {"crop": 8, "scale": 2}),
        ("{}", {"crop": 8}),
    ],
)
def test_a_table_states_them_in_place_of_the_preprocessing_s(tmp_path: Path, entry: str, expected: dict) -> None:
    tiny = network(tmp_path, f"{TINY}{STEPS}uint8_input = {entry}\n")
    assert tiny.uint8_input
    assert tiny.preprocessing == expected
    assert tiny.image_preprocessing == {"crop": 8}


def test_a_mean_image_is_a_file_beside_the_matrix(tmp_path: Path) -> None:
    tiny = network(tmp_path, TINY + 'uint8_input = { mean = "mean.npy" }\n')
    assert tiny.preprocessing == {"mean": str(tmp_path / "mean.npy")}


def test_defaults_are_for_every_network_and_case_ids_stay(tmp_path: Path) -> None:
    services = '[[services]]\nnetwork = "tiny"\nscenarios = ["offline"]\n'
    plain = load(tmp_path, TINY + 'dataset = "images.npz"\n' + services)
    other = '[[networks]]\nname = "other"\nmodel = "tiny.onnx"\nuint8_input = false\n'
    matrix = load(
        tmp_path, "[defaults]\nuint8_input = { scale = 0.5 }\n" + TINY + 'dataset = "images.npz"\n' + other + services
    )
    assert [each.uint8_input for each in matrix.networks] == [True, False]
    assert {case.id for case in plain.all_cases()} <= {case.id for case in matrix.all_cases()}
    (service,) = matrix.service_cases()
    assert matrix.all_cases()[service].uint8_input


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("1", "must be true, false, or a table of mean and scale, not 1"),
        ("{ means = 1 }", "takes mean and scale, not means"),
        ('{ scale = "big" }', "is no mean and scale"),
        ("{ mean = [inf] }", "is no mean and scale: the mean contains numbers that are not finite"),
    ],
)
def test_what_is_no_entry_is_told_with_its_line(tmp_path: Path, entry: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        load(tmp_path, f"{TINY}uint8_input = {entry}\n")
    assert f"matrix.toml:4: [networks] uint8_input: {message}" in str(raised.value)


def test_images_that_are_no_pixels_are_told_before_anything_is_measured(tmp_path: Path) -> None:
    write_files(tmp_path)
    with_dataset = TINY + 'dataset = "images.npz"\nuint8_input = true\n'
    assert file_problems(load(tmp_path, with_dataset).networks) == []
    smooth = 'preprocessing = { resize = [8, 8], interpolation = "caffe.io" }\n'
    np.savez(tmp_path / "images.npz", images=np.zeros((2, 1, 9, 9), np.uint8), labels=np.zeros(2, np.int64))
    (problem,) = file_problems(load(tmp_path, with_dataset + smooth).networks)
    assert "uint8 cannot hold" in problem


def test_a_network_that_is_fed_no_images_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    import onnx

    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        two (float[N, 3] a, int64[N, 3] b) => (float[N, 3] out) { c = Cast <to = 1> (b) out = Add (a, c) }"""
    )
    onnx.save(model, str(tmp_path / "tiny.onnx"))
    (problem,) = file_problems(load(tmp_path, TINY + "uint8_input = true\n").networks)
    assert "uint8_input needs a network with one input of float32" in problem
