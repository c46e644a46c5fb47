"""Made-up weights: He-scaled normal numbers, the same on every machine, that keep activations near 1 at any depth.

A layer's numbers come from Philox, keyed by the names of network, layer and blob. Only its raw 64-bit words are used
(numpy guarantees that stream; its normal distribution it does not), each cut into four 16-bit indices of a table of
the normal distribution. Whatever is computed from them is rounded before it is stored, so that the last place of
some machine's exponential or matrix product shows nowhere.

Scales follow He et al. (2015, arXiv:1502.01852): a weight's variance is the inverse of what the layer sums up, here
followed from blob to blob (`moments`) instead of assuming a ReLU before every layer. BatchNorm's statistics are what
its input is expected to have. One thing more: after many layers of plain random weights every image gives nearly the
same output, because what ReLUs leave is mostly the mean, common to all images. Filters are therefore turned away
from the expected mean of what they read: a little in every layer, wholly in the classifier.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from inferkit.network.zoo.builder import NetBuilder, ZooLayer
from inferkit.network.zoo.moments import Moments, add, average_pool, concatenate, max_pool, relu

Blobs = list[np.ndarray]

# The spread of inputs that the weights are made for: halfway (in octaves) between standard normal ones and 8-bit
# pixels less their mean (about 64), so that either leaves activations and logits in every precision's range.
INPUT_RMS = 8.0
CLASSIFIER_GAIN = 0.5  # spread of the logits; a larger one lets Softmax choose one class beyond doubt
BIAS = 0.05  # spread of biases, for outputs near 1
GAIN_SPREAD = 0.1  # spread of Scale's factors around their mean
TURN = 0.3  # how far a filter is turned away from the mean; 1 makes deep networks amplify every rounding error
_CHUNK = 1 << 18  # numbers made at a time: as many as stay in a CPU's cache
BATCH_NORM_FACTOR = 999.98236  # Caffe stores sums: with a moving average of 0.999 this is what they converge to


def made_up(net: NetBuilder) -> Iterator[tuple[ZooLayer, Blobs]]:
    """Every layer of `net` in order with its blobs (float32, the shapes of `layer.blobs`)."""
    moments = {"data": Moments(np.zeros(net.shapes["data"][0]), INPUT_RMS**2)}
    last = [layer for layer in net.layers if layer.type in ("Convolution", "InnerProduct")][-1]
    for layer in net.layers:
        inputs = [moments[bottom] for bottom in layer.bottoms]
        key = f"{net.name}/{layer.name}"
        if layer.type in ("Convolution", "InnerProduct"):
            blobs, made = _filters(key, layer, inputs[0], classifier=layer is last)
        elif layer.type == "BatchNorm":
            blobs, made = _batch_norm(key, inputs[0])
        elif layer.type == "Scale":
            blobs, made = _scale(key, layer.gain, inputs[0])
        else:
            blobs, made = [], _passed_on(layer, inputs)
        moments[layer.tops[0]] = made
        yield layer, blobs


def _filters(key: str, layer: ZooLayer, x: Moments, *, classifier: bool) -> tuple[Blobs, Moments]:
    """Weights and bias of a convolution or inner product."""
    outputs, channels, *kernel = layer.blobs[0]
    if layer.type == "InnerProduct":
        channels, kernel = len(x.mean), [channels // len(x.mean)]  # each channel's whole plane is one kernel
    taps = math.prod(kernel)
    groups = len(x.mean) // channels
    values = normal(f"{key}/0", layer.blobs[0])
    filters = values.reshape(groups, outputs // groups, channels, taps)
    means = _rounded(x.mean.reshape(groups, 1, channels))
    # The filters' response to the mean. The sums over taps are exact in float32 (see _normal_table) in any order.
    response = (filters.sum(axis=3).astype(np.float64) * means).sum(axis=2)
    turn = 1.0 if classifier else TURN if layer.type == "Convolution" and channels > 3 else 0.0
    if turn:
        towards = _rounded(turn * response / (taps * (means**2).sum(axis=2) + 1e-12))
        filters -= (towards[:, :, None] * means).astype(np.float32)[..., None]
        response *= 1 - turn
    gain = CLASSIFIER_GAIN if classifier else 1.0
    spread = float(_rounded(gain / math.sqrt(x.variance * channels * taps + float(np.mean(response**2)))))
    values *= np.float32(spread)
    biases = [normal(f"{key}/1", shape) * np.float32(BIAS) for shape in layer.blobs[1:]]
    return [values, *biases], Moments(response.ravel() * spread, x.variance * channels * taps * spread**2)


def _batch_norm(key: str, x: Moments) -> tuple[Blobs, Moments]:
    """Running mean (near 0), running variance (the mean square that is expected) and their common factor."""
    count = len(x.mean)
    square = float(_rounded(x.square))
    factor = np.float32(BATCH_NORM_FACTOR)
    mean = normal(f"{key}/0", (count,)) * np.float32(BIAS * math.sqrt(square))
    variance = np.full(count, square, np.float32)
    scaled = Moments(x.mean / math.sqrt(square), x.variance / square)
    return [mean * factor, variance * factor, np.array([factor])], scaled


def _scale(key: str, gain: float, x: Moments) -> tuple[Blobs, Moments]:
    """Factors around `gain`, biases around 0."""
    shape = x.mean.shape
    factors = normal(f"{key}/0", shape) * np.float32(gain * GAIN_SPREAD) + np.float32(gain)
    return [factors, normal(f"{key}/1", shape) * np.float32(BIAS)], Moments(x.mean * factors, x.variance * gain**2)


def _passed_on(layer: ZooLayer, inputs: list[Moments]) -> Moments:
    """What a layer without weights makes of its inputs' moments."""
    match layer.type:
        case "ReLU":
            return relu(inputs[0])
        case "Pooling":
            maximum = layer.settings["pooling_param"]["pool"] == "MAX"
            return max_pool(inputs[0]) if maximum else average_pool(inputs[0])
        case "Concat":
            return concatenate(inputs)
        case "Eltwise":
            return add(inputs)
        case _:  # LRN with the usual alpha divides by almost 1; Dropout and Softmax do nothing that matters here
            return inputs[0]


def normal(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal float32 numbers determined by `key` alone."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "little")
    words, table = np.random.Philox(key=seed), _normal_table()
    values = np.empty(math.prod(shape), np.float32)
    for start in range(0, len(values), _CHUNK):
        part = values[start : start + _CHUNK]
        drawn = words.random_raw(-(-len(part) // 4)).astype("<u8", copy=False)
        part[:] = table[drawn.view("<u2")[: len(part)]]
    return values.reshape(shape)


@lru_cache(maxsize=1)
def _normal_table() -> np.ndarray:
    """The standard normal distribution in 65,536 equally likely steps, in units of 2^-12.

    All are below 2^3, 15 bits, so 500 of them add up exactly in float32's 24 bits.
    """
    inverse = NormalDist().inv_cdf
    upper = [round(inverse((index + 0.5) / 65536) * 4096) for index in range(32768, 65536)]
    return np.array([-value for value in reversed(upper)] + upper, np.float32) / np.float32(4096)


def _rounded(value: np.ndarray | float) -> np.ndarray:
    """`value` to ten bits: sums and mathematical functions may differ in the last place from machine to machine."""
    fraction, exponent = np.frexp(value)
    return np.ldexp(np.round(fraction * 1024), exponent - 10)
