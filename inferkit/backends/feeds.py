"""What a session is fed: one batch checked against the engine's inputs before anything is copied or run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.backends.base import Feeds
from inferkit.errors import BackendError
from inferkit.network.network import TensorInfo


def check_feeds(
    images: Feeds,
    inputs: tuple[TensorInfo, ...],
    max_batch: int,
    min_batch: int = 1,
    is_trusted: Callable[[NDArray[Any]], bool] | None = None,
) -> tuple[dict[str, NDArray[Any]], int]:
    """The arrays by input name, contiguous and of each input's own type, and how many images they hold.

    One array stands for the only input. uint8 images are converted where the input is floating point; nothing else is
    converted. An input whose batch is fixed takes exactly that many. NaN is reported, because an engine
    would turn it into a class silently; arrays that `is_trusted` accepts are not searched for it. Raises BackendError
    naming the input, what it takes and what it got.
    """
    named = _by_name(images, inputs)
    checked = {info.name: _checked(named[info.name], info, is_trusted) for info in inputs}
    batch = _batch_of(checked, inputs)
    if not min_batch <= batch <= max_batch:
        limits = f"exactly {max_batch}" if min_batch == max_batch else f"{min_batch} to {max_batch}"
        hint = "; feed fewer at a time or build for a larger batch" if batch > max_batch else ""
        raise BackendError(f"a batch of {batch} images, but the engine takes {limits}{hint}")
    return checked, batch


def _batch_of(arrays: Mapping[str, NDArray[Any]], inputs: tuple[TensorInfo, ...]) -> int:
    """How many images a feed holds: the length that inputs share along the batch's axis; 1 where none has a batch."""
    first = None
    for info in inputs:
        if info.batch_axis is None:
            continue
        count = arrays[info.name].shape[info.batch_axis]
        if first is None:
            first, batch = info.name, count
        elif count != batch:
            raise BackendError(f"input {info.name!r} holds {count} images, input {first!r} {batch}")
    return 1 if first is None else batch


def _by_name(images: Feeds, inputs: tuple[TensorInfo, ...]) -> Mapping[str, Any]:
    if not isinstance(images, Mapping):
        if len(inputs) != 1:
            names = ", ".join(info.name for info in inputs)
            raise BackendError(f"the network has {len(inputs)} inputs ({names}): feed a dict of arrays by name")
        return {inputs[0].name: images}
    expected = {info.name for info in inputs}
    unknown, absent = sorted(set(images) - expected), sorted(expected - set(images))
    if unknown or absent:
        problems = [f"unknown {', '.join(unknown)}"] if unknown else []
        problems += [f"missing {', '.join(absent)}"] if absent else []
        raise BackendError(f"wrong inputs: {'; '.join(problems)}; the network takes {', '.join(sorted(expected))}")
    return images


def _checked(value: Any, info: TensorInfo, is_trusted: Callable[[NDArray[Any]], bool] | None) -> NDArray[Any]:
    if not isinstance(value, np.ndarray):
        raise BackendError(f"input {info.name!r} takes a numpy array, not {type(value).__name__}")
    fits = value.ndim == len(info.shape) and all(
        want is None or want == have for want, have in zip(info.shape, value.shape, strict=True)
    )
    if not fits:
        if info.batch is not None and value.ndim == len(info.shape) and value.shape[info.batch_axis or 0] != info.batch:
            raise BackendError(
                f"input {info.name!r} takes shape {info.text}, exactly {info.batch} images at a time, got "
                f"{list(value.shape)}"
            )
        raise BackendError(f"input {info.name!r} takes shape {info.text}, got {list(value.shape)}")
    dtype = np.dtype(info.dtype)
    if value.dtype != dtype:
        if not (value.dtype == np.uint8 and np.issubdtype(dtype, np.floating)):
            raise BackendError(
                f"input {info.name!r} takes {info.dtype}, got {value.dtype}; convert it with .astype({info.dtype!r})"
            )
        value = value.astype(dtype)
    if not (is_trusted and is_trusted(value)):
        reject_nan(value, info.name)
    return np.asarray(value, order="C")  # np.ascontiguousarray would make a scalar a vector


def address_of(array: NDArray[Any]) -> int:
    """Where an array's data begins."""
    return int(array.__array_interface__["data"][0])


def reject_nan(array: NDArray[Any], name: str) -> None:
    """BackendError with how many NaN an array of floating point holds, and where the first is; others hold none."""
    if not np.issubdtype(array.dtype, np.floating):
        return
    # A sum is NaN if any element is, and costs a tenth of looking at each; infinities of both signs add up to NaN
    # too, so a suspect is looked at closely.
    with np.errstate(invalid="ignore", over="ignore"):
        if not np.isnan(array.sum(dtype=np.float32)):
            return
    found = np.isnan(array)
    count = int(found.sum())
    if count:
        first = tuple(int(axis[0]) for axis in np.nonzero(found))
        raise BackendError(f"input {name!r} holds {count} NaN values, the first at {list(first)}")
