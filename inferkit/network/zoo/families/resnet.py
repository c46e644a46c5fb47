"""ResNet v1 as published for Caffe: bottlenecks whose stride is in the first 1×1 convolution, BatchNorm and Scale."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase

from inferkit.network.zoo.builder import NetBuilder


def resnet50(net: NetBuilder) -> None:
    """ResNet-50; its conv1 has a bias, unlike that of the deeper ones."""
    _resnet(net, (3, 4, 6, 3), first_bias=True, lettered=True)


def resnet101(net: NetBuilder) -> None:
    """ResNet-101."""
    _resnet(net, (3, 4, 23, 3))


def resnet152(net: NetBuilder) -> None:
    """ResNet-152."""
    _resnet(net, (3, 8, 36, 3))


def _resnet(net: NetBuilder, depths: Sequence[int], *, first_bias: bool = False, lettered: bool = False) -> None:
    net.conv("conv1", 64, 7, stride=2, pad=3, bias=first_bias)
    net.batch_norm("bn_conv1", "scale_conv1")
    net.relu("conv1_relu")
    net.max_pool("pool1", 3, 2)
    for stage, depth in enumerate(depths, start=2):
        for index in range(depth):
            # 2a 2b 2c, but 3a 3b1 3b2 ... in the long stages of the deeper networks
            short = lettered or depth == 3
            block = ascii_lowercase[index] if short or index == 0 else f"b{index}"
            # Where weights are made up, a stage's branches add up to as much as its shortcut carries: large branches
            # in long stages would make the network amplify every rounding error a thousandfold.
            gain = depth**-0.5
            stride = 2 if stage > 2 and index == 0 else 1
            _bottleneck(net, f"{stage}{block}", 32 << (stage - 1), stride=stride, project=index == 0, gain=gain)
    net.ave_pool("pool5", 7, 1)
    net.fc("fc1000", 1000)
    net.softmax("prob")


def _bottleneck(net: NetBuilder, block: str, width: int, *, stride: int, project: bool, gain: float) -> None:
    source = net.top
    shortcut = _conv(net, f"{block}_branch1", 4 * width, 1, stride=stride, bottom=source) if project else source
    _conv(net, f"{block}_branch2a", width, 1, stride=stride, bottom=source)
    net.relu(f"res{block}_branch2a_relu")
    _conv(net, f"{block}_branch2b", width, 3, pad=1)
    net.relu(f"res{block}_branch2b_relu")
    branch = _conv(net, f"{block}_branch2c", 4 * width, 1, gain=gain)
    net.add(f"res{block}", [shortcut, branch])
    net.relu(f"res{block}_relu")


def _conv(
    net: NetBuilder,
    name: str,
    outputs: int,
    kernel: int,
    *,
    stride: int = 1,
    pad: int = 0,
    bottom: str | None = None,
    gain: float = 1.0,
) -> str:
    net.conv(f"res{name}", outputs, kernel, stride=stride, pad=pad, bias=False, bottom=bottom)
    return net.batch_norm(f"bn{name}", f"scale{name}", gain=gain)
