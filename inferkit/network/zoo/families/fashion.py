"""Two small networks for Fashion-MNIST, the shapes of VGG and ResNet: the ones that are stored trained."""

from __future__ import annotations

from inferkit.network.zoo.builder import NetBuilder


def fashion_vgg(net: NetBuilder) -> None:
    """Six 3×3 convolutions in three stages, then two inner products with Dropout between them."""
    for stage, channels in enumerate((16, 32, 96), start=1):
        for number in (1, 2):
            net.conv(f"conv{stage}_{number}", channels, 3, pad=1)
            net.relu(f"relu{stage}_{number}")
        net.max_pool(f"pool{stage}", 2, 2)
    net.fc("fc4", 256)
    net.relu("relu4")
    net.dropout("drop4")
    net.fc("fc5", 10)
    net.softmax("prob")


def fashion_resnet(net: NetBuilder) -> None:
    """Three stages of two residual blocks (two 3×3 convolutions each), global average pooling, one inner product."""
    net.conv("conv1", 16, 3, pad=1, bias=False)
    net.batch_norm("bn_conv1", "scale_conv1")
    net.relu("conv1_relu")
    for stage, width in enumerate((24, 48, 96), start=2):
        for block in "ab":
            _residual(net, f"{stage}{block}", width, stride=2 if block == "a" else 1)
    net.global_pool("pool5")
    net.fc("fc10", 10)
    net.softmax("prob")


def _residual(net: NetBuilder, block: str, width: int, stride: int) -> None:
    source = net.top
    shortcut = source
    if net.shapes[source][0] != width:
        shortcut = _conv(net, f"{block}_branch1", width, 1, stride=stride, pad=0, bottom=source)
    _conv(net, f"{block}_branch2a", width, 3, stride=stride, pad=1, bottom=source)
    net.relu(f"res{block}_branch2a_relu")
    branch = _conv(net, f"{block}_branch2b", width, 3, stride=1, pad=1)
    net.add(f"res{block}", [shortcut, branch])
    net.relu(f"res{block}_relu")


def _conv(
    net: NetBuilder, name: str, outputs: int, kernel: int, *, stride: int, pad: int, bottom: str | None = None
) -> str:
    net.conv(f"res{name}", outputs, kernel, stride=stride, pad=pad, bias=False, bottom=bottom)
    return net.batch_norm(f"bn{name}", f"scale{name}")
