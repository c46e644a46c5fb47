"""Preprocesses one image of a given shape into its row of a batch, in as few passes over the pixels as possible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.data.pixels.resize import resize_caffe_io, resize_opencv
from inferkit.errors import DataError


@dataclass(frozen=True)
class ImageTransform:
    """Preprocessing prepared for images of one shape; made by `Preprocessing.for_shape`.

    `window` are rows and columns after resizing; `mean` is float32 of the output's size, or [C, 1, 1].
    """

    layout: str
    resize: tuple[int, int] | None
    caffe_io: bool
    window: tuple[slice, slice]
    order: tuple[int, ...] | None
    mean: NDArray[np.float32] | None
    scale: np.float32 | None
    output_shape: tuple[int, int, int]

    def write(self, image: NDArray[Any], out: NDArray[Any]) -> None:
        """Write the image, which has this shape and layout, into `out` [C, H, W], float32 or uint8.

        The crop is a view, so that only the pixels kept are converted, straight into `out`; the mean is subtracted
        there, while the row is still in the processor's cache. DataError for floats into uint8.
        """
        if out.dtype == np.uint8 and (image.dtype != np.uint8 or (self.caffe_io and self.resize is not None)):
            raise DataError(
                f"the image has {image.dtype} pixels, or gets them by resizing, which uint8 cannot hold; "
                "ask for float32"
            )
        if self.resize is not None:
            image = self._resized(image, self.resize)
        rows, columns = self.window
        if self.layout == "CHW":
            pixels = image[:, rows, columns]
            if self.order is None:
                out[...] = pixels
            else:
                for channel, source in enumerate(self.order):
                    out[channel] = pixels[source]
        else:
            self._write_planes(image[rows, columns], out)
        if self.mean is not None:
            np.subtract(out, self.mean, out=out)
        if self.scale is not None:
            np.multiply(out, self.scale, out=out)

    def _write_planes(self, pixels: NDArray[Any], out: NDArray[Any]) -> None:
        """[H, W, C] to the planes of `out`. OpenCV takes channels apart three times as fast as a transposed copy."""
        channels = pixels.shape[2]
        if channels == 1:
            out[0] = pixels[:, :, 0]
            return
        import cv2

        planes = cv2.split(pixels)
        for channel, source in enumerate(self.order or range(channels)):
            out[channel] = planes[source]

    def _resized(self, image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
        if self.caffe_io:
            if self.layout == "HWC":
                return resize_caffe_io(image, size)
            return resize_caffe_io(image.transpose(1, 2, 0), size).transpose(2, 0, 1)
        if image.dtype != np.uint8:
            image = image.astype(np.float32, copy=False)
        if self.layout == "HWC":
            return resize_opencv(image, size)
        return np.stack([resize_opencv(plane, size) for plane in image])
