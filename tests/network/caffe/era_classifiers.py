"""Small classifiers in the style of the public models of 2013 to 2017: structure, prototxt formats and conventions."""

from __future__ import annotations

from tests.network.caffe.era_text import EraNet, conv, fc, inputs, judges, layer, pool, softmax, train_data

# CaffeNet: pool before norm, groups, dropout in place.

_CAFFENET = (
    conv("conv1", "data", 8, 11, "stride: 4")
    + pool("pool1", "conv1", "pool: MAX kernel_size: 3 stride: 2")
    + layer("LRN", "norm1", "pool1", "norm1", "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")
    + conv("conv2", "norm1", 12, 5, "pad: 2 group: 2")
    + pool("pool2", "conv2", "pool: MAX kernel_size: 3 stride: 2")
    + layer("LRN", "norm2", "pool2", "norm2", "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")
    + conv("conv3", "norm2", 12, 3, "pad: 1")
    + conv("conv4", "conv3", 12, 3, "pad: 1 group: 2")
    + pool("pool5", "conv4", "pool: MAX kernel_size: 3 stride: 2")
    + fc("fc6", "pool5", 16)
    + layer("ReLU", "relu6", "fc6", "fc6")
    + layer("Dropout", "drop6", "fc6", "fc6", "dropout_param { dropout_ratio: 0.5 }")
    + fc("fc8", "fc6", 10)
)
CAFFENET = EraNet(
    "caffenet",
    'name: "CaffeNet"\n' + inputs(2, 3, 67, 67) + _CAFFENET + softmax("fc8"),
    'name: "CaffeNet"\n' + train_data(67) + _CAFFENET + judges("fc8"),
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
    conv("conv1", "data", 6, 5, "stride: 1", relu=False)
    + pool("pool1", "conv1", "pool: MAX kernel_size: 2 stride: 2")
    + conv("conv2", "pool1", 8, 5, "stride: 1", relu=False)
    + pool("pool2", "conv2", "pool: MAX kernel_size: 2 stride: 2")
    + fc("ip1", "pool2", 16)
    + layer("ReLU", "relu1", "ip1", "ip1")
    + fc("ip2", "ip1", 10)
)
LENET = EraNet(
    "lenet",
    'name: "LeNet"\n' + inputs(2, 1, 28, 28) + _LENET + softmax("ip2"),
    'name: "LeNet"\n' + train_data(28, more="scale: 0.00390625") + _LENET + judges("ip2"),
)

# Network in network: 1x1 convolutions, global average pooling, loss on a four-axis blob.

_NIN = (
    conv("conv1", "data", 8, 5, "pad: 2")
    + conv("cccp1", "conv1", 8, 1, "group: 1")
    + conv("cccp2", "cccp1", 6, 1)
    + pool("pool1", "cccp2", "pool: MAX kernel_size: 3 stride: 2")
    + layer("Dropout", "drop3", "pool1", "pool1", "dropout_param { dropout_ratio: 0.5 }")
    + conv("cccp6", "pool1", 10, 1)
    + layer("Pooling", "pool3", "cccp6", "pool3", "pooling_param { pool: AVE global_pooling: true }")
)
NIN = EraNet(
    "nin",
    inputs(2, 3, 16, 16) + _NIN + softmax("pool3"),
    train_data(16) + _NIN + judges("pool3"),
)

# CIFAR-10 full: overlapping max, ReLU after the pool, average pools, LRN within the channel.

_CIFAR = (
    conv("conv1", "data", 8, 5, "pad: 2 stride: 1", relu=False)
    + pool("pool1", "conv1", "pool: MAX kernel_size: 3 stride: 2")
    + layer("ReLU", "relu1", "pool1", "pool1")
    + layer(
        "LRN",
        "norm1",
        "pool1",
        "norm1",
        "lrn_param { local_size: 3 alpha: 5e-05 beta: 0.75 norm_region: WITHIN_CHANNEL }",
    )
    + conv("conv2", "norm1", 8, 5, "pad: 2 stride: 1")
    + pool("pool2", "conv2", "pool: AVE kernel_size: 3 stride: 2")
    + fc("ip1", "pool2", 10)
)
CIFAR10 = EraNet(
    "cifar10_full",
    inputs(2, 3, 32, 32) + _CIFAR + softmax("ip1"),
    train_data(32) + _CIFAR + judges("ip1"),
)

# GoogLeNet: inception modules, two auxiliary classifiers of weight 0.3, accuracies at each head.


def _inception(name: str, bottom: str) -> str:
    at = f"inception_{name}/"
    return (
        conv(f"{at}1x1", bottom, 4, 1)
        + conv(f"{at}3x3_reduce", bottom, 3, 1)
        + conv(f"{at}3x3", f"{at}3x3_reduce", 5, 3, "pad: 1")
        + conv(f"{at}5x5_reduce", bottom, 2, 1)
        + conv(f"{at}5x5", f"{at}5x5_reduce", 3, 5, "pad: 2")
        + pool(f"{at}pool", bottom, "pool: MAX kernel_size: 3 stride: 1 pad: 1")
        + conv(f"{at}pool_proj", f"{at}pool", 3, 1)
        + layer("Concat", f"{at}output", f"{at}1x1 {at}3x3 {at}5x5 {at}pool_proj", f"{at}output")
    )


