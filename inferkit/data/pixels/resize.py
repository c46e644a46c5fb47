"""Resizes images as Caffe does: by OpenCV (its tools and layers) or as caffe.io (its Python Transformer)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import DataError


def resize_opencv(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resize [H, W] or [H, W, C], uint8 or float32, to `size` (height, width), bilinear, each pixel from its four.

    What convert_imageset's --resize_height and ImageData's new_height do (cv::resize with its default).
    """
    import cv2

    if image.shape[:2] == size:
        return image
    resized: NDArray[Any] = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    # OpenCV drops a last axis of one.
    return resized[:, :, np.newaxis] if image.ndim == 3 and resized.ndim == 2 else resized


def resize_caffe_io(image: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize [H, W, C] with 1 or 3 channels to `size` (height, width): float32 [height, width, C].

    What caffe.io.resize_image, and with it caffe.io.Transformer, does through scikit-image (0.15 to 0.18): values are
    brought to 0…1 by the image's own extremes; where the image shrinks, a Gaussian of (factor - 1) / 2 pixels smooths
    it; then bilinear, with the smallest value around the image. For other channel numbers caffe.io uses spline zoom,
    which is not supported: DataError.
    """
    from scipy import ndimage

    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise DataError(f"the image has {image.shape[-1]} channels; caffe.io's resizing is supported for 1 and 3")
    if image.shape[:2] == size:
        return image.astype(np.float32)
    values = image.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.full((*size, image.shape[2]), low, np.float32)
    factors = (image.shape[0] / size[0], image.shape[1] / size[1])
    values = (values - np.float32(low)) / np.float32(high - low)
    sigmas = [max(0.0, (factor - 1) / 2) for factor in factors]
    values = ndimage.gaussian_filter(values, [*sigmas, 0.0], mode="constant")
    resized = _interpolate(_interpolate(values, size[0], factors[0]).swapaxes(0, 1), size[1], factors[1]).swapaxes(0, 1)
    resized = np.clip(resized, values.min(), values.max())
    return resized * np.float32(high - low) + np.float32(low)


def resize_mean(mean: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """A mean image [C, H, W] of another size than the network's, resized as caffe.io.Transformer.set_mean does it."""
    return np.ascontiguousarray(resize_caffe_io(mean.transpose(1, 2, 0), size).transpose(2, 0, 1))


def _interpolate(values: NDArray[np.float32], size: int, factor: float) -> NDArray[np.float32]:
    """Linear interpolation along the first axis to `size` points, pixel centres at half numbers, zeros outside."""
    position = factor * (np.arange(size) + 0.5) - 0.5
    below = np.floor(position).astype(np.int64)
    weight = (position - below).astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))
    padded = np.pad(values, [(1, 1)] + [(0, 0)] * (values.ndim - 1))
    last = len(padded) - 1
    lower, upper = (padded[np.clip(index + 1, 0, last)] for index in (below, below + 1))
    return lower * (1 - weight) + upper * weight
