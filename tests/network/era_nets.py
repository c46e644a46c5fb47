"""Networks in the manner of the public models of 2013 to 2017, small: their structure, forms and habits of writing.

Each has a deploy prototxt, most a training prototxt too. Numbers of channels and sizes are reduced, not the structure.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EraNet:
    """`train` has data and loss layers; `outputs` maps its inference part's outputs to the deploy prototxt's."""

    name: str
    deploy: str
    train: str = ""
    outputs: tuple[tuple[str, str], ...] = (("prob", "prob"),)


def _layer(kind: str, name: str, bottoms: str, tops: str, more: str = "") -> str:
    ends = [f'bottom: "{bottom}"' for bottom in bottoms.split()] + [f'top: "{top}"' for top in tops.split()]
    return f'layer {{ name: "{name}" type: "{kind}" {" ".join(ends)} {more} }}\n'


def _conv(name: str, bottom: str, outputs: int, kernel: int, more: str = "", relu: bool = True) -> str:
    rates = "param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }"
    filler = 'weight_filler { type: "gaussian" std: 0.01 } bias_filler { type: "constant" value: 0.2 }'
    text = _layer(
        "Convolution",
        name,
        bottom,
        name,
        f"{rates} convolution_param {{ num_output: {outputs} kernel_size: {kernel} {more} {filler} }}",
    )
    return text + (_layer("ReLU", f"relu_{name}", name, name) if relu else "")


def _fc(name: str, bottom: str, outputs: int) -> str:
    more = f'inner_product_param {{ num_output: {outputs} weight_filler {{ type: "xavier" }} }}'
    return _layer("InnerProduct", name, bottom, name, more)


def _pool(name: str, bottom: str, more: str) -> str:
    return _layer("Pooling", name, bottom, name, f"pooling_param {{ {more} }}")


def _input(*shape: int, name: str = "data") -> str:
    return _layer("Input", name, "", name, f"input_param {{ shape: {{ {' '.join(f'dim: {dim}' for dim in shape)} }} }}")


def _train_data(crop: int, batch: int = 8, more: str = "") -> str:
    """The two Data layers of a train_val prototxt."""
    text = ""
    for phase, mirror, size in (("TRAIN", "true", 256), ("TEST", "false", batch)):
        text += f"""layer {{
  name: "data"
  type: "Data"
  top: "data"
  top: "label"
  include {{
    phase: {phase}
  }}
  transform_param {{
    mirror: {mirror}
    {f"crop_size: {crop}" if crop else ""}
    mean_file: "data/ilsvrc12/imagenet_mean.binaryproto"
    {more}
  }}
  data_param {{
    source: "examples/imagenet/ilsvrc12_{phase.lower()}_lmdb"
    batch_size: {size}
    backend: LMDB
  }}
}}
"""
    return text


def _judges(logits: str, accuracy: str = "accuracy", loss: str = "loss", weight: str = "") -> str:
    return _layer("Accuracy", accuracy, f"{logits} label", accuracy, "include { phase: TEST }") + _layer(
        "SoftmaxWithLoss", loss, f"{logits} label", loss, weight
    )


def _softmax(logits: str, top: str = "prob") -> str:
    return _layer("Softmax", top, logits, top)


# CaffeNet: pool before norm, groups, dropout in place.

_CAFFENET = (
    _conv("conv1", "data", 8, 11, "stride: 4")
    + _pool("pool1", "conv1", "pool: MAX kernel_size: 3 stride: 2")
    + _layer("LRN", "norm1", "pool1", "norm1", "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")
    + _conv("conv2", "norm1", 12, 5, "pad: 2 group: 2")
    + _pool("pool2", "conv2", "pool: MAX kernel_size: 3 stride: 2")
    + _layer("LRN", "norm2", "pool2", "norm2", "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")
    + _conv("conv3", "norm2", 12, 3, "pad: 1")
    + _conv("conv4", "conv3", 12, 3, "pad: 1 group: 2")
    + _pool("pool5", "conv4", "pool: MAX kernel_size: 3 stride: 2")
    + _fc("fc6", "pool5", 16)
    + _layer("ReLU", "relu6", "fc6", "fc6")
    + _layer("Dropout", "drop6", "fc6", "fc6", "dropout_param { dropout_ratio: 0.5 }")
    + _fc("fc8", "fc6", 10)
)
CAFFENET = EraNet(
    "caffenet",
    'name: "CaffeNet"\n' + _input(2, 3, 67, 67) + _CAFFENET + _softmax("fc8"),
    'name: "CaffeNet"\n' + _train_data(67) + _CAFFENET + _judges("fc8"),
)

# VGG as its authors published it: `layers`, enum types, input_dim, and blobs_lr in the training file.

_VGG = """
layers { bottom: "data" top: "conv1_1" name: "conv1_1" type: CONVOLUTION
         convolution_param { num_output: 6 pad: 1 kernel_size: 3 } }
