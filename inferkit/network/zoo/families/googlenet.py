"""GoogLeNet (Inception v1, bvlc_googlenet): nine inception modules of four branches each."""

from __future__ import annotations

from inferkit.network.zoo.builder import NetBuilder

# module: outputs of 1x1, 3x3_reduce, 3x3, 5x5_reduce, 5x5, pool_proj
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def googlenet(net: NetBuilder) -> None:
    """GoogLeNet's deploy form: without the two auxiliary classifiers."""
    _conv(net, "conv1", "7x7_s2", 64, 7, stride=2, pad=3)
    net.max_pool("pool1/3x3_s2", 3, 2)
    net.lrn("pool1/norm1")
    _conv(net, "conv2", "3x3_reduce", 64, 1)
    _conv(net, "conv2", "3x3", 192, 3, pad=1)
    net.lrn("conv2/norm2")
    net.max_pool("pool2/3x3_s2", 3, 2)
    for name, outputs in MODULES.items():
        _inception(net, f"inception_{name}", outputs)
        if name in ("3b", "4e"):
            net.max_pool(f"pool{name[0]}/3x3_s2", 3, 2)
    net.ave_pool("pool5/7x7_s1", 7, 1)
    net.dropout("pool5/drop_7x7_s1", 0.4)
    net.fc("loss3/classifier", 1000)
    net.softmax("prob")


def _inception(net: NetBuilder, name: str, outputs: tuple[int, ...]) -> None:
    direct, reduce3, wide3, reduce5, wide5, projected = outputs
    source = net.top
    branches = [_conv(net, name, "1x1", direct, 1, bottom=source)]
    _conv(net, name, "3x3_reduce", reduce3, 1, bottom=source)
    branches.append(_conv(net, name, "3x3", wide3, 3, pad=1))
    _conv(net, name, "5x5_reduce", reduce5, 1, bottom=source)
    branches.append(_conv(net, name, "5x5", wide5, 5, pad=2))
    net.max_pool(f"{name}/pool", 3, 1, pad=1, bottom=source)
    branches.append(_conv(net, name, "pool_proj", projected, 1))
    net.concat(f"{name}/output", branches)


def _conv(
    net: NetBuilder,
    group: str,
    name: str,
    outputs: int,
    kernel: int,
    *,
    stride: int = 1,
    pad: int = 0,
    bottom: str | None = None,
) -> str:
    net.conv(f"{group}/{name}", outputs, kernel, stride=stride, pad=pad, bottom=bottom)
    # The published names: conv1/relu_7x7, though the convolution is conv1/7x7_s2.
    return net.relu(f"{group}/relu_{name.removesuffix('_s2')}")
