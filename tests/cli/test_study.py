"""What the study's two tools share: what is counted, and the images' shape before anything runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import inferkit
from inferkit.cli.study import StudyBatch, Tally
from inferkit.cli.study_engine import image_preprocessing
from inferkit.data import open_dataset
from inferkit.data.lmdb.write import write_lmdb

TRAIN = """
name: "forced"
layer {{ name: "data" type: "Data" top: "data" top: "label" data_param {{ source: "x" batch_size: 2 backend: LMDB }}
         transform_param {{ crop_size: 6 {force}: true }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
         inner_product_param {{ num_output: 3 weight_filler {{ type: "constant" value: 0.1 }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
"""


def counted(labels: list[int], scores: np.ndarray) -> Tally:
    tally = Tally("infer_caffe", len(labels), "FLOAT", quiet=True)
    keys = tuple(map(str, labels))
    tally.add(StudyBatch(np.zeros((len(labels), 1, 1, 1), np.float32), np.array(labels), keys), scores, 0.1)
    return tally


def test_labels_without_a_class_are_wrong_however_few_classes_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    tally = counted([2, 0, 7, 8, -1], np.array([[0.1, 0.2, 0.7]] * 5, np.float32))
    assert tally.correct == [1, 2]
    assert tally.unknown_labels == 3
    tally.finish()
    assert "3 images have a label for which the network has no class; counted as wrong" in capsys.readouterr().err


def test_scores_that_are_not_numbers_are_wrong_however_few_classes_there_are() -> None:
    tally = counted([0, 1], np.full((2, 3), np.nan, np.float32))
    assert tally.correct == [0, 0]
    assert tally.not_finite == 2


@pytest.mark.parametrize(("force", "stored", "channels"), [("force_color", 1, 3), ("force_gray", 3, 1)])
def test_images_are_decoded_with_the_channels_that_a_training_prototxt_forces(
    tmp_path: Path, force: str, stored: int, channels: int
) -> None:
    model = tmp_path / "train.prototxt"
    model.write_text(TRAIN.format(force=force), encoding="utf-8")
    write_lmdb(tmp_path / "lmdb", [np.full((stored, 8, 8), 9, np.uint8)], [0], encoded="png")
    with open_dataset(tmp_path / "lmdb") as dataset:
        preprocessing = image_preprocessing(model, None, inferkit.load(model), dataset, "lmdb")
        assert next(dataset.batches(1, preprocessing=preprocessing)).images.shape == (1, channels, 6, 6)