def _auxiliary(name: str, bottom: str) -> str:
    return (
        pool(f"{name}/ave_pool", bottom, "pool: AVE kernel_size: 5 stride: 3")
        + conv(f"{name}/conv", f"{name}/ave_pool", 4, 1)
        + fc(f"{name}/fc", f"{name}/conv", 8)
        + layer("ReLU", f"{name}/relu_fc", f"{name}/fc", f"{name}/fc")
        + layer("Dropout", f"{name}/drop_fc", f"{name}/fc", f"{name}/fc", "dropout_param { dropout_ratio: 0.7 }")
        + fc(f"{name}/classifier", f"{name}/fc", 10)
    )


def _head(name: str, weight: float, top: int) -> str:
    text = layer(
        "SoftmaxWithLoss", f"{name}/loss", f"{name}/classifier label", f"{name}/loss{top}", f"loss_weight: {weight}"
    )
    for k in (1, 5):
        more = f"include {{ phase: TEST }} accuracy_param {{ top_k: {k} }}"
        text += layer("Accuracy", f"{name}/top-{k}", f"{name}/classifier label", f"{name}/top-{k}", more)
    return text


_STEM = (
    conv("conv1/7x7_s2", "data", 6, 7, "pad: 3 stride: 2")
    + pool("pool1/3x3_s2", "conv1/7x7_s2", "pool: MAX kernel_size: 3 stride: 2")
    + layer("LRN", "pool1/norm1", "pool1/3x3_s2", "pool1/norm1", "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")
    + _inception("3a", "pool1/norm1")
)
_LAST = (
    _inception("4a", "inception_3a/output")
    + pool("pool5/7x7_s1", "inception_4a/output", "pool: AVE kernel_size: 10 stride: 1")
    + layer("Dropout", "pool5/drop", "pool5/7x7_s1", "pool5/7x7_s1", "dropout_param { dropout_ratio: 0.4 }")
    + fc("loss3/classifier", "pool5/7x7_s1", 10)
)
GOOGLENET = EraNet(
    "googlenet",
    inputs(2, 3, 40, 40) + _STEM + _LAST + softmax("loss3/classifier"),
    train_data(40, more="mean_value: 104 mean_value: 117 mean_value: 123").replace("mean_file", "# mean_file")
    + _STEM
    + _auxiliary("loss1", "inception_3a/output")
    + _head("loss1", 0.3, 1)
    + _inception("4a", "inception_3a/output")
    + _auxiliary("loss2", "inception_4a/output")
    + _head("loss2", 0.3, 1)
    + pool("pool5/7x7_s1", "inception_4a/output", "pool: AVE kernel_size: 10 stride: 1")
    + layer("Dropout", "pool5/drop", "pool5/7x7_s1", "pool5/7x7_s1", "dropout_param { dropout_ratio: 0.4 }")
    + fc("loss3/classifier", "pool5/7x7_s1", 10)
    + _head("loss3", 1, 3),
)

# DenseNet: BatchNorm, Scale and ReLU in place, each layer's output joined to all before it.


def _dense(number: int, bottom: str) -> str:
    at = f"conv2_{number}"
    return (
        layer("BatchNorm", f"{at}/bn", bottom, f"{at}/bn", "batch_norm_param { eps: 1e-5 }")
        + layer("Scale", f"{at}/scale", f"{at}/bn", f"{at}/bn", "scale_param { bias_term: true }")
        + layer("ReLU", f"{at}/relu", f"{at}/bn", f"{at}/bn")
        + layer(
            "Convolution",
            at,
            f"{at}/bn",
            at,
            'convolution_param { num_output: 4 bias_term: false pad: 1 kernel_size: 3 weight_filler { type: "msra" } }',
        )
        + layer("Concat", f"concat_2_{number}", f"{bottom} {at}", f"concat_2_{number}")
    )


_DENSE = (
    conv("conv1", "data", 6, 7, "pad: 3 stride: 2", relu=False)
    + pool("pool1", "conv1", "pool: MAX kernel_size: 3 stride: 2 pad: 1")
    + _dense(1, "pool1")
    + _dense(2, "concat_2_1")
    + layer("BatchNorm", "bn_last", "concat_2_2", "concat_2_2", "param { lr_mult: 0 } param { lr_mult: 0 } param { }")
    + layer("Scale", "scale_last", "concat_2_2", "concat_2_2", "scale_param { filler { value: 1 } bias_term: true }")
    + layer("ReLU", "relu_last", "concat_2_2", "concat_2_2")
    + layer("Pooling", "pool_last", "concat_2_2", "pool_last", "pooling_param { pool: AVE global_pooling: true }")
    + conv("fc6", "pool_last", 10, 1, relu=False)
)
DENSENET = EraNet(
    "densenet",
    inputs(2, 3, 32, 32) + _DENSE + softmax("fc6"),
    train_data(32) + _DENSE + judges("fc6"),
)

