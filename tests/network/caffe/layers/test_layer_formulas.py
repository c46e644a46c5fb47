"""Layers against their formulas, written out slowly: independent of Caffe, so they run where it is not installed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import signal, special

import inferkit
from inferkit.errors import NetworkError
from inferkit.network.caffe.files.schema import NetParameter
from tests.network.caffe.caffe_judge import draw, input_shapes, run
from tests.network.caffe.layers.caffe_cases import IMAGE, conv, data, layer, pool

Floats = NDArray[np.float32]
RANDOM = np.random.default_rng(7)


def compute(
    text: str, folder: Path, blobs: dict[str, list[Floats]] | None = None, seed: int = 1
) -> tuple[Floats, Floats]:
    """The first input and the only output of an imported net; `blobs` are its learned ones by layer."""
    prototxt, caffemodel = folder / "net.prototxt", folder / "net.caffemodel"
    prototxt.write_text(text)
    model = NetParameter()
    for name, arrays in (blobs or {}).items():
        stored = model.layer.add(name=name)
        for array in arrays:
            blob = stored.blobs.add()
            blob.shape.dim.extend(array.shape)
            blob.data.extend(array.ravel())
    caffemodel.write_bytes(model.SerializeToString())
    network = inferkit.load(prototxt, caffemodel if blobs else None)
    feeds = draw(input_shapes(text), seed)
    (result,) = run(network, feeds).values()
    return next(iter(feeds.values())), result


def close(ours: Floats, expected: NDArray) -> bool:
    """Within float32's rounding of sums of a few hundred terms."""
    return ours.shape == expected.shape and bool(np.allclose(ours, expected, rtol=1e-5, atol=1e-5))


def normal(*shape: int) -> Floats:
    return RANDOM.normal(0, 1, shape).astype(np.float32)


def test_convolution_is_a_strided_correlation(tmp_path: Path) -> None:
    weight, bias = normal(5, 4, 3, 3), normal(5)
    text = IMAGE + layer("Convolution", conv("num_output: 5 kernel_size: 3 stride: 2 pad: 1"))
    x, y = compute(text, tmp_path, {"out": [weight, bias]})
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    for image, expected in zip(padded, y, strict=True):
        for kernel, offset, plane in zip(weight, bias, expected, strict=True):
            full = sum(signal.correlate2d(c, k, mode="valid") for c, k in zip(image, kernel, strict=True))
            assert close(plane, full[::2, ::2] + offset)


def test_groups_see_their_own_channels(tmp_path: Path) -> None:
    weight = normal(4, 2, 1, 1)
    text = IMAGE + layer("Convolution", conv("num_output: 4 kernel_size: 1 group: 2 bias_term: false"))
    x, y = compute(text, tmp_path, {"out": [weight]})
    halves = [np.einsum("oc,nchw->nohw", weight[g * 2 : g * 2 + 2, :, 0, 0], x[:, g * 2 : g * 2 + 2]) for g in (0, 1)]
    assert close(y, np.concatenate(halves, axis=1))


def test_deconvolution_adds_up_shifted_kernels(tmp_path: Path) -> None:
    weight, bias = normal(4, 3, 4, 4), normal(3)
    text = IMAGE + layer("Deconvolution", conv("num_output: 3 kernel_size: 4 stride: 2 pad: 1"))
    x, y = compute(text, tmp_path, {"out": [weight, bias]})
    total = np.zeros((2, 3, 2 * 8 + 4, 2 * 6 + 4))
    for row in range(9):
        for column in range(7):
            place = np.s_[:, :, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4]
            total[place] += np.einsum("nc,cokl->nokl", x[:, :, row, column], weight)
    assert close(y, total[:, :, 1:-1, 1:-1] + bias[:, None, None])


def pooled(x: Floats, kernel: tuple, stride: tuple, pad: tuple, average: bool) -> NDArray:
    """Caffe's Pooling, window by window, as its documentation and code describe it."""
    sizes = []
    for length, k, s, p in zip(x.shape[2:], kernel, stride, pad, strict=True):
        count = math.ceil((length + 2 * p - k) / s) + 1
        if any(pad) and (count - 1) * s >= length + p:
            count -= 1
        sizes.append(count)
    y = np.zeros((*x.shape[:2], *sizes))
    for i in range(sizes[0]):
        for j in range(sizes[1]):
            top, left = i * stride[0] - pad[0], j * stride[1] - pad[1]
            bottom = min(top + kernel[0], x.shape[2] + pad[0])
            right = min(left + kernel[1], x.shape[3] + pad[1])
            window = x[:, :, max(top, 0) : min(bottom, x.shape[2]), max(left, 0) : min(right, x.shape[3])]
            if average:
                y[:, :, i, j] = window.sum(axis=(2, 3)) / ((bottom - top) * (right - left))
            else:
                y[:, :, i, j] = window.max(axis=(2, 3))
    return y


