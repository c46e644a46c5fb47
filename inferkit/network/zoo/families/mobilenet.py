"""MobileNet v1 and v2: depthwise convolutions, written in Caffe as a group for each channel."""

from __future__ import annotations

from inferkit.network.zoo.builder import NetBuilder

# block: outputs and stride of its depthwise convolution
V1_BLOCKS = {
    "2_1": (64, 1),
    "2_2": (128, 2),
    "3_1": (128, 1),
    "3_2": (256, 2),
    "4_1": (256, 1),
    "4_2": (512, 2),
    "5_1": (512, 1),
    "5_2": (512, 1),
    "5_3": (512, 1),
    "5_4": (512, 1),
    "5_5": (512, 1),
    "5_6": (1024, 2),
    "6": (1024, 1),
}
# The published Caffe model halves the plane at 4_7, after the four blocks of 64 channels.
V2_BLOCKS = {
    "2_1": (16, 1),
    "2_2": (24, 2),
    "3_1": (24, 1),
    "3_2": (32, 2),
    "4_1": (32, 1),
    "4_2": (32, 1),
    "4_3": (64, 1),
    "4_4": (64, 1),
    "4_5": (64, 1),
    "4_6": (64, 1),
    "4_7": (96, 2),
    "5_1": (96, 1),
    "5_2": (96, 1),
    "5_3": (160, 2),
    "6_1": (160, 1),
    "6_2": (160, 1),
    "6_3": (320, 1),
}
BRANCH_GAIN = 0.5  # as in ResNet: sums of branches should stay near 1 where weights are made up


def mobilenet_v1(net: NetBuilder) -> None:
    """MobileNet 1.0 for 224×224; BatchNorm and Scale work in place."""
    net.conv("conv1", 32, 3, stride=2, pad=1, bias=False)
    net.batch_norm("conv1/bn", "conv1/scale")
    net.relu("relu1")
    for block, (outputs, stride) in V1_BLOCKS.items():
        channels = net.shapes[net.top][0]
        net.conv(f"conv{block}/dw", channels, 3, stride=stride, pad=1, group=channels, bias=False)
        net.batch_norm(f"conv{block}/dw/bn", f"conv{block}/dw/scale")
        net.relu(f"relu{block}/dw")
        net.conv(f"conv{block}/sep", outputs, 1, bias=False)
        net.batch_norm(f"conv{block}/sep/bn", f"conv{block}/sep/scale")
        net.relu(f"relu{block}/sep")
    _classifier(net)


def mobilenet_v2(net: NetBuilder) -> None:
    """MobileNet v2 1.0 for 224×224: inverted residuals; BatchNorm writes blobs of its own."""
    _conv(net, "conv1", 32, 3, stride=2, pad=1)
    net.relu("relu1")
    expansion = 1
    for block, (outputs, stride) in V2_BLOCKS.items():
        _inverted_residual(net, block, outputs, stride, expansion)
        expansion = 6
    _conv(net, "conv6_4", 1280, 1)
    net.relu("relu6_4")
    _classifier(net)


def _inverted_residual(net: NetBuilder, block: str, outputs: int, stride: int, expansion: int) -> None:
    source, channels = net.top, net.shapes[net.top][0]
    wide = channels * expansion
    residual = stride == 1 and channels == outputs
    _conv(net, f"conv{block}/expand", wide, 1)
    net.relu(f"relu{block}/expand")
    _conv(net, f"conv{block}/dwise", wide, 3, stride=stride, pad=1, group=wide)
    net.relu(f"relu{block}/dwise")
    linear = _conv(net, f"conv{block}/linear", outputs, 1, gain=BRANCH_GAIN if residual else 1.0)
    if residual:
        net.add(f"block_{block}", [source, linear])


def _conv(
    net: NetBuilder,
    name: str,
    outputs: int,
    kernel: int,
    *,
    stride: int = 1,
    pad: int = 0,
    group: int = 1,
    gain: float = 1.0,
) -> str:
    net.conv(name, outputs, kernel, stride=stride, pad=pad, group=group, bias=False)
    return net.batch_norm(f"{name}/bn", f"{name}/scale", top=f"{name}/bn", gain=gain)


def _classifier(net: NetBuilder) -> None:
    net.global_pool("pool6")
    net.conv("fc7", 1000, 1)
    net.softmax("prob")
