"""SqueezeNet 1.0 and 1.1: fire modules, which squeeze with 1×1 and expand with 1×1 and 3×3 convolutions."""

from __future__ import annotations

from inferkit.network.zoo.builder import NetBuilder

SQUEEZED = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}


def squeezenet1_0(net: NetBuilder) -> None:
    """SqueezeNet v1.0; its conv10 pads a 1×1 kernel, so the outermost ring of its plane is the bias alone."""
    _squeezenet(net, outputs=96, kernel=7, pool_after=(4, 8), last_pad=1)


def squeezenet1_1(net: NetBuilder) -> None:
    """SqueezeNet v1.1: a smaller first layer and earlier pooling, 2.4 times fewer operations."""
    _squeezenet(net, outputs=64, kernel=3, pool_after=(3, 5), last_pad=0)


def _squeezenet(net: NetBuilder, *, outputs: int, kernel: int, pool_after: tuple[int, ...], last_pad: int) -> None:
    net.conv("conv1", outputs, kernel, stride=2)
    net.relu("relu_conv1")
    net.max_pool("pool1", 3, 2)
    for number, squeezed in SQUEEZED.items():
        _fire(net, f"fire{number}", squeezed)
        if number in pool_after:
            net.max_pool(f"pool{number}", 3, 2)
    net.dropout("drop9")
    net.conv("conv10", 1000, 1, pad=last_pad)
    net.relu("relu_conv10")
    net.global_pool("pool10")
    net.softmax("prob")


def _fire(net: NetBuilder, name: str, squeezed: int) -> None:
    net.conv(f"{name}/squeeze1x1", squeezed, 1)
    narrow = net.relu(f"{name}/relu_squeeze1x1")
    net.conv(f"{name}/expand1x1", 4 * squeezed, 1, bottom=narrow)
    small = net.relu(f"{name}/relu_expand1x1")
    net.conv(f"{name}/expand3x3", 4 * squeezed, 3, pad=1, bottom=narrow)
    large = net.relu(f"{name}/relu_expand3x3")
    net.concat(f"{name}/concat", [small, large])
