"""Moments: the expected mean of each channel of a blob and the variance around it, followed layer by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Moments:
    """`mean` [C] over images and positions; `variance` around it, one number for all channels."""

    mean: np.ndarray
    variance: float

    @property
    def square(self) -> float:
        """The mean square over all channels."""
        return self.variance + float(np.mean(self.mean**2))


def relu(x: Moments) -> Moments:
    """Of max(x, 0), x taken as normal."""
    spread = math.sqrt(x.variance)
    ratio = x.mean / spread
    density = np.exp(-(ratio**2) / 2) / math.sqrt(2 * math.pi)
    positive = np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in ratio])
    mean = x.mean * positive + spread * density
    square = (x.mean**2 + x.variance) * positive + x.mean * spread * density
    return Moments(mean, max(float(np.mean(square - mean**2)), 1e-9))


def max_pool(x: Moments) -> Moments:
    """Of the maximum of a window. Neighbours are much alike, so it lies only half a deviation above the mean."""
    return Moments(x.mean + 0.5 * math.sqrt(x.variance), x.variance)


def average_pool(x: Moments) -> Moments:
    """Of the mean of a window: taken as unchanged, since what varies between images is common to a plane."""
    return x


def concatenate(parts: Sequence[Moments]) -> Moments:
    """Of several blobs' channels together."""
    channels = [len(part.mean) for part in parts]
    variance = sum(part.variance * count for part, count in zip(parts, channels, strict=True)) / sum(channels)
    return Moments(np.concatenate([part.mean for part in parts]), variance)


def add(parts: Sequence[Moments]) -> Moments:
    """Of the sum of several independent blobs."""
    return Moments(np.sum([part.mean for part in parts], axis=0), sum(part.variance for part in parts))
