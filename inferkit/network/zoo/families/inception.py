"""Inception v3: factorized convolutions (1×7 after 7×1, 1×3 beside 3×1), three kinds of modules, two reductions."""

from __future__ import annotations

from inferkit.network.zoo.builder import NetBuilder

EPS = 1e-3


def inception_v3(net: NetBuilder) -> None:
    """Inception v3 for 299×299; the last module's pooling is MAX, the others' AVE, as in the original."""
    _conv(net, "conv1_3x3_s2", 32, 3, stride=2)
    _conv(net, "conv2_3x3_s1", 32, 3)
    _conv(net, "conv3_3x3_s1", 64, 3, pad=1)
    net.max_pool("pool1_3x3_s2", 3, 2)
    _conv(net, "conv4_3x3_reduce", 80, 1)
    _conv(net, "conv4_3x3", 192, 3)
    net.max_pool("pool2_3x3_s2", 3, 2)
    for number, projected in enumerate((32, 64, 64), start=1):
        _module_a(net, f"inception_a{number}", projected)
    _reduction_a(net)
    for number, width in enumerate((128, 160, 160, 192), start=1):
        _module_b(net, f"inception_b{number}", width)
    _reduction_b(net)
    for number in (1, 2):
        _module_c(net, f"inception_c{number}", last=number == 2)
    net.global_pool("pool_8x8_s1")
    net.dropout("pool_8x8_s1_drop", 0.2)
    net.fc("classifier", 1000)
    net.softmax("prob")


def _module_a(net: NetBuilder, name: str, projected: int) -> None:
    source = net.top
    single = _conv(net, f"{name}_1x1", 64, 1, bottom=source)
    _conv(net, f"{name}_5x5_reduce", 48, 1, bottom=source)
    five = _conv(net, f"{name}_5x5", 64, 5, pad=2)
    _conv(net, f"{name}_3x3_reduce", 64, 1, bottom=source)
    _conv(net, f"{name}_3x3_1", 96, 3, pad=1)
    double = _conv(net, f"{name}_3x3_2", 96, 3, pad=1)
    net.ave_pool(f"{name}_pool", 3, 1, pad=1, bottom=source)
    pooled = _conv(net, f"{name}_pool_proj", projected, 1)
    net.concat(f"{name}_output", [single, five, double, pooled])


def _reduction_a(net: NetBuilder) -> None:
    name, source = "reduction_a", net.top
    single = _conv(net, f"{name}_3x3", 384, 3, stride=2, bottom=source)
    _conv(net, f"{name}_3x3_2_reduce", 64, 1, bottom=source)
    _conv(net, f"{name}_3x3_2", 96, 3, pad=1)
    double = _conv(net, f"{name}_3x3_3", 96, 3, stride=2)
    pooled = net.max_pool(f"{name}_pool", 3, 2, bottom=source)
    net.concat(f"{name}_concat", [single, double, pooled])


def _module_b(net: NetBuilder, name: str, width: int) -> None:
    source = net.top
    single = _conv(net, f"{name}_1x1_2", 192, 1, bottom=source)
    _conv(net, f"{name}_1x7_reduce", width, 1, bottom=source)
    _conv(net, f"{name}_1x7", width, (1, 7), pad=(0, 3))
    seven = _conv(net, f"{name}_7x1", 192, (7, 1), pad=(3, 0))
    _conv(net, f"{name}_7x1_reduce", width, 1, bottom=source)
    _conv(net, f"{name}_7x1_2", width, (7, 1), pad=(3, 0))
    _conv(net, f"{name}_1x7_2", width, (1, 7), pad=(0, 3))
    _conv(net, f"{name}_7x1_3", width, (7, 1), pad=(3, 0))
    double = _conv(net, f"{name}_1x7_3", 192, (1, 7), pad=(0, 3))
    net.ave_pool(f"{name}_pool", 3, 1, pad=1, bottom=source)
    pooled = _conv(net, f"{name}_1x1", 192, 1)
    net.concat(f"{name}_concat", [single, seven, double, pooled])


def _reduction_b(net: NetBuilder) -> None:
    name, source = "reduction_b", net.top
    _conv(net, f"{name}_3x3_reduce", 192, 1, bottom=source)
    single = _conv(net, f"{name}_3x3", 320, 3, stride=2)
    _conv(net, f"{name}_1x7_reduce", 192, 1, bottom=source)
    _conv(net, f"{name}_1x7", 192, (1, 7), pad=(0, 3))
    _conv(net, f"{name}_7x1", 192, (7, 1), pad=(3, 0))
    double = _conv(net, f"{name}_3x3_2", 192, 3, stride=2)
    pooled = net.max_pool(f"{name}_pool", 3, 2, bottom=source)
    net.concat(f"{name}_concat", [single, double, pooled])


def _module_c(net: NetBuilder, name: str, *, last: bool) -> None:
    source = net.top
    branches = [_conv(net, f"{name}_1x1_2", 320, 1, bottom=source)]
    split = _conv(net, f"{name}_1x3_reduce", 384, 1, bottom=source)
    branches += _fork(net, name, "", split)
    _conv(net, f"{name}_3x3_reduce", 448, 1, bottom=source)
    split = _conv(net, f"{name}_3x3", 384, 3, pad=1)
    branches += _fork(net, name, "_2", split)
    pool = net.max_pool if last else net.ave_pool
    pool(f"{name}_pool", 3, 1, pad=1, bottom=source)
    branches.append(_conv(net, f"{name}_1x1", 192, 1))
    net.concat(f"{name}_concat", branches)


def _fork(net: NetBuilder, name: str, suffix: str, source: str) -> list[str]:
    return [
        _conv(net, f"{name}_1x3{suffix}", 384, (1, 3), pad=(0, 1), bottom=source),
        _conv(net, f"{name}_3x1{suffix}", 384, (3, 1), pad=(1, 0), bottom=source),
    ]


def _conv(
    net: NetBuilder,
    name: str,
    outputs: int,
    kernel: int | tuple[int, int],
    *,
    stride: int = 1,
    pad: int | tuple[int, int] = 0,
    bottom: str | None = None,
) -> str:
    net.conv(name, outputs, kernel, stride=stride, pad=pad, bias=False, bottom=bottom)
    net.batch_norm(f"{name}_bn", f"{name}_scale", eps=EPS)
    return net.relu(f"{name}_relu")
