"""The catalogue of the zoo: each network's name, its input shape and the function that builds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

from inferkit.errors import UsageError
from inferkit.network.zoo.builder import NetBuilder, Shape
from inferkit.network.zoo.families.alexnet import alexnet, caffenet
from inferkit.network.zoo.families.densenet import densenet121
from inferkit.network.zoo.families.fashion import fashion_resnet, fashion_vgg
from inferkit.network.zoo.families.googlenet import googlenet
from inferkit.network.zoo.families.inception import inception_v3
from inferkit.network.zoo.families.lenet import lenet
from inferkit.network.zoo.families.mobilenet import mobilenet_v1, mobilenet_v2
from inferkit.network.zoo.families.reference import memory_1, reference_1, reference_2
from inferkit.network.zoo.families.resnet import resnet50, resnet101, resnet152
from inferkit.network.zoo.families.squeezenet import squeezenet1_0, squeezenet1_1
from inferkit.network.zoo.families.vgg import vgg16, vgg19


@dataclass(frozen=True)
class ZooNetwork:
    """One network: the function that writes its layers, the shape of one image, and whether it is stored trained."""

    family: Callable[[NetBuilder], None]
    input_shape: Shape
    trained: bool = False


FASHION = (1, 28, 28)
CATALOGUE: dict[str, ZooNetwork] = {
    "lenet": ZooNetwork(lenet, FASHION, trained=True),
    "fashion_vgg": ZooNetwork(fashion_vgg, FASHION, trained=True),
    "fashion_resnet": ZooNetwork(fashion_resnet, FASHION, trained=True),
    "alexnet": ZooNetwork(alexnet, (3, 227, 227)),
    "caffenet": ZooNetwork(caffenet, (3, 227, 227)),
    "googlenet": ZooNetwork(googlenet, (3, 224, 224)),
    "vgg16": ZooNetwork(vgg16, (3, 224, 224)),
    "vgg19": ZooNetwork(vgg19, (3, 224, 224)),
    "resnet50": ZooNetwork(resnet50, (3, 224, 224)),
    "resnet101": ZooNetwork(resnet101, (3, 224, 224)),
    "resnet152": ZooNetwork(resnet152, (3, 224, 224)),
    "squeezenet1_0": ZooNetwork(squeezenet1_0, (3, 227, 227)),
    "squeezenet1_1": ZooNetwork(squeezenet1_1, (3, 227, 227)),
    "mobilenet_v1": ZooNetwork(mobilenet_v1, (3, 224, 224)),
    "mobilenet_v2": ZooNetwork(mobilenet_v2, (3, 224, 224)),
    "densenet121": ZooNetwork(densenet121, (3, 224, 224)),
    "inception_v3": ZooNetwork(inception_v3, (3, 299, 299)),
}

# They show whether the machine changed, not the engine; no user's network, so in no list.
REFERENCES: dict[str, ZooNetwork] = {
    "reference-1": ZooNetwork(reference_1, (3, 64, 64)),
    "reference-2": ZooNetwork(reference_2, (16, 14, 14)),
    "memory-1": ZooNetwork(memory_1, (1, 256, 256)),
}


def entry(name: str) -> ZooNetwork:
    """The entry called `name`; UsageError names the nearest ones where there is none."""
    for entries in (CATALOGUE, REFERENCES):
        if name in entries:
            return entries[name]
    near = get_close_matches(name, CATALOGUE) or list(CATALOGUE)
    raise UsageError(f"the zoo has no network called {name!r}; it has {', '.join(near)}")


def build(name: str) -> NetBuilder:
    """The network called `name`, built: its layers, shapes and prototxt."""
    network = entry(name)
    net = NetBuilder(name, network.input_shape)
    network.family(net)
    return net