# ResNet: normalization in place, a projection branch, sums.

_RESNET = (
    conv("conv1", "data", 6, 7, "pad: 3 stride: 2", relu=False)
    + layer("BatchNorm", "bn_conv1", "conv1", "conv1", "batch_norm_param { use_global_stats: true }")
    + layer("Scale", "scale_conv1", "conv1", "conv1", "scale_param { bias_term: true }")
    + layer("ReLU", "conv1_relu", "conv1", "conv1")
    + pool("pool1", "conv1", "kernel_size: 3 stride: 2 pool: MAX")
    + "".join(
        conv(f"res2a_{branch}", bottom, 8, kernel, f"pad: {kernel // 2} bias_term: false", relu=False)
        + layer("BatchNorm", f"bn2a_{branch}", f"res2a_{branch}", f"res2a_{branch}")
        + layer("Scale", f"scale2a_{branch}", f"res2a_{branch}", f"res2a_{branch}", "scale_param { bias_term: true }")
        for branch, bottom, kernel in (("branch1", "pool1", 1), ("branch2a", "pool1", 3))
    ).replace("param { lr_mult: 2 decay_mult: 0 }", "")
    + layer("Eltwise", "res2a", "res2a_branch1 res2a_branch2a", "res2a")
    + layer("ReLU", "res2a_relu", "res2a", "res2a")
    + pool("pool5", "res2a", "kernel_size: 8 stride: 1 pool: AVE")
    + fc("fc", "pool5", 10)
)
RESNET = EraNet("resnet", inputs(2, 3, 33, 33) + _RESNET + softmax("fc"), train_data(33) + _RESNET + judges("fc"))

# SqueezeNet: fire modules, the data layers in the old place of scale and means, loss on the last pool.


def _fire(name: str, bottom: str) -> str:
    return (
        conv(f"{name}/squeeze1x1", bottom, 4, 1)
        + conv(f"{name}/expand1x1", f"{name}/squeeze1x1", 6, 1)
        + conv(f"{name}/expand3x3", f"{name}/squeeze1x1", 6, 3, "pad: 1")
        + layer("Concat", f"{name}/concat", f"{name}/expand1x1 {name}/expand3x3", f"{name}/concat")
    )


_SQUEEZENET = (
    conv("conv1", "data", 8, 3, "stride: 2")
    + pool("pool1", "conv1", "pool: MAX kernel_size: 3 stride: 2")
    + _fire("fire2", "pool1")
    + _fire("fire3", "fire2/concat")
    + layer("Dropout", "drop9", "fire3/concat", "fire3/concat", "dropout_param { dropout_ratio: 0.5 }")
    + conv("conv10", "fire3/concat", 10, 1)
    + layer("Pooling", "pool10", "conv10", "pool10", "pooling_param { pool: AVE global_pooling: true }")
)
SQUEEZENET = EraNet(
    "squeezenet",
    inputs(2, 3, 31, 31) + _SQUEEZENET + softmax("pool10"),
    train_data(31) + _SQUEEZENET + layer("SoftmaxWithLoss", "loss", "pool10 label", "loss", "include { phase: TRAIN }")
    + layer("Accuracy", "accuracy", "pool10 label", "accuracy", "include { phase: TEST }"),
)  # fmt: skip

# Several attributes of a face at once: labels cut apart, one head each, equal weights.

_FACE = (
    conv("conv1", "data", 6, 3)
    + pool("pool1", "conv1", "pool: MAX kernel_size: 2 stride: 2")
    + fc("fc_age", "pool1", 8)
    + fc("fc_gender", "pool1", 2)
)
ATTRIBUTES = EraNet(
    "attributes",
    inputs(2, 3, 12, 12) + _FACE + softmax("fc_age", "fc_age_prob") + softmax("fc_gender", "fc_gender_prob"),
    train_data(12)
    + layer("Slice", "labels", "label", "age gender other", "slice_param { axis: 1 slice_point: 1 slice_point: 2 }")
    + layer("Silence", "ignore", "other", "")
    + _FACE
    + judges("fc_age", "acc_age", "loss_age").replace('"label"', '"age"')
    + judges("fc_gender", "acc_gender", "loss_gender", "loss_weight: 0.5").replace('"label"', '"gender"'),
    (("fc_age_prob", "fc_age_prob"), ("fc_gender_prob", "fc_gender_prob")),
)

# Fine-tuning for detection: windows, and a classifier of another name than the source model's.

RCNN = EraNet(
    "finetune",
    inputs(2, 3, 35, 35) + _CAFFENET.replace('"fc8"', '"fc8_pascal"').replace("stride: 4", "stride: 2"),
    layer(
        "WindowData",
        "data",
        "",
        "data label",
        'transform_param { mirror: true crop_size: 35 mean_file: "m" } window_data_param { batch_size: 4 source: "w" }',
    )
    + _CAFFENET.replace('"fc8"', '"fc8_pascal"').replace("stride: 4", "stride: 2")
    + layer("HingeLoss", "loss", "fc8_pascal label", "loss", "hinge_loss_param { norm: L2 }"),
    (("fc8_pascal", "fc8_pascal"),),
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
