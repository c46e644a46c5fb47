"""The builder emits prototxts that parse to what was asked for, with shapes as Caffe computes them."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from hypothesis import assume, given
from hypothesis import strategies as st

from inferkit.network.caffe.files import schema
from inferkit.network.zoo.builder import NetBuilder
from tests.network.zoo.prototxt_arithmetic import figures

SIDES = st.integers(1, 40)
PAIRS = st.one_of(st.integers(1, 7), st.tuples(st.integers(1, 7), st.integers(1, 7)))
PADS = st.one_of(st.integers(0, 3), st.tuples(st.integers(0, 3), st.integers(0, 3)))


@given(SIDES, SIDES, st.integers(1, 3), st.integers(1, 4), PAIRS, PADS, st.integers(1, 4), st.booleans())
def test_a_convolution_reads_back_as_it_was_built(
    height: int,
    width: int,
    group: int,
    channels: int,
    kernel: int | tuple[int, int],
    pad: int | tuple[int, int],
    stride: int,
    bias: bool,
) -> None:
    kernels = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    pads = pad if isinstance(pad, tuple) else (pad, pad)
    assume(all(side + 2 * p >= k for side, k, p in zip((height, width), kernels, pads, strict=True)))
    net = NetBuilder("net", (channels * group, height, width))
    net.conv("conv", 2 * group, kernel, stride=stride, pad=pad, group=group, bias=bias)
    result = figures(net.prototxt())
    assert result.shapes == net.shapes
    assert (result.parameters, result.macs) == (net.parameters, net.macs)
    assert net.layers[0].blobs[0] == (2 * group, channels, *kernels)
    assert len(net.layers[0].blobs) == 1 + bias


@given(SIDES, SIDES, st.integers(1, 6), st.integers(1, 5), st.data())
def test_pooling_covers_the_plane_and_no_window_starts_in_the_padding(
    height: int, width: int, kernel: int, stride: int, data: st.DataObject
) -> None:
    assume(stride <= kernel)  # no network of the zoo skips pixels
    pad = data.draw(st.integers(0, kernel - 1))
    assume(min(height, width) + 2 * pad >= kernel)
    net = NetBuilder("net", (3, height, width))
    net.max_pool("pool", kernel, stride, pad=pad)
    for side, windows in zip((height, width), net.shapes["pool"][1:], strict=True):
        last = (windows - 1) * stride - pad  # where the last window starts
        assert last < side + pad
        assert pad == 0 or last < side
        # Rounded up: either the last window reaches the end, or another would start beyond it.
        assert last + kernel >= side + pad or last + stride >= side


def test_layers_read_the_blob_made_last_unless_another_is_named() -> None:
    net = NetBuilder("net", (3, 8, 8))
    first = net.conv("a", 4, 1)
    net.conv("b", 4, 1)
    net.conv("c", 4, 1, bottom=first)
    net.add("sum", ["b", "c"])
    net.concat("both", ["sum", first])
    assert [layer.bottoms for layer in net.layers] == [("data",), ("a",), ("a",), ("b", "c"), ("sum", "a")]
    assert net.shapes["both"] == (8, 8, 8)


def test_batch_norm_is_in_place_unless_its_blob_is_named() -> None:
    net = NetBuilder("net", (3, 8, 8))
    net.conv("a", 4, 1, bias=False)
    assert net.batch_norm("bn", "scale") == "a"
    net.conv("b", 4, 1, bias=False)
    assert net.batch_norm("b/bn", "b/scale", top="b/bn", eps=1e-3) == "b/bn"
    text = text_format.Parse(net.prototxt(), schema.NetParameter())
    assert [layer.batch_norm_param.eps for layer in text.layer if layer.type == "BatchNorm"] == pytest.approx(
        [1e-5, 1e-3]
    )


def test_blobs_that_do_not_fit_together_are_refused() -> None:
    net = NetBuilder("net", (3, 8, 8))
    net.conv("a", 4, 1)
    net.conv("b", 4, 3)
    with pytest.raises(ValueError, match="layer both"):
        net.concat("both", ["a", "b"])
    with pytest.raises(ValueError, match="layer sum"):
        net.add("sum", ["a", "b"])
