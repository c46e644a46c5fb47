"""A data layer's transform_param becomes the preprocessing that it means, or an error that says why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inferkit.data import Preprocessing, preprocessing_of, read_mean
from inferkit.errors import DataError
from inferkit.network.caffe.files.schema import TransformationParameter

FIXTURES = Path(__file__).parents[1] / "fixtures"


def test_every_field() -> None:
    param = TransformationParameter(crop_size=21, mean_value=[104, 117.25], scale=0.5, force_gray=True)
    expected = Preprocessing(crop=21, mean_values=(104, 117.25), scale=0.5, color=False)
    assert preprocessing_of(param, FIXTURES) == expected
    assert preprocessing_of(TransformationParameter(force_color=True), FIXTURES) == Preprocessing(color=True)
    assert preprocessing_of(TransformationParameter(), FIXTURES) == Preprocessing()


def test_a_mean_file_is_found_below_the_folder() -> None:
    param = TransformationParameter(mean_file=f"{FIXTURES.name}/raw_mean.binaryproto")
    actual = preprocessing_of(param, FIXTURES.parent).mean
    assert actual is not None
    np.testing.assert_array_equal(actual, read_mean(FIXTURES / "raw_mean.binaryproto"))


@pytest.mark.parametrize(
    ("param", "message"),
    [
        (TransformationParameter(mirror=True), "mirror"),
        (TransformationParameter(force_color=True, force_gray=True), "exclude"),
        (TransformationParameter(mean_file="raw_mean.binaryproto", mean_value=[1]), "exclude"),
        (TransformationParameter(mean_file="../test_mean.py"), "outside of"),
        (TransformationParameter(mean_file="/etc/passwd"), "outside of"),
        (TransformationParameter(mean_file="none"), "does not exist"),
        (TransformationParameter(mean_file="a\0b"), "not a valid file name"),
        (TransformationParameter(mean_file="raw.mdb"), "raw.mdb"),
    ],
)
def test_parameters_without_a_counterpart_are_refused(param: TransformationParameter, message: str) -> None:
    with pytest.raises(DataError, match=message):
        preprocessing_of(param, FIXTURES)
