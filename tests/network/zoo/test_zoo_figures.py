"""The zoo's networks have the parameters and operations that the literature gives for them."""

from __future__ import annotations

import pytest

from inferkit.network import zoo
from tests.network.zoo.prototxt_arithmetic import figures

# Learned parameters, exactly, and GMAC for one image. Where they come from:
# AlexNet, CaffeNet, VGG, GoogLeNet, SqueezeNet, MobileNet v1, Inception v3 (without the auxiliary classifier),
#   DenseNet: the counts that their authors or torchvision publish (60.97 M, 138.36 M, 143.67 M, 7.0 M, 1.25 M, 1.24 M,
#   4.23 M, 23.83 M, 7.98 M).
# ResNet: 25.557, 44.549 and 60.193 M; the Caffe ResNet-50's first convolution has 64 biases besides.
# MobileNet v2: 3.505 M, and 1,088 for the expansion of its first block, which only the Caffe model spells out.
LITERATURE = {
    "lenet": (431_080, 0.0023),
    "alexnet": (60_965_224, 0.724),
    "caffenet": (60_965_224, 0.724),
    "googlenet": (6_998_552, 1.58),
    "vgg16": (138_357_544, 15.47),
    "vgg19": (143_667_240, 19.63),
    "resnet50": (25_557_032 + 64, 3.86),
    "resnet101": (44_549_160, 7.57),
    "resnet152": (60_192_808, 11.28),
    "squeezenet1_0": (1_248_424, 0.861),
    "squeezenet1_1": (1_235_496, 0.388),
    "mobilenet_v1": (4_231_976, 0.569),
    "mobilenet_v2": (3_504_872 + 32 * 32 + 2 * 32, 0.429),
    "densenet121": (7_978_856, 3.06),
    "inception_v3": (23_834_568, 5.71),
}
# GMAC that differ from the papers', with the reason. SqueezeNet 1.1: 0.35 at 224×224, Caffe's model reads 227×227.
# MobileNet v2: 0.30 where the plane is halved before, not after, the blocks of 64 channels. DenseNet: 2.83 where the
# first pooling rounds down to 56×56; Caffe rounds up to 57×57.


@pytest.mark.parametrize("name", LITERATURE)
def test_parameters_and_operations_are_those_of_the_literature(name: str) -> None:
    parameters, gmac = LITERATURE[name]
    result = figures(zoo.prototxt(name))
    assert result.parameters == parameters
    # Half a unit in the last place that the literature prints, relative: 1.58 is the coarsest.
    assert result.macs / 1e9 == pytest.approx(gmac, rel=0.005 if gmac > 0.01 else 0.01)


@pytest.mark.parametrize("name", zoo.names())
def test_the_builder_counts_as_the_text_does(name: str) -> None:
    net = zoo.build(name)
    result = figures(zoo.prototxt(name))
    assert (net.parameters, net.macs) == (result.parameters, result.macs)
    assert net.shapes == result.shapes


@pytest.mark.parametrize("name", zoo.names())
def test_every_network_reads_data_and_gives_prob(name: str) -> None:
    net = zoo.build(name)
    side = {"alexnet": 227, "caffenet": 227, "squeezenet1_0": 227, "squeezenet1_1": 227, "inception_v3": 299}
    fashion = zoo.is_trained(name)
    assert net.shapes["data"] == ((1, 28, 28) if fashion else (3, side.get(name, 224), side.get(name, 224)))
    assert net.shapes["prob"][0] == (10 if fashion else 1000)
    assert net.layers[-1].tops == ("prob",)


def test_the_networks_asked_for_are_all_there() -> None:
    assert set(zoo.names()) == {*LITERATURE, "fashion_vgg", "fashion_resnet"}
    assert [name for name in zoo.names() if zoo.is_trained(name)] == ["lenet", "fashion_vgg", "fashion_resnet"]
