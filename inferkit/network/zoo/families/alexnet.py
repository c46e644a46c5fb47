"""AlexNet and CaffeNet: the same layers, but AlexNet normalizes before it pools and CaffeNet after."""

from __future__ import annotations

from inferkit.network.zoo.builder import NetBuilder


def alexnet(net: NetBuilder, *, normalize_first: bool = True) -> None:
    """Krizhevsky's network in Caffe's two-group form (bvlc_alexnet)."""
    groups = {"1": (96, 11, 4, 0, 1), "2": (256, 5, 1, 2, 2)}
    for number, (outputs, kernel, stride, pad, group) in groups.items():
        net.conv(f"conv{number}", outputs, kernel, stride=stride, pad=pad, group=group)
        net.relu(f"relu{number}")
        if normalize_first:
            net.lrn(f"norm{number}")
        net.max_pool(f"pool{number}", 3, 2)
        if not normalize_first:
            net.lrn(f"norm{number}")
    net.conv("conv3", 384, 3, pad=1)
    net.relu("relu3")
    net.conv("conv4", 384, 3, pad=1, group=2)
    net.relu("relu4")
    net.conv("conv5", 256, 3, pad=1, group=2)
    net.relu("relu5")
    net.max_pool("pool5", 3, 2)
    classifier(net)


def caffenet(net: NetBuilder) -> None:
    """bvlc_reference_caffenet."""
    alexnet(net, normalize_first=False)


def classifier(net: NetBuilder) -> None:
    """The three inner products that AlexNet, CaffeNet and VGG end with."""
    for number in (6, 7):
        net.fc(f"fc{number}", 4096)
        net.relu(f"relu{number}")
        net.dropout(f"drop{number}")
    net.fc("fc8", 1000)
    net.softmax("prob")
