"""DenseNet-121: every layer reads the concatenation of all before it; BatchNorm comes before the convolution."""

from __future__ import annotations

from inferkit.network.zoo.builder import NetBuilder

GROWTH = 32


def densenet121(net: NetBuilder) -> None:
    """DenseNet-121 with bottlenecks and compression by half between its four blocks."""
    net.conv("conv1", 64, 7, stride=2, pad=3, bias=False)
    net.batch_norm("conv1/bn", "conv1/scale", top="conv1/bn")
    net.relu("relu1")
    net.max_pool("pool1", 3, 2, pad=1)
    for stage, depth in enumerate((6, 12, 24, 16), start=2):
        for number in range(1, depth + 1):
            _dense_layer(net, f"{stage}_{number}")
        _normalize(net, f"conv{stage}_blk", f"relu{stage}_blk")
        if stage < 5:
            net.conv(f"conv{stage}_blk", net.shapes[net.top][0] // 2, 1, bias=False)
            net.ave_pool(f"pool{stage}", 2, 2)
    net.global_pool("pool5")
    net.conv("fc6", 1000, 1)
    net.softmax("prob")


def _dense_layer(net: NetBuilder, name: str) -> None:
    source = net.top
    _normalize(net, f"conv{name}/x1", f"relu{name}/x1")
    net.conv(f"conv{name}/x1", 4 * GROWTH, 1, bias=False)
    _normalize(net, f"conv{name}/x2", f"relu{name}/x2")
    fresh = net.conv(f"conv{name}/x2", GROWTH, 3, pad=1, bias=False)
    net.concat(f"concat_{name}", [source, fresh])


def _normalize(net: NetBuilder, name: str, relu: str) -> None:
    net.batch_norm(f"{name}/bn", f"{name}/scale", top=f"{name}/bn")
    net.relu(relu)
