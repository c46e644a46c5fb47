"""The `transform_param` of a Caffe data layer as a Preprocessing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from inferkit.data.pixels.mean import read_mean
from inferkit.data.pixels.preprocessing import Preprocessing
from inferkit.errors import DataError
from inferkit.files import inside

if TYPE_CHECKING:
    from inferkit.network.caffe.files.schema import TransformationParameter


def preprocessing_of(param: TransformationParameter, folder: str | os.PathLike[str]) -> Preprocessing:
    """What a data layer with this `transform_param` does in TEST phase; `mean_file` is below `folder`.

    Caffe looks for a mean file in the folder that it is started in; a file outside of `folder` is not opened. DataError
    for `mirror` (Caffe mirrors at random in TEST phase too), for what excludes each other, and for a bad mean file.
    """
    if param.mirror:
        raise DataError("transform_param: mirror flips images at random, in the TEST phase too; remove it")
    if param.force_color and param.force_gray:
        raise DataError("transform_param: force_color and force_gray exclude each other; give one of them")
    if param.mean_file and len(param.mean_value):
        raise DataError("transform_param: mean_file and mean_value exclude each other; give one of them")
    return Preprocessing(
        crop=param.crop_size or None,
        mean=read_mean(_inside(param.mean_file, Path(folder))) if param.mean_file else None,
        mean_values=tuple(param.mean_value),
        scale=param.scale,
        color=True if param.force_color else False if param.force_gray else None,
    )


def _inside(name: str, folder: Path) -> Path:
    try:
        path = inside(folder, name)
    except ValueError as error:
        raise DataError(f"transform_param: mean_file {name!r} is not a valid file name") from error
    if path is None:
        raise DataError(f"transform_param: mean_file {name!r} is outside of {folder}")
    return path