@st.composite
def windows(draw_: st.DrawFn) -> tuple:
    """Image size, kernel, stride and pad whose windows all touch the image."""
    height, width = draw_(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    kernel = draw_(st.tuples(st.integers(1, height), st.integers(1, width)))
    stride = tuple(draw_(st.integers(1, k)) for k in kernel)
    pad = tuple(draw_(st.integers(0, k - 1)) for k in kernel)
    return (height, width), kernel, stride, pad


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(window=windows(), average=st.booleans())
def test_pooling_windows(window: tuple, average: bool, tmp_path: Path) -> None:
    size, kernel, stride, pad = window
    fields = "pool: AVE " if average else "pool: MAX "
    for name, (h, w) in (("kernel", kernel), ("stride", stride), ("pad", pad)):
        fields += f"{name}_h: {h} {name}_w: {w} "
    x, y = compute(data(2, 2, *size) + layer("Pooling", pool(fields)), tmp_path)
    assert close(y, pooled(x, kernel, stride, pad, average))


def test_stochastic_pooling_in_test_phase_is_the_mean_weighted_by_the_values(tmp_path: Path) -> None:
    text = (
        data(2, 2, 5, 6)
        + layer("ReLU", tops="r")
        + layer("Pooling", pool("pool: STOCHASTIC kernel_size: 2 stride: 2"), "r")
    )
    x, y = compute(text, tmp_path)
    r = np.maximum(x, 0)
    expected = np.zeros((2, 2, 3, 3))
    for i in range(3):
        for j in range(3):
            window = r[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            total = window.sum(axis=(2, 3))
            expected[:, :, i, j] = np.where(total > 0, (window**2).sum(axis=(2, 3)) / np.where(total > 0, total, 1), 0)
    assert close(y, expected)


def test_lrn_across_channels(tmp_path: Path) -> None:
    x, y = compute(data(2, 6, 3, 4) + layer("LRN", "lrn_param { local_size: 3 alpha: 0.6 beta: 0.75 k: 2 }"), tmp_path)
    squares = np.pad(x.astype(float) ** 2, ((0, 0), (1, 1), (0, 0), (0, 0)))
    sums = squares[:, :-2] + squares[:, 1:-1] + squares[:, 2:]
    assert close(y, x * (2 + 0.6 / 3 * sums) ** -0.75)


def test_lrn_within_channel_ignores_k(tmp_path: Path) -> None:
    parameters = "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 alpha: 0.6 beta: 0.75 k: 5 }"
    x, y = compute(data(2, 2, 5, 4) + layer("LRN", parameters), tmp_path)
    assert close(y, x * (1 + 0.6 * pooled(x**2, (3, 3), (1, 1), (1, 1), average=True)) ** -0.75)


@pytest.mark.parametrize("factor", [1.0, 999.98, 0.0])
def test_batch_norm_divides_its_statistics_by_the_scale_factor(factor: float, tmp_path: Path) -> None:
    mean, variance = normal(4), np.abs(normal(4)) + 0.1
    text = IMAGE + layer("BatchNorm", "batch_norm_param { eps: 0.01 }")
    stored = [mean * np.float32(factor), variance * np.float32(factor), np.array([factor], np.float32)]
    x, y = compute(text, tmp_path, {"out": stored})
    if factor == 0:
        mean, variance = np.zeros(4), np.zeros(4)
    assert close(y, (x - mean[:, None, None]) / np.sqrt(variance[:, None, None] + 0.01))


def test_batch_norm_of_the_batch(tmp_path: Path) -> None:
    text = IMAGE + layer("BatchNorm", "batch_norm_param { use_global_stats: false eps: 0.01 }")
    x, y = compute(text, tmp_path)
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    assert close(y, (x - mean) / np.sqrt(x.var(axis=(0, 2, 3), keepdims=True) + 0.01))


def test_in_train_phase_batch_norm_is_that_of_the_batch_and_dropout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(IMAGE + layer("BatchNorm", "batch_norm_param { eps: 0.01 }"))
    x = draw({"data": (2, 4, 9, 7)}, 1)["data"]
    (y,) = run(inferkit.load(path, phase="TRAIN"), {"data": x}).values()
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    assert close(y, (x - mean) / np.sqrt(x.var(axis=(0, 2, 3), keepdims=True) + 0.01))
    path.write_text(IMAGE + layer("Dropout"))
    with pytest.raises(NetworkError, match="random in the TRAIN phase"):
        inferkit.load(path, phase="TRAIN")
    path.write_text(IMAGE + layer("Dropout", "phase: TRAIN"))
    with pytest.raises(NetworkError, match="random in the TRAIN phase"):
        inferkit.load(path)


@pytest.mark.parametrize("across", [False, True])
def test_mvn_adds_eps_to_the_standard_deviation(across: bool, tmp_path: Path) -> None:
    x, y = compute(IMAGE + layer("MVN", f"mvn_param {{ eps: 0.5 across_channels: {str(across).lower()} }}"), tmp_path)
    axes = (1, 2, 3) if across else (2, 3)
    expected = (x - x.mean(axis=axes, keepdims=True)) / (x.std(axis=axes, keepdims=True) + 0.5)
    assert close(y, expected)


def test_inner_product_from_an_axis_on(tmp_path: Path) -> None:
    weight, bias = normal(6, 15), normal(6)
    text = data(2, 4, 3, 5) + layer("InnerProduct", "inner_product_param { num_output: 6 axis: 2 }")
    x, y = compute(text, tmp_path, {"out": [weight, bias]})
    assert close(y, x.reshape(2, 4, 15) @ weight.T + bias)


def test_scale_and_bias_start_at_their_axis(tmp_path: Path) -> None:
    factor, term = normal(4, 9), normal(4, 9)
    text = IMAGE + layer("Scale", "scale_param { axis: 1 num_axes: 2 bias_term: true }")
    x, y = compute(text, tmp_path, {"out": [factor, term]})
    assert close(y, x * factor[:, :, None] + term[:, :, None])


def test_embed_picks_rows(tmp_path: Path) -> None:
    weight, bias = normal(1, 3), normal(3)
    text = data(2, 4) + layer("Threshold", "threshold_param { threshold: 9 }", tops="t")
    text += layer("Embed", "embed_param { input_dim: 1 num_output: 3 }", "t")
    _, y = compute(text, tmp_path, {"out": [weight, bias]})
    assert close(y, np.broadcast_to(weight[0] + bias, (2, 4, 3)))


def test_argmax_takes_the_last_of_equal_values(tmp_path: Path) -> None:
    text = data(3, 20) + layer("Threshold", tops="t") + layer("ArgMax", "argmax_param { top_k: 20 }", "t")
    x, y = compute(text, tmp_path)
    expected = [sorted(range(20), key=lambda place: (row[place] > 0, place), reverse=True) for row in x]
    assert y.shape == (3, 1, 20)
    assert y.reshape(3, 20).tolist() == expected


ACTIVATIONS = {
    "relu_param { negative_slope: 0.1 }": ("ReLU", lambda x: np.where(x > 0, x, 0.1 * x)),
    "elu_param { alpha: 0.4 }": ("ELU", lambda x: np.where(x > 0, x, 0.4 * np.expm1(x))),
    "exp_param { base: 2 scale: 3 shift: 0.5 }": ("Exp", lambda x: 2 ** (0.5 + 3 * x)),
    "power_param { power: 2 scale: 3 shift: 1 }": ("Power", lambda x: (1 + 3 * x) ** 2),
    "power_param { power: 0 }": ("Power", lambda x: np.ones_like(x)),
    "threshold_param { threshold: 0.5 }": ("Threshold", lambda x: (x > 0.5).astype(float)),
    "clip_param { min: -0.5 max: 0.25 }": ("Clip", lambda x: np.clip(x, -0.5, 0.25)),
    "swish_param { beta: 2 }": ("Swish", lambda x: x * special.expit(2 * x)),
    "": ("BNLL", lambda x: np.logaddexp(0, x)),
    "softmax_param { axis: -1 }": ("Softmax", lambda x: special.softmax(x, axis=-1)),
    "reduction_param { operation: SUMSQ axis: 2 coeff: 0.5 }": ("Reduction", lambda x: 0.5 * (x**2).sum(axis=(2, 3))),
    "tile_param { axis: 2 tiles: 3 }": ("Tile", lambda x: np.tile(x, (1, 1, 3, 1))),
    "flatten_param { axis: 2 }": ("Flatten", lambda x: x.reshape(2, 4, 63)),
}


@pytest.mark.parametrize("parameters", ACTIVATIONS)
def test_a_formula(parameters: str, tmp_path: Path) -> None:
    kind, formula = ACTIVATIONS[parameters]
    x, y = compute(IMAGE + layer(kind, parameters), tmp_path)
    assert close(y, formula(x.astype(float)))