layers { bottom: "conv1_1" top: "conv1_1" name: "relu1_1" type: RELU }
layers { bottom: "conv1_1" top: "conv1_2" name: "conv1_2" type: CONVOLUTION blobs_lr: 1 blobs_lr: 2
         weight_decay: 1 weight_decay: 0 convolution_param { num_output: 6 pad: 1 kernel_size: 3 } }
layers { bottom: "conv1_2" top: "conv1_2" name: "relu1_2" type: RELU }
layers { bottom: "conv1_2" top: "pool1" name: "pool1" type: POOLING
         pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layers { bottom: "pool1" top: "fc6" name: "fc6" type: INNER_PRODUCT inner_product_param { num_output: 12 } }
layers { bottom: "fc6" top: "fc6" name: "relu6" type: RELU }
layers { bottom: "fc6" top: "fc6" name: "drop6" type: DROPOUT dropout_param { dropout_ratio: 0.5 } }
layers { bottom: "fc6" top: "fc8" name: "fc8" type: INNER_PRODUCT inner_product_param { num_output: 10 } }
"""
VGG = EraNet(
    "vgg",
    'name: "VGG_ILSVRC"\ninput: "data"\ninput_dim: 2\ninput_dim: 3\ninput_dim: 15\ninput_dim: 15\n'
    + _VGG
    + 'layers { bottom: "fc8" top: "prob" name: "prob" type: SOFTMAX }\n',
    'name: "VGG_ILSVRC"\n'
    + """
layers { top: "data" top: "label" name: "data" type: DATA include { phase: TEST }
         data_param { source: "val_lmdb" batch_size: 4 crop_size: 15 mirror: false mean_file: "m" backend: LMDB } }
layers { top: "data" top: "label" name: "data" type: DATA exclude { phase: TEST }
         data_param { source: "train_lmdb" batch_size: 64 crop_size: 15 mirror: true scale: 0.5 } }
"""
    + _VGG
    + """
layers { name: "loss/loss" type: SOFTMAX_LOSS bottom: "fc8" bottom: "label" top: "loss/loss" }
layers { name: "accuracy/top1" type: ACCURACY bottom: "fc8" bottom: "label" top: "accuracy@1"
         include { phase: TEST } accuracy_param { top_k: 1 } }
layers { name: "accuracy/top5" type: ACCURACY bottom: "fc8" bottom: "label" top: "accuracy@5"
         include { phase: TEST } accuracy_param { top_k: 5 } }
""",
)

# The first ImageNet models of 2013: an inner `layer`, padding layers, lower-case types.

_V0 = """
layers { layer { name: "conv1" type: "conv" num_output: 8 kernelsize: 7 stride: 3
                 weight_filler { type: "gaussian" std: 0.01 } bias_filler { type: "constant" value: 0. }
                 blobs_lr: 1. blobs_lr: 2. weight_decay: 1. weight_decay: 0. } bottom: "data" top: "conv1" }
layers { layer { name: "relu1" type: "relu" } bottom: "conv1" top: "conv1" }
layers { layer { name: "pool1" type: "pool" pool: MAX kernelsize: 3 stride: 2 } bottom: "conv1" top: "pool1" }
layers { layer { name: "norm1" type: "lrn" local_size: 5 alpha: 0.0001 beta: 0.75 } bottom: "pool1" top: "norm1" }
layers { layer { name: "pad2" type: "padding" pad: 2 } bottom: "norm1" top: "pad2" }
layers { layer { name: "conv2" type: "conv" num_output: 8 group: 2 kernelsize: 5 biasterm: true }
         bottom: "pad2" top: "conv2" }
layers { layer { name: "relu2" type: "relu" } bottom: "conv2" top: "conv2" }
layers { layer { name: "pool2" type: "pool" pool: AVE kernelsize: 3 stride: 2 } bottom: "conv2" top: "pool2" }
layers { layer { name: "fc6" type: "innerproduct" num_output: 12 } bottom: "pool2" top: "fc6" }
layers { layer { name: "relu6" type: "relu" } bottom: "fc6" top: "fc6" }
layers { layer { name: "drop6" type: "dropout" dropout_ratio: 0.5 } bottom: "fc6" top: "fc6" }
layers { layer { name: "fc8" type: "innerproduct" num_output: 10 } bottom: "fc6" top: "fc8" }
"""
IMAGENET_2013 = EraNet(
    "imagenet_2013",
    'input: "data" input_dim: 2 input_dim: 3 input_dim: 37 input_dim: 37\n'
    + _V0
    + 'layers { layer { name: "prob" type: "softmax" } bottom: "fc8" top: "prob" }\n',
    """
layers { layer { name: "data" type: "data" source: "/data/ilsvrc12_leveldb" meanfile: "/data/mean.binaryproto"
                 batchsize: 4 cropsize: 37 mirror: false } top: "data" top: "label" }
"""
    + _V0
    + """
layers { layer { name: "prob" type: "softmax" } bottom: "fc8" top: "prob" }
layers { layer { name: "accuracy" type: "accuracy" } bottom: "prob" bottom: "label" top: "accuracy" }
""",
)

# LeNet with scale and shared-rate params, from an LMDB without crop_size: the caller gives the shape.

_LENET = (
    _conv("conv1", "data", 6, 5, "stride: 1", relu=False)
    + _pool("pool1", "conv1", "pool: MAX kernel_size: 2 stride: 2")
    + _conv("conv2", "pool1", 8, 5, "stride: 1", relu=False)
    + _pool("pool2", "conv2", "pool: MAX kernel_size: 2 stride: 2")
    + _fc("ip1", "pool2", 16)
    + _layer("ReLU", "relu1", "ip1", "ip1")
    + _fc("ip2", "ip1", 10)
)
LENET = EraNet(
    "lenet",
    'name: "LeNet"\n' + _input(2, 1, 28, 28) + _LENET + _softmax("ip2"),
    'name: "LeNet"\n' + _train_data(28, more="scale: 0.00390625") + _LENET + _judges("ip2"),
)

# Network in network: 1x1 convolutions, global average pooling, loss on a four-axis blob.

_NIN = (
    _conv("conv1", "data", 8, 5, "pad: 2")
    + _conv("cccp1", "conv1", 8, 1, "group: 1")
    + _conv("cccp2", "cccp1", 6, 1)
    + _pool("pool1", "cccp2", "pool: MAX kernel_size: 3 stride: 2")
    + _layer("Dropout", "drop3", "pool1", "pool1", "dropout_param { dropout_ratio: 0.5 }")
    + _conv("cccp6", "pool1", 10, 1)
    + _layer("Pooling", "pool3", "cccp6", "pool3", "pooling_param { pool: AVE global_pooling: true }")
)
NIN = EraNet(
    "nin",
    _input(2, 3, 16, 16) + _NIN + _softmax("pool3"),
    _train_data(16) + _NIN + _judges("pool3"),
)

# CIFAR-10 full: overlapping max, ReLU after the pool, average pools, LRN within the channel.

_CIFAR = (
    _conv("conv1", "data", 8, 5, "pad: 2 stride: 1", relu=False)
    + _pool("pool1", "conv1", "pool: MAX kernel_size: 3 stride: 2")
    + _layer("ReLU", "relu1", "pool1", "pool1")
    + _layer(
        "LRN",
        "norm1",
        "pool1",
        "norm1",
        "lrn_param { local_size: 3 alpha: 5e-05 beta: 0.75 norm_region: WITHIN_CHANNEL }",
    )
    + _conv("conv2", "norm1", 8, 5, "pad: 2 stride: 1")
    + _pool("pool2", "conv2", "pool: AVE kernel_size: 3 stride: 2")
    + _fc("ip1", "pool2", 10)
)
CIFAR10 = EraNet(
    "cifar10_full",
    _input(2, 3, 32, 32) + _CIFAR + _softmax("ip1"),
    _train_data(32) + _CIFAR + _judges("ip1"),
)

# GoogLeNet: inception modules, two auxiliary classifiers of weight 0.3, accuracies at each head.


def _inception(name: str, bottom: str) -> str:
    at = f"inception_{name}/"
    return (
        _conv(f"{at}1x1", bottom, 4, 1)
        + _conv(f"{at}3x3_reduce", bottom, 3, 1)
        + _conv(f"{at}3x3", f"{at}3x3_reduce", 5, 3, "pad: 1")
        + _conv(f"{at}5x5_reduce", bottom, 2, 1)
        + _conv(f"{at}5x5", f"{at}5x5_reduce", 3, 5, "pad: 2")
        + _pool(f"{at}pool", bottom, "pool: MAX kernel_size: 3 stride: 1 pad: 1")
        + _conv(f"{at}pool_proj", f"{at}pool", 3, 1)
        + _layer("Concat", f"{at}output", f"{at}1x1 {at}3x3 {at}5x5 {at}pool_proj", f"{at}output")
    )


def _auxiliary(name: str, bottom: str) -> str:
    return (
        _pool(f"{name}/ave_pool", bottom, "pool: AVE kernel_size: 5 stride: 3")
        + _conv(f"{name}/conv", f"{name}/ave_pool", 4, 1)
        + _fc(f"{name}/fc", f"{name}/conv", 8)
        + _layer("ReLU", f"{name}/relu_fc", f"{name}/fc", f"{name}/fc")
        + _layer("Dropout", f"{name}/drop_fc", f"{name}/fc", f"{name}/fc", "dropout_param { dropout_ratio: 0.7 }")
        + _fc(f"{name}/classifier", f"{name}/fc", 10)
    )


def _head(name: str, weight: float, top: int) -> str:
    text = _layer(
        "SoftmaxWithLoss", f"{name}/loss", f"{name}/classifier label", f"{name}/loss{top}", f"loss_weight: {weight}"
    )
    for k in (1, 5):
        more = f"include {{ phase: TEST }} accuracy_param {{ top_k: {k} }}"
        text += _layer("Accuracy", f"{name}/top-{k}", f"{name}/classifier label", f"{name}/top-{k}", more)
    return text


_STEM = (
    _conv("conv1/7x7_s2", "data", 6, 7, "pad: 3 stride: 2")
    + _pool("pool1/3x3_s2", "conv1/7x7_s2", "pool: MAX kernel_size: 3 stride: 2")
    + _layer(
        "LRN", "pool1/norm1", "pool1/3x3_s2", "pool1/norm1", "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }"
    )
    + _inception("3a", "pool1/norm1")
)
_LAST = (
    _inception("4a", "inception_3a/output")
    + _pool("pool5/7x7_s1", "inception_4a/output", "pool: AVE kernel_size: 10 stride: 1")
    + _layer("Dropout", "pool5/drop", "pool5/7x7_s1", "pool5/7x7_s1", "dropout_param { dropout_ratio: 0.4 }")
    + _fc("loss3/classifier", "pool5/7x7_s1", 10)
)
GOOGLENET = EraNet(
    "googlenet",
    _input(2, 3, 40, 40) + _STEM + _LAST + _softmax("loss3/classifier"),
    _train_data(40, more="mean_value: 104 mean_value: 117 mean_value: 123").replace("mean_file", "# mean_file")
    + _STEM
    + _auxiliary("loss1", "inception_3a/output")
    + _head("loss1", 0.3, 1)
    + _inception("4a", "inception_3a/output")
    + _auxiliary("loss2", "inception_4a/output")
    + _head("loss2", 0.3, 1)
    + _pool("pool5/7x7_s1", "inception_4a/output", "pool: AVE kernel_size: 10 stride: 1")
    + _layer("Dropout", "pool5/drop", "pool5/7x7_s1", "pool5/7x7_s1", "dropout_param { dropout_ratio: 0.4 }")
    + _fc("loss3/classifier", "pool5/7x7_s1", 10)
    + _head("loss3", 1, 3),
)

# A siamese network: two branches that share every parameter by name.


def _branch(end: str, bottom: str) -> str:
    names = 'param {{ name: "{0}_w" lr_mult: 1 }} param {{ name: "{0}_b" lr_mult: 2 }}'
    return (
        _layer(
            "Convolution",
            f"conv1{end}",
            bottom,
            f"conv1{end}",
            names.format("conv1")
            + ' convolution_param { num_output: 5 kernel_size: 5 weight_filler { type: "xavier" } }',
        )
        + _pool(f"pool1{end}", f"conv1{end}", "pool: MAX kernel_size: 2 stride: 2")
        + _layer(
            "InnerProduct",
            f"feat{end}",
            f"pool1{end}",
            f"feat{end}",
            names.format("feat") + ' inner_product_param { num_output: 2 weight_filler { type: "xavier" } }',
        )
    )


_CUT = _layer("Slice", "slice_pair", "pair_data", "data data_p", "slice_param { slice_dim: 1 slice_point: 1 }")
SIAMESE = EraNet(
    "siamese",
    _input(2, 2, 16, 16, name="pair_data") + _CUT + _branch("", "data") + _branch("_p", "data_p"),
    _train_data(16).replace('"data"\n  top: "label"', '"pair_data"\n  top: "sim"')
    + _CUT
    + _branch("", "data")
    + _branch("_p", "data_p")
    + _layer("ContrastiveLoss", "loss", "feat feat_p sim", "loss", "contrastive_loss_param { margin: 1 }"),
    (("feat", "feat"), ("feat_p", "feat_p")),
)

# An autoencoder: the image is its own target, flattened.

_CODER = (
    _fc("encode1", "flatdata", 12)
    + _layer("Sigmoid", "encode1neuron", "encode1", "encode1neuron")
    + _fc("decode1", "encode1neuron", 36)
)
AUTOENCODER = EraNet(
    "autoencoder",
    _input(2, 1, 6, 6)
    + _layer("Flatten", "flatdata", "data", "flatdata")
    + _CODER
    + _layer("Sigmoid", "decode1neuron", "decode1", "decode1neuron"),
    _train_data(6).replace('top: "label"', "").replace("phase: TEST", 'phase: TEST stage: "test-on-test"')
    + _layer("Flatten", "flatdata", "data", "flatdata")
    + _CODER
    + _layer("SigmoidCrossEntropyLoss", "loss", "decode1 flatdata", "cross_entropy_loss", "loss_weight: 1")
    + _layer("Sigmoid", "decode1neuron", "decode1", "decode1neuron")
    + _layer("EuclideanLoss", "loss2", "decode1neuron flatdata", "l2_error", "loss_weight: 0"),
    (("decode1neuron", "decode1neuron"),),
)

# A fully convolutional network: pad 100, bilinear Deconvolution without learning, Crop with offsets, skip and sum.

_UP = "param { lr_mult: 0 } convolution_param { num_output: 4 bias_term: false group: 4 %s }"
_FCN = (
    _conv("conv1_1", "data", 6, 3, "pad: 20")
    + _pool("pool1", "conv1_1", "pool: MAX kernel_size: 2 stride: 2")
    + _conv("conv2_1", "pool1", 8, 3, "pad: 1")
    + _pool("pool2", "conv2_1", "pool: MAX kernel_size: 2 stride: 2")
    + _conv("fc6", "pool2", 10, 5, "pad: 0")
    + _layer("Dropout", "drop6", "fc6", "fc6", "dropout_param { dropout_ratio: 0.5 }")
    + _conv("score_fr", "fc6", 4, 1, relu=False)
    + _layer(
        "Deconvolution",
        "upscore2",
        "score_fr",
        "upscore2",
        _UP.replace(" group: 4", "") % "kernel_size: 4 stride: 2",
    )
    + _conv("score_pool1", "pool1", 4, 1, relu=False)
    + _layer("Crop", "score_pool1c", "score_pool1 upscore2", "score_pool1c", "crop_param { axis: 2 offset: 4 }")
    + _layer("Eltwise", "fuse", "upscore2 score_pool1c", "fuse", "eltwise_param { operation: SUM }")
    + _layer(
        "Deconvolution",
        "upscore",
        "fuse",
        "upscore",
        _UP % 'kernel_size: 4 stride: 2 weight_filler { type: "bilinear" }',
    )
    + _layer("Crop", "score", "upscore data", "score", "crop_param { axis: 2 offset: 13 }")
)
FCN = EraNet(
    "fcn",
    _input(1, 3, 21, 26) + _FCN,
    _layer("Python", "data", "", "data label", 'python_param { module: "voc_layers" layer: "SBDDSegDataLayer" }')
    + _FCN
    + _layer("SoftmaxWithLoss", "loss", "score label", "loss", "loss_param { ignore_label: 255 normalize: false }"),
    (("prob", "softmax of score"),),
)

# DenseNet: BatchNorm, Scale and ReLU in place, each layer's output joined to all before it.


def _dense(number: int, bottom: str) -> str:
    at = f"conv2_{number}"
    return (
        _layer("BatchNorm", f"{at}/bn", bottom, f"{at}/bn", "batch_norm_param { eps: 1e-5 }")
        + _layer("Scale", f"{at}/scale", f"{at}/bn", f"{at}/bn", "scale_param { bias_term: true }")
        + _layer("ReLU", f"{at}/relu", f"{at}/bn", f"{at}/bn")
        + _layer(
            "Convolution",
            at,
            f"{at}/bn",
            at,
            'convolution_param { num_output: 4 bias_term: false pad: 1 kernel_size: 3 weight_filler { type: "msra" } }',
        )
        + _layer("Concat", f"concat_2_{number}", f"{bottom} {at}", f"concat_2_{number}")
    )


_DENSE = (
    _conv("conv1", "data", 6, 7, "pad: 3 stride: 2", relu=False)
    + _pool("pool1", "conv1", "pool: MAX kernel_size: 3 stride: 2 pad: 1")
    + _dense(1, "pool1")
    + _dense(2, "concat_2_1")
    + _layer("BatchNorm", "bn_last", "concat_2_2", "concat_2_2", "param { lr_mult: 0 } param { lr_mult: 0 } param { }")
    + _layer("Scale", "scale_last", "concat_2_2", "concat_2_2", "scale_param { filler { value: 1 } bias_term: true }")
    + _layer("ReLU", "relu_last", "concat_2_2", "concat_2_2")
    + _layer("Pooling", "pool_last", "concat_2_2", "pool_last", "pooling_param { pool: AVE global_pooling: true }")
    + _conv("fc6", "pool_last", 10, 1, relu=False)
)
DENSENET = EraNet(
    "densenet",
    _input(2, 3, 32, 32) + _DENSE + _softmax("fc6"),
    _train_data(32) + _DENSE + _judges("fc6"),
)

# ResNet: normalization in place, a projection branch, sums.

_RESNET = (
    _conv("conv1", "data", 6, 7, "pad: 3 stride: 2", relu=False)
    + _layer("BatchNorm", "bn_conv1", "conv1", "conv1", "batch_norm_param { use_global_stats: true }")
    + _layer("Scale", "scale_conv1", "conv1", "conv1", "scale_param { bias_term: true }")
    + _layer("ReLU", "conv1_relu", "conv1", "conv1")
    + _pool("pool1", "conv1", "kernel_size: 3 stride: 2 pool: MAX")
    + "".join(
        _conv(f"res2a_{branch}", bottom, 8, kernel, f"pad: {kernel // 2} bias_term: false", relu=False)
        + _layer("BatchNorm", f"bn2a_{branch}", f"res2a_{branch}", f"res2a_{branch}")
        + _layer("Scale", f"scale2a_{branch}", f"res2a_{branch}", f"res2a_{branch}", "scale_param { bias_term: true }")
        for branch, bottom, kernel in (("branch1", "pool1", 1), ("branch2a", "pool1", 3))
    ).replace("param { lr_mult: 2 decay_mult: 0 }", "")
    + _layer("Eltwise", "res2a", "res2a_branch1 res2a_branch2a", "res2a")
    + _layer("ReLU", "res2a_relu", "res2a", "res2a")
    + _pool("pool5", "res2a", "kernel_size: 8 stride: 1 pool: AVE")
    + _fc("fc", "pool5", 10)
)
RESNET = EraNet("resnet", _input(2, 3, 33, 33) + _RESNET + _softmax("fc"), _train_data(33) + _RESNET + _judges("fc"))

# SqueezeNet: fire modules, the data layers in the old place of scale and means, loss on the last pool.


def _fire(name: str, bottom: str) -> str:
    return (
        _conv(f"{name}/squeeze1x1", bottom, 4, 1)
        + _conv(f"{name}/expand1x1", f"{name}/squeeze1x1", 6, 1)
        + _conv(f"{name}/expand3x3", f"{name}/squeeze1x1", 6, 3, "pad: 1")
        + _layer("Concat", f"{name}/concat", f"{name}/expand1x1 {name}/expand3x3", f"{name}/concat")
    )


_SQUEEZENET = (
    _conv("conv1", "data", 8, 3, "stride: 2")
    + _pool("pool1", "conv1", "pool: MAX kernel_size: 3 stride: 2")
    + _fire("fire2", "pool1")
    + _fire("fire3", "fire2/concat")
    + _layer("Dropout", "drop9", "fire3/concat", "fire3/concat", "dropout_param { dropout_ratio: 0.5 }")
    + _conv("conv10", "fire3/concat", 10, 1)
    + _layer("Pooling", "pool10", "conv10", "pool10", "pooling_param { pool: AVE global_pooling: true }")
)
SQUEEZENET = EraNet(
    "squeezenet",
    _input(2, 3, 31, 31) + _SQUEEZENET + _softmax("pool10"),
    _train_data(31) + _SQUEEZENET + _layer("SoftmaxWithLoss", "loss", "pool10 label", "loss", "include { phase: TRAIN }")
    + _layer("Accuracy", "accuracy", "pool10 label", "accuracy", "include { phase: TEST }"),
)  # fmt: skip

# A cascade's small detector: PReLU, rectangular input, two heads on one trunk, softmax over an inner axis.

MTCNN = EraNet(
    "detector",
    'name: "PNet"\ninput: "data"\ninput_dim: 1\ninput_dim: 3\ninput_dim: 12\ninput_dim: 17\n'
    + _conv("conv1", "data", 6, 3, relu=False)
    + _layer("PReLU", "PReLU1", "conv1", "conv1")
    + _pool("pool1", "conv1", "pool: MAX kernel_size: 2 stride: 2")
    + _conv("conv2", "pool1", 8, 3, relu=False)
    + _layer("PReLU", "PReLU2", "conv2", "conv2", "prelu_param { channel_shared: true }")
    + _conv("conv4-1", "conv2", 2, 1, relu=False)
    + _conv("conv4-2", "conv2", 4, 1, relu=False)
    + _layer("Softmax", "prob1", "conv4-1", "prob1"),
)

# Edges from side outputs: one loss for each of them and for their fusion, all of weight 1, all on one label.


def _side(number: int, bottom: str, stride: int) -> str:
    name = f"score-dsn{number}"
    kernel = 2 * stride
    text = _conv(name, bottom, 1, 1, relu=False)
    more = f"convolution_param {{ kernel_size: {kernel} stride: {stride} num_output: 1 "
    text += _layer("Deconvolution", f"up{number}", name, f"up{number}", more + 'weight_filler { type: "bilinear" } }')
    return text + _layer(
        "Crop", f"crop{number}", f"up{number} data", f"upscore-dsn{number}", "crop_param { offset: 1 }"
    )


_HED = (
    _conv("conv1", "data", 6, 3, "pad: 5")
    + _pool("pool1", "conv1", "pool: MAX kernel_size: 2 stride: 2")
    + _conv("conv2", "pool1", 6, 3, "pad: 1")
    + _side(1, "pool1", 2)
    + _side(2, "conv2", 2)
    + _layer("Concat", "concat", "upscore-dsn1 upscore-dsn2", "concat-upscore", "concat_param { concat_dim: 1 }")
    + _conv("new-score-weighting", "concat-upscore", 1, 1, relu=False)
)
_HED_LOSS = "".join(
    _layer("SigmoidCrossEntropyLoss", f"loss-{blob}", f"{blob} label", f"loss-{blob}", "loss_weight: 1")
    for blob in ("upscore-dsn1", "upscore-dsn2", "new-score-weighting")
)
HED = EraNet(
    "edges",
    _input(1, 3, 14, 18)
    + _HED
    + "".join(
        _layer("Sigmoid", f"sigmoid-{blob}", blob, f"{blob}_prob")
        for blob in ("upscore-dsn1", "upscore-dsn2", "new-score-weighting")
    ),
    _layer("ImageData", "data", "", "data label", "image_data_param { batch_size: 1 new_height: 14 new_width: 18 }")
    + _HED
    + _HED_LOSS,
    tuple((name, name) for name in ("upscore-dsn1_prob", "upscore-dsn2_prob", "new-score-weighting_prob")),
)

# Several attributes of a face at once: labels cut apart, one head each, equal weights.

_FACE = (
    _conv("conv1", "data", 6, 3)
    + _pool("pool1", "conv1", "pool: MAX kernel_size: 2 stride: 2")
    + _fc("fc_age", "pool1", 8)
    + _fc("fc_gender", "pool1", 2)
)
ATTRIBUTES = EraNet(
    "attributes",
    _input(2, 3, 12, 12) + _FACE + _softmax("fc_age", "fc_age_prob") + _softmax("fc_gender", "fc_gender_prob"),
    _train_data(12)
    + _layer("Slice", "labels", "label", "age gender other", "slice_param { axis: 1 slice_point: 1 slice_point: 2 }")
    + _layer("Silence", "ignore", "other", "")
    + _FACE
    + _judges("fc_age", "acc_age", "loss_age").replace('"label"', '"age"')
    + _judges("fc_gender", "acc_gender", "loss_gender", "loss_weight: 0.5").replace('"label"', '"gender"'),
    (("fc_age_prob", "fc_age_prob"), ("fc_gender_prob", "fc_gender_prob")),
)

# Poses in stages: each stage reads the image's features and the maps of the stage before it.

POSE = EraNet(
    "pose",
    'name: "pose"\ninput: "image"\ninput_dim: 1\ninput_dim: 3\ninput_dim: 17\ninput_dim: 23\n'
    + _conv("conv1", "image", 6, 3, "pad: 1")
    + _pool("pool1_stage1", "conv1", "pool: MAX kernel_size: 2 stride: 2")
    + _conv("conv2_L1", "pool1_stage1", 4, 3, "pad: 1", relu=False)
    + _conv("conv2_L2", "pool1_stage1", 3, 3, "pad: 1", relu=False)
    + _layer("Concat", "concat_stage2", "conv2_L1 conv2_L2 pool1_stage1", "concat_stage2", "concat_param { axis: 1 }")
    + _conv("Mconv1_L1", "concat_stage2", 4, 7, "pad: 3", relu=False)
    + _conv("Mconv1_L2", "concat_stage2", 3, 7, "pad: 3", relu=False)
    + _layer("Concat", "concat_stage7", "Mconv1_L2 Mconv1_L1", "net_output", "concat_param { axis: 1 }"),
)

# Fine-tuning for detection: windows, and a classifier of another name than the source model's.

RCNN = EraNet(
    "finetune",
    _input(2, 3, 35, 35) + _CAFFENET.replace('"fc8"', '"fc8_pascal"').replace("stride: 4", "stride: 2"),
    _layer(
        "WindowData",
        "data",
        "",
        "data label",
        'transform_param { mirror: true crop_size: 35 mean_file: "m" } window_data_param { batch_size: 4 source: "w" }',
    )
    + _CAFFENET.replace('"fc8"', '"fc8_pascal"').replace("stride: 4", "stride: 2")
    + _layer("HingeLoss", "loss", "fc8_pascal label", "loss", "hinge_loss_param { norm: L2 }"),
    (("fc8_pascal", "fc8_pascal"),),
)

# Faces: halves of the channels held against each other, after convolutions and after the last learned layer.


def _halves(name: str, bottom: str) -> str:
    return _layer("Slice", f"slice_{name}", bottom, f"{name}_1 {name}_2", "slice_param { axis: 1 }") + _layer(
        "Eltwise", f"max_{name}", f"{name}_1 {name}_2", f"max_{name}", "eltwise_param { operation: MAX }"
    )


_LIGHT = (
    _conv("conv1", "data", 8, 5, "pad: 2", relu=False)
    + _halves("e1", "conv1")
    + _pool("pool1", "max_e1", "pool: MAX kernel_size: 2 stride: 2")
    + _fc("fc1", "pool1", 12)
    + _halves("e2", "fc1")
    + _layer("Dropout", "drop1", "max_e2", "max_e2", "dropout_param { dropout_ratio: 0.7 }")
    + _fc("fc2", "max_e2", 10)
)
LIGHT_CNN = EraNet(
    "light_cnn",
    _input(2, 1, 16, 16) + _LIGHT,
    """
layer { name: "faces" type: "ImageData" top: "data" top: "label" include: { phase: TEST }
        image_data_param { source: "list.txt" batch_size: 2 is_color: false new_height: 18 new_width: 18 shuffle: true }
        transform_param { scale: 0.00390625 crop_size: 16 mirror: false } }
"""
    + _LIGHT
    + _layer("Accuracy", "accuracy", "fc2 label", "accuracy"),
    (("fc2", "fc2"),),
)

# Enlarging images: PReLU per channel, a learned Deconvolution, HDF5 patches, a loss that names the target first.

_ENLARGE = (
    _conv("conv1", "data", 6, 5, "pad: 2", relu=False)
    + _layer("PReLU", "relu1", "conv1", "conv1", "prelu_param { channel_shared: false filler { value: 0.25 } }")
    + _layer(
        "Deconvolution",
        "deconv",
        "conv1",
        "deconv",
        'convolution_param { num_output: 1 kernel_size: 9 stride: 3 pad: 4 weight_filler { type: "gaussian" std: 0.001 } }',
    )
)
SUPERRESOLUTION = EraNet(
    "superresolution",
    _input(1, 1, 9, 11) + _ENLARGE,
    _layer("HDF5Data", "data", "", "data label", 'hdf5_data_param { source: "train.txt" batch_size: 128 }')
    + _ENLARGE
    + _layer("EuclideanLoss", "loss", "label deconv", "loss"),
    (("deconv", "deconv"),),
)

# Colours for grey images: dilated convolutions, BatchNorm without Scale, a scale that is fixed by its filler.

COLORIZATION = EraNet(
    "colorization",
    _layer("Input", "data_l", "", "data_l", "input_param { shape { dim: 1 dim: 1 dim: 16 dim: 20 } }")
    + _conv("conv1_1", "data_l", 6, 3, "pad: 1 stride: 2")
    + _layer("BatchNorm", "conv1_norm", "conv1_1", "conv1_norm", "batch_norm_param { } param { lr_mult: 0 decay_mult: 0 }")
    + _conv("conv5_1", "conv1_norm", 6, 3, "pad: 2 dilation: 2")
    + _layer(
        "Deconvolution",
        "conv8_1",
        "conv5_1",
        "conv8_1",
        "convolution_param { num_output: 6 kernel_size: 4 stride: 2 pad: 1 dilation: 1 }",
    )
    + _layer("ReLU", "relu8_1", "conv8_1", "conv8_1")
    + _conv("conv8_313", "conv8_1", 9, 1, "stride: 1 dilation: 1", relu=False)
    + _layer(
        "Scale",
        "conv8_313_rh",
        "conv8_313",
        "conv8_313_rh",
        "scale_param { bias_term: false filler { type: 'constant' value: 2.606 } }",
    )
    + _layer("Softmax", "class8_313_rh", "conv8_313_rh", "class8_313_rh")
    + _conv("class8_ab", "class8_313_rh", 2, 1, "stride: 1 dilation: 1", relu=False),
)

# An old model for ages: local responses with k, learned layers without a bias, a batch of its own in MemoryData.

_AGES = """
layers { name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1"
         convolution_param { num_output: 8 kernel_size: 7 stride: 2 } }
layers { name: "relu1" type: RELU bottom: "conv1" top: "conv1" relu_param { negative_slope: 0.01 } }
layers { name: "norm1" type: LRN bottom: "conv1" top: "norm1"
         lrn_param { local_size: 5 alpha: 0.0005 beta: 0.75 k: 2 } }
layers { name: "pool1" type: POOLING bottom: "norm1" top: "pool1"
         pooling_param { pool: MAX kernel_size: 3 stride: 3 } }
layers { name: "fc6" type: INNER_PRODUCT bottom: "pool1" top: "fc6"
         inner_product_param { num_output: 8 bias_term: false } }
layers { name: "th" type: TANH bottom: "fc6" top: "fc6" }
layers { name: "fc7" type: INNER_PRODUCT bottom: "fc6" top: "fc7" inner_product_param { num_output: 5 } }
layers { name: "prob" type: SOFTMAX bottom: "fc7" top: "prob" }
"""
AGES = EraNet(
    "ages",
    'name: "ages"\ninput: "data"\ninput_dim: 2\ninput_dim: 3\ninput_dim: 27\ninput_dim: 27\n' + _AGES,
    """
layers { name: "data" type: MEMORY_DATA top: "data" top: "label"
         memory_data_param { batch_size: 2 channels: 3 height: 27 width: 27 } }
"""
    + _AGES,
)

ALL = (
    CAFFENET, VGG, IMAGENET_2013, LENET, NIN, CIFAR10, GOOGLENET, SIAMESE, AUTOENCODER, FCN, DENSENET, RESNET,
    SQUEEZENET, MTCNN, HED, ATTRIBUTES, POSE, RCNN, LIGHT_CNN, SUPERRESOLUTION, COLORIZATION, AGES,
)  # fmt: skip
