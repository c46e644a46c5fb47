"""Networks of 2013 to 2017 that are not classifiers: siamese pairs, autoencoders, dense outputs, several heads."""

from __future__ import annotations

from tests.network.caffe.era_text import EraNet, conv, fc, inputs, layer, pool, train_data

# A siamese network: two branches that share every parameter by name.


def _branch(end: str, bottom: str) -> str:
    names = 'param {{ name: "{0}_w" lr_mult: 1 }} param {{ name: "{0}_b" lr_mult: 2 }}'
    return (
        layer(
            "Convolution",
            f"conv1{end}",
            bottom,
            f"conv1{end}",
            names.format("conv1")
            + ' convolution_param { num_output: 5 kernel_size: 5 weight_filler { type: "xavier" } }',
        )
        + pool(f"pool1{end}", f"conv1{end}", "pool: MAX kernel_size: 2 stride: 2")
        + layer(
            "InnerProduct",
            f"feat{end}",
            f"pool1{end}",
            f"feat{end}",
            names.format("feat") + ' inner_product_param { num_output: 2 weight_filler { type: "xavier" } }',
        )
    )


_CUT = layer("Slice", "slice_pair", "pair_data", "data data_p", "slice_param { slice_dim: 1 slice_point: 1 }")
SIAMESE = EraNet(
    "siamese",
    inputs(2, 2, 16, 16, name="pair_data") + _CUT + _branch("", "data") + _branch("_p", "data_p"),
    train_data(16).replace('"data"\n  top: "label"', '"pair_data"\n  top: "sim"')
    + _CUT
    + _branch("", "data")
    + _branch("_p", "data_p")
    + layer("ContrastiveLoss", "loss", "feat feat_p sim", "loss", "contrastive_loss_param { margin: 1 }"),
    (("feat", "feat"), ("feat_p", "feat_p")),
)

# An autoencoder: the image is its own target, flattened.

_CODER = (
    fc("encode1", "flatdata", 12)
    + layer("Sigmoid", "encode1neuron", "encode1", "encode1neuron")
    + fc("decode1", "encode1neuron", 36)
)
AUTOENCODER = EraNet(
    "autoencoder",
    inputs(2, 1, 6, 6)
    + layer("Flatten", "flatdata", "data", "flatdata")
    + _CODER
    + layer("Sigmoid", "decode1neuron", "decode1", "decode1neuron"),
    train_data(6).replace('top: "label"', "").replace("phase: TEST", 'phase: TEST stage: "test-on-test"')
    + layer("Flatten", "flatdata", "data", "flatdata")
    + _CODER
    + layer("SigmoidCrossEntropyLoss", "loss", "decode1 flatdata", "cross_entropy_loss", "loss_weight: 1")
    + layer("Sigmoid", "decode1neuron", "decode1", "decode1neuron")
    + layer("EuclideanLoss", "loss2", "decode1neuron flatdata", "l2_error", "loss_weight: 0"),
    (("decode1neuron", "decode1neuron"),),
)

# A fully convolutional network: pad 100, bilinear Deconvolution without learning, Crop with offsets, skip and sum.

_UP = "param { lr_mult: 0 } convolution_param { num_output: 4 bias_term: false group: 4 %s }"
_FCN = (
    conv("conv1_1", "data", 6, 3, "pad: 20")
    + pool("pool1", "conv1_1", "pool: MAX kernel_size: 2 stride: 2")
    + conv("conv2_1", "pool1", 8, 3, "pad: 1")
    + pool("pool2", "conv2_1", "pool: MAX kernel_size: 2 stride: 2")
    + conv("fc6", "pool2", 10, 5, "pad: 0")
    + layer("Dropout", "drop6", "fc6", "fc6", "dropout_param { dropout_ratio: 0.5 }")
    + conv("score_fr", "fc6", 4, 1, relu=False)
    + layer(
        "Deconvolution",
        "upscore2",
        "score_fr",
        "upscore2",
        _UP.replace(" group: 4", "") % "kernel_size: 4 stride: 2",
    )
    + conv("score_pool1", "pool1", 4, 1, relu=False)
    + layer("Crop", "score_pool1c", "score_pool1 upscore2", "score_pool1c", "crop_param { axis: 2 offset: 4 }")
    + layer("Eltwise", "fuse", "upscore2 score_pool1c", "fuse", "eltwise_param { operation: SUM }")
    + layer(
        "Deconvolution",
        "upscore",
        "fuse",
        "upscore",
        _UP % 'kernel_size: 4 stride: 2 weight_filler { type: "bilinear" }',
    )
    + layer("Crop", "score", "upscore data", "score", "crop_param { axis: 2 offset: 13 }")
)
FCN = EraNet(
    "fcn",
    inputs(1, 3, 21, 26) + _FCN,
    layer("Python", "data", "", "data label", 'python_param { module: "voc_layers" layer: "SBDDSegDataLayer" }')
    + _FCN
    + layer("SoftmaxWithLoss", "loss", "score label", "loss", "loss_param { ignore_label: 255 normalize: false }"),
    (("prob", "softmax of score"),),
)

