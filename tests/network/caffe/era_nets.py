"""All networks in the style of the public models of 2013 to 2017."""

from tests.network.caffe.era_classifiers import (
    AGES,
    ATTRIBUTES,
    CAFFENET,
    CIFAR10,
    DENSENET,
    GOOGLENET,
    IMAGENET_2013,
    LENET,
    NIN,
    RCNN,
    RESNET,
    SQUEEZENET,
    VGG,
)
from tests.network.caffe.era_others import (
    AUTOENCODER,
    COLORIZATION,
    FCN,
    HED,
    LIGHT_CNN,
    MTCNN,
    POSE,
    SIAMESE,
    SUPERRESOLUTION,
)
from tests.network.caffe.era_text import EraNet as EraNet

ALL = (
    *(CAFFENET, VGG, IMAGENET_2013, LENET, NIN, CIFAR10, GOOGLENET, SIAMESE, AUTOENCODER, FCN, DENSENET, RESNET),
    *(SQUEEZENET, MTCNN, HED, ATTRIBUTES, POSE, RCNN, LIGHT_CNN, SUPERRESOLUTION, COLORIZATION, AGES),
)
