"""LeNet as in Caffe's MNIST example: two convolutions, two max-pools, two inner products, one ReLU."""

from __future__ import annotations

from inferkit.network.zoo.builder import NetBuilder


def lenet(net: NetBuilder) -> None:
    """LeNet for one-channel 28×28 images and 10 classes."""
    net.conv("conv1", 20, 5)
    net.max_pool("pool1", 2, 2)
    net.conv("conv2", 50, 5)
    net.max_pool("pool2", 2, 2)
    net.fc("ip1", 500)
    net.relu("relu1")
    net.fc("ip2", 10)
    net.softmax("prob")