# A cascade's small detector: PReLU, rectangular input, two heads on one trunk, softmax over an inner axis.

MTCNN = EraNet(
    "detector",
    'name: "PNet"\ninput: "data"\ninput_dim: 1\ninput_dim: 3\ninput_dim: 12\ninput_dim: 17\n'
    + conv("conv1", "data", 6, 3, relu=False)
    + layer("PReLU", "PReLU1", "conv1", "conv1")
    + pool("pool1", "conv1", "pool: MAX kernel_size: 2 stride: 2")
    + conv("conv2", "pool1", 8, 3, relu=False)
    + layer("PReLU", "PReLU2", "conv2", "conv2", "prelu_param { channel_shared: true }")
    + conv("conv4-1", "conv2", 2, 1, relu=False)
    + conv("conv4-2", "conv2", 4, 1, relu=False)
    + layer("Softmax", "prob1", "conv4-1", "prob1"),
)

# Edges from side outputs: one loss for each of them and for their fusion, all of weight 1, all on one label.


def _side(number: int, bottom: str, stride: int) -> str:
    name = f"score-dsn{number}"
    kernel = 2 * stride
    text = conv(name, bottom, 1, 1, relu=False)
    more = f"convolution_param {{ kernel_size: {kernel} stride: {stride} num_output: 1 "
    text += layer("Deconvolution", f"up{number}", name, f"up{number}", more + 'weight_filler { type: "bilinear" } }')
    return text + layer("Crop", f"crop{number}", f"up{number} data", f"upscore-dsn{number}", "crop_param { offset: 1 }")


_HED = (
    conv("conv1", "data", 6, 3, "pad: 5")
    + pool("pool1", "conv1", "pool: MAX kernel_size: 2 stride: 2")
    + conv("conv2", "pool1", 6, 3, "pad: 1")
    + _side(1, "pool1", 2)
    + _side(2, "conv2", 2)
    + layer("Concat", "concat", "upscore-dsn1 upscore-dsn2", "concat-upscore", "concat_param { concat_dim: 1 }")
    + conv("new-score-weighting", "concat-upscore", 1, 1, relu=False)
)
_HED_LOSS = "".join(
    layer("SigmoidCrossEntropyLoss", f"loss-{blob}", f"{blob} label", f"loss-{blob}", "loss_weight: 1")
    for blob in ("upscore-dsn1", "upscore-dsn2", "new-score-weighting")
)
HED = EraNet(
    "edges",
    inputs(1, 3, 14, 18)
    + _HED
    + "".join(
        layer("Sigmoid", f"sigmoid-{blob}", blob, f"{blob}_prob")
        for blob in ("upscore-dsn1", "upscore-dsn2", "new-score-weighting")
    ),
    layer("ImageData", "data", "", "data label", "image_data_param { batch_size: 1 new_height: 14 new_width: 18 }")
    + _HED
    + _HED_LOSS,
    tuple((name, name) for name in ("upscore-dsn1_prob", "upscore-dsn2_prob", "new-score-weighting_prob")),
)

# Poses in stages: each stage reads the image's features and the maps of the stage before it.

POSE = EraNet(
    "pose",
    'name: "pose"\ninput: "image"\ninput_dim: 1\ninput_dim: 3\ninput_dim: 17\ninput_dim: 23\n'
    + conv("conv1", "image", 6, 3, "pad: 1")
    + pool("pool1_stage1", "conv1", "pool: MAX kernel_size: 2 stride: 2")
    + conv("conv2_L1", "pool1_stage1", 4, 3, "pad: 1", relu=False)
    + conv("conv2_L2", "pool1_stage1", 3, 3, "pad: 1", relu=False)
    + layer("Concat", "concat_stage2", "conv2_L1 conv2_L2 pool1_stage1", "concat_stage2", "concat_param { axis: 1 }")
    + conv("Mconv1_L1", "concat_stage2", 4, 7, "pad: 3", relu=False)
    + conv("Mconv1_L2", "concat_stage2", 3, 7, "pad: 3", relu=False)
    + layer("Concat", "concat_stage7", "Mconv1_L2 Mconv1_L1", "net_output", "concat_param { axis: 1 }"),
)

