"""Preprocessing of images as Caffe does it in the TEST phase: resize, crop, mean, scale."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from inferkit.data.pixels.image_transform import ImageTransform
from inferkit.errors import DataError, UsageError

LAYOUTS = ("HWC", "CHW")
INTERPOLATIONS = ("opencv", "caffe.io")


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """Resize, reorder channels, crop the centre, subtract the mean, scale: in this order, each left out by default.

    That is DataTransformer (`transform_param`) with its numbers, bit for bit: the crop begins at (size - crop) // 2;
    the mean image has the size of the uncropped image, and the crop's window of it is subtracted; out = (pixel - mean)
    * scale in float32. Two things it has no words for come before the crop: `resize`, which in Caffe convert_imageset
    or ImageData does, and `channel_order`.

    caffe.io.Transformer differs: it never crops; its resizing smooths and stretches (`interpolation="caffe.io"`); its
    mean has the size of the network's input (here the same thing, where nothing is cropped; `resize.resize_mean` brings
    it there); its images are RGB of 0…1, which `set_raw_scale(255)` and `set_channel_swap((2, 1, 0))` make into what
    images are here from the beginning: BGR (as OpenCV decodes) of 0…255. `set_input_scale` is `scale`.

    Attributes:
        resize: (height, width) to resize to, or the side of a square.
        crop: side of the centre square, or (height, width), to cut out. 0 is no crop, as crop_size is in Caffe.
        mean: mean image [C, H, W] (gray: [H, W]), or mean of each channel [C] (as `mean_values`), in the channel order
            of the output.
        mean_values: one mean for each channel, or one for all.
        scale: factor, after the mean is subtracted.
        channel_order: which channel of the image each channel of the output is: (2, 1, 0) makes RGB of BGR.
        color: how encoded images are decoded: None with the channels they have, True in colour (force_color), False in
            gray (force_gray).
        interpolation: of `resize`: `opencv` (bilinear of four pixels, as Caffe's tools) or `caffe.io`.

    UsageError for invalid values; values that do not fit an image are a DataError when it is preprocessed.
    """

    resize: int | tuple[int, int] | None = None
    crop: int | tuple[int, int] | None = None
    mean: NDArray[Any] | None = None
    mean_values: Sequence[float] = ()
    scale: float = 1.0
    channel_order: tuple[int, ...] | None = None
    color: bool | None = None
    interpolation: str = "opencv"

    def __post_init__(self) -> None:
        try:
            self._check()
        except (TypeError, ValueError, OverflowError) as error:  # of other types than are declared: a list, a text
            raise UsageError(f"a value is of another type than a preprocessing takes: {error}") from error

    def _check(self) -> None:
        if self.crop is not None:
            crop = _pair("crop", self.crop)
            _set(self, crop=None if crop == (0, 0) else _positive("crop", crop))
        if self.resize is not None:
            _set(self, resize=_positive("resize", _pair("resize", self.resize)))
        if self.interpolation not in INTERPOLATIONS:
            raise UsageError(f"interpolation must be one of {', '.join(INTERPOLATIONS)}, not {self.interpolation!r}")
        if self.channel_order is not None:
            order = tuple(int(channel) for channel in self.channel_order)
            if sorted(order) != list(range(len(order))):
                raise UsageError(f"channel_order {order} is not a permutation of the channels 0 to {len(order) - 1}")
            _set(self, channel_order=order)
        if not np.isfinite(self.scale):
            raise UsageError(f"scale {self.scale} is not a finite number")
        self._check_mean()

    def _check_mean(self) -> None:
        values = tuple(float(value) for value in self.mean_values)
        if self.mean is not None:
            if values:
                raise UsageError("mean and mean_values exclude each other, as in Caffe; give one of them")
            mean = np.array(self.mean, np.float32)  # a copy: the caller may change the original
            if mean.ndim == 4 and mean.shape[0] == 1:
                mean = mean[0]
            if mean.ndim == 2:
                mean = mean[np.newaxis]
            if mean.ndim not in (1, 3) or mean.size == 0:
                raise UsageError(f"a mean must have the shape [C, H, W], [H, W] or [C], not {mean.shape}")
            if mean.ndim == 1:
                values = tuple(mean.tolist())
            mean.flags.writeable = False
            _set(self, mean=mean if mean.ndim == 3 else None)
        _set(self, mean_values=values)
        if not np.isfinite(values).all() or (self.mean is not None and not np.isfinite(self.mean).all()):
            raise UsageError("the mean contains numbers that are not finite")

    def __call__(self, image: NDArray[Any], layout: str = "HWC", dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """One image, uint8 or floats, [H, W, C], [H, W] or with `layout="CHW"` [C, H, W], to [C, H, W] of `dtype`.

        DataError where crop, mean or channels do not fit the image; see `for_shape` for `dtype`.
        """
        image = _with_channels(image, layout)
        transform = self.for_shape(image.shape, layout, dtype)
        out = np.empty(transform.output_shape, dtype)
        transform.write(image, out)
        return out

    def apply(
        self,
        images: NDArray[Any] | Sequence[NDArray[Any]],
        out: NDArray[Any] | None = None,
        layout: str = "HWC",
        dtype: DTypeLike = np.float32,
    ) -> NDArray[Any]:
        """Images of one size to a batch [N, C, H, W], written straight into the first N rows of `out` where given.

        Returns those rows. DataError where an image or `out` does not fit.
        """
        if not len(images):
            raise DataError("there are no images to preprocess")
        first = _with_channels(images[0], layout)
        transform = self.for_shape(first.shape, layout, out.dtype if out is not None else dtype)
        if out is None:
            out = np.empty((len(images), *transform.output_shape), dtype)
        if len(out) < len(images) or out.shape[1:] != transform.output_shape:
            raise DataError(
                f"{len(images)} images of shape {transform.output_shape} do not fit an output of {out.shape}"
            )
        for image, row in zip(images, out, strict=False):
            pixels = _with_channels(image, layout)
            if pixels.shape != first.shape:
                raise DataError(f"an image has the shape {pixels.shape}, the first of its batch {first.shape}")
            transform.write(pixels, row)
        return out[: len(images)]

    def output_shape(self, shape: tuple[int, ...], layout: str = "CHW") -> tuple[int, int, int]:
        """The shape [C, H, W] that an image of `shape` gets. DataError where crop, mean or channels do not fit it."""
        return self.for_shape(shape, layout).output_shape

    def for_shape(self, shape: tuple[int, ...], layout: str = "CHW", dtype: DTypeLike = np.float32) -> ImageTransform:
        """This preprocessing, prepared once for all images of one shape.

        `dtype` is float32, or uint8 for the pixels alone: then mean and scale, which need more than 8 bits, must be
        left to the network (`pixels_only`, `normalization`), else DataError.
        """
        kind = np.dtype(dtype)
        if kind not in (np.dtype(np.float32), np.dtype(np.uint8)):
            raise UsageError(f"images can be float32 or uint8, not {kind}")
        if kind == np.uint8 and self.normalizes:
            raise DataError(
                "mean and scale give numbers that uint8 cannot hold; ask for float32, or use pixels_only() and let the "
                "network apply normalization()"
            )
        if layout not in LAYOUTS:
            raise UsageError(f"layout must be one of {', '.join(LAYOUTS)}, not {layout!r}")
        height, width, channels = shape if layout == "HWC" else (shape[1], shape[2], shape[0])
        assert self.resize is None or isinstance(self.resize, tuple)  # made so above
        size = self.resize or (height, width)
        top, left, rows, columns = self._window(size)
        if self.channel_order is not None and len(self.channel_order) != channels:
            raise DataError(
                f"the image has {channels} channels, which channel_order {self.channel_order} does not match"
            )
        return ImageTransform(
            layout=layout,
            resize=None if size == (height, width) else size,
            caffe_io=self.interpolation == "caffe.io",
            window=(slice(top, top + rows), slice(left, left + columns)),
            order=self.channel_order,
            mean=self._mean_window(channels, size, (top, left, rows, columns)),
            scale=None if self.scale == 1 else np.float32(self.scale),
            output_shape=(channels, rows, columns),
        )

    @property
    def normalizes(self) -> bool:
        """Whether a mean is subtracted or a scale applied."""
        return self.mean is not None or bool(self.mean_values) or self.scale != 1

    def pixels_only(self) -> Preprocessing:
        """The same without mean and scale: what may become uint8."""
        return replace(self, mean=None, mean_values=(), scale=1.0)

    def normalization(self, shape: tuple[int, int, int]) -> tuple[NDArray[np.float32], float]:
        """Mean ([C, h, w] of the output's size, or [C, 1, 1]) and scale for images [C, H, W] of `shape`.

        `(pixels_only()(image) - mean) * scale` is what the whole preprocessing gives: for networks that begin with it.
        """
        transform = self.for_shape(shape)
        mean = transform.mean if transform.mean is not None else np.zeros((transform.output_shape[0], 1, 1), np.float32)
        return mean, float(self.scale)

    @property
    def description(self) -> str:
        """One line that is the same for the same preprocessing, and differs for another: for fingerprints and logs."""
        mean = None
        if self.mean is not None:
            mean = f"{'x'.join(map(str, self.mean.shape))}:{hashlib.sha256(self.mean.tobytes()).hexdigest()[:16]}"
        parts = {
            "resize": self.resize,
            "interpolation": self.interpolation if self.resize and self.interpolation != "opencv" else None,
            "channel_order": self.channel_order,
            "color": self.color,
            "crop": self.crop,
            "mean": mean,
            "mean_values": self.mean_values or None,
            "scale": None if self.scale == 1 else self.scale,
        }
        return ", ".join(f"{name}={value}" for name, value in parts.items() if value is not None) or "none"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Preprocessing):
            return NotImplemented
        return self.description == other.description

    def __hash__(self) -> int:
        return hash(self.description)

    def _window(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Top, left, height and width of what is kept of an image of `size`."""
        if self.crop is None:
            return 0, 0, *size
        assert isinstance(self.crop, tuple)
        rows, columns = self.crop
        if rows > size[0] or columns > size[1]:
            raise DataError(
                f"the image has {size[0]} × {size[1]} pixels (height × width), fewer than the crop {rows} × {columns}"
            )
        return (size[0] - rows) // 2, (size[1] - columns) // 2, rows, columns

    def _mean_window(
        self, channels: int, size: tuple[int, int], window: tuple[int, int, int, int]
    ) -> NDArray[np.float32] | None:
        if self.mean is not None:
            if self.mean.shape != (channels, *size):
                raise DataError(
                    f"the image has the shape {(channels, *size)} [C, H, W] before the crop, the mean image "
                    f"{self.mean.shape}; the mean image must have the size of the uncropped image"
                )
            top, left, rows, columns = window
            return np.ascontiguousarray(self.mean[:, top : top + rows, left : left + columns])
        if not self.mean_values:
            return None
        if len(self.mean_values) not in (1, channels):
            raise DataError(f"the image has {channels} channels, but there are {len(self.mean_values)} mean values")
        values = np.asarray(self.mean_values, np.float32)
        return np.ascontiguousarray(np.broadcast_to(values, channels)).reshape(channels, 1, 1)


def _with_channels(image: NDArray[Any], layout: str) -> NDArray[Any]:
    """The image with an axis for channels, also where it is gray and has none."""
    if image.dtype not in (np.uint8, np.float32):
        if image.dtype.kind != "f":
            raise DataError(f"an image must have uint8 or floating-point pixels, not {image.dtype}")
        image = image.astype(np.float32)
    if image.ndim == 2:
        return image[:, :, np.newaxis] if layout == "HWC" else image[np.newaxis]
    if image.ndim != 3:
        raise DataError(f"an image must have two or three axes; this array has the shape {image.shape}")
    return image


def _pair(name: str, value: Any) -> tuple[int, int]:
    """Height and width from both, or from one number."""
    try:
        height, width = (value, value) if np.ndim(value) == 0 else value
        return operator.index(height), operator.index(width)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} {value!r} is not a height and width") from error


def _positive(name: str, size: tuple[int, int]) -> tuple[int, int]:
    if min(size) <= 0:
        raise UsageError(f"{name} {size} is not a height and width: both must be at least 1")
    return size


def _set(preprocessing: Preprocessing, **values: object) -> None:
    """Normalize fields of the frozen object while it is made."""
    for name, value in values.items():
        object.__setattr__(preprocessing, name, value)
