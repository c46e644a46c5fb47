"""VGG: stages of 3×3 convolutions, each stage ended by a 2×2 max-pool (VGG_ILSVRC_16_layers and _19_layers)."""

from __future__ import annotations

from inferkit.network.zoo.builder import NetBuilder
from inferkit.network.zoo.families.alexnet import classifier


def vgg16(net: NetBuilder) -> None:
    """VGG with 13 convolutions."""
    _vgg(net, (2, 2, 3, 3, 3))


def vgg19(net: NetBuilder) -> None:
    """VGG with 16 convolutions."""
    _vgg(net, (2, 2, 4, 4, 4))


def _vgg(net: NetBuilder, depths: tuple[int, ...]) -> None:
    for stage, (depth, channels) in enumerate(zip(depths, (64, 128, 256, 512, 512), strict=True), start=1):
        for number in range(1, depth + 1):
            net.conv(f"conv{stage}_{number}", channels, 3, pad=1)
            net.relu(f"relu{stage}_{number}")
        net.max_pool(f"pool{stage}", 2, 2)
    classifier(net)