# Faces: halves of the channels held against each other, after convolutions and after the last learned layer.


def _halves(name: str, bottom: str) -> str:
    return layer("Slice", f"slice_{name}", bottom, f"{name}_1 {name}_2", "slice_param { axis: 1 }") + layer(
        "Eltwise", f"max_{name}", f"{name}_1 {name}_2", f"max_{name}", "eltwise_param { operation: MAX }"
    )


_LIGHT = (
    conv("conv1", "data", 8, 5, "pad: 2", relu=False)
    + _halves("e1", "conv1")
    + pool("pool1", "max_e1", "pool: MAX kernel_size: 2 stride: 2")
    + fc("fc1", "pool1", 12)
    + _halves("e2", "fc1")
    + layer("Dropout", "drop1", "max_e2", "max_e2", "dropout_param { dropout_ratio: 0.7 }")
    + fc("fc2", "max_e2", 10)
)
LIGHT_CNN = EraNet(
    "light_cnn",
    inputs(2, 1, 16, 16) + _LIGHT,
    """
layer { name: "faces" type: "ImageData" top: "data" top: "label" include: { phase: TEST }
        image_data_param { source: "list.txt" batch_size: 2 is_color: false new_height: 18 new_width: 18 shuffle: true }
        transform_param { scale: 0.00390625 crop_size: 16 mirror: false } }
"""
    + _LIGHT
    + layer("Accuracy", "accuracy", "fc2 label", "accuracy"),
    (("fc2", "fc2"),),
)

# Enlarging images: PReLU per channel, a learned Deconvolution, HDF5 patches, a loss that names the target first.

_ENLARGE = (
    conv("conv1", "data", 6, 5, "pad: 2", relu=False)
    + layer("PReLU", "relu1", "conv1", "conv1", "prelu_param { channel_shared: false filler { value: 0.25 } }")
    + layer(
        "Deconvolution",
        "deconv",
        "conv1",
        "deconv",
        "convolution_param { num_output: 1 kernel_size: 9 stride: 3 pad: 4 "
        'weight_filler { type: "gaussian" std: 0.001 } }',
    )
)
SUPERRESOLUTION = EraNet(
    "superresolution",
    inputs(1, 1, 9, 11) + _ENLARGE,
    layer("HDF5Data", "data", "", "data label", 'hdf5_data_param { source: "train.txt" batch_size: 128 }')
    + _ENLARGE
    + layer("EuclideanLoss", "loss", "label deconv", "loss"),
    (("deconv", "deconv"),),
)

# Colours for grey images: dilated convolutions, BatchNorm without Scale, a scale that is fixed by its filler.

COLORIZATION = EraNet(
    "colorization",
    layer("Input", "data_l", "", "data_l", "input_param { shape { dim: 1 dim: 1 dim: 16 dim: 20 } }")
    + conv("conv1_1", "data_l", 6, 3, "pad: 1 stride: 2")
    + layer(
        "BatchNorm", "conv1_norm", "conv1_1", "conv1_norm", "batch_norm_param { } param { lr_mult: 0 decay_mult: 0 }"
    )
    + conv("conv5_1", "conv1_norm", 6, 3, "pad: 2 dilation: 2")
    + layer(
        "Deconvolution",
        "conv8_1",
        "conv5_1",
        "conv8_1",
        "convolution_param { num_output: 6 kernel_size: 4 stride: 2 pad: 1 dilation: 1 }",
    )
    + layer("ReLU", "relu8_1", "conv8_1", "conv8_1")
    + conv("conv8_313", "conv8_1", 9, 1, "stride: 1 dilation: 1", relu=False)
    + layer(
        "Scale",
        "conv8_313_rh",
        "conv8_313",
        "conv8_313_rh",
        "scale_param { bias_term: false filler { type: 'constant' value: 2.606 } }",
    )
    + layer("Softmax", "class8_313_rh", "conv8_313_rh", "class8_313_rh")
    + conv("class8_ab", "class8_313_rh", 2, 1, "stride: 1 dilation: 1", relu=False),
)
