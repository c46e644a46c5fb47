"""Small Caffe nets, one or more for each layer and each of its edge cases, as prototxt text by name."""

from __future__ import annotations


def data(*shape: int, name: str = "data") -> str:
    """An Input layer."""
    dims = " ".join(f"dim: {dim}" for dim in shape)
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}\n'


def layer(kind: str, parameters: str = "", bottoms: str = "data", tops: str = "out", name: str | None = None) -> str:
    """One layer; bottoms and tops are names with spaces between; `parameters` is the text of its parameter message."""
    ends = [f'bottom: "{blob}"' for blob in bottoms.split()] + [f'top: "{blob}"' for blob in tops.split()]
    return f'layer {{ name: "{name or tops or kind}" type: "{kind}" {" ".join(ends)} {parameters} }}\n'


def conv(fields: str) -> str:
    """convolution_param."""
    return f"convolution_param {{ {fields} }}"


def pool(fields: str) -> str:
    """pooling_param."""
    return f"pooling_param {{ {fields} }}"


IMAGE = data(2, 4, 9, 7)

CONVOLUTION = {
    "kernel, stride, pad": IMAGE + layer("Convolution", conv("num_output: 5 kernel_size: 3 stride: 2 pad: 1")),
    "rectangular": IMAGE
    + layer("Convolution", conv("num_output: 3 kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 0 pad_w: 2")),
    "repeated kernel_size": IMAGE
    + layer("Convolution", conv("num_output: 3 kernel_size: 2 kernel_size: 3 stride: 1 stride: 2 pad: 2 pad: 0")),
    "groups": IMAGE + layer("Convolution", conv("num_output: 6 kernel_size: 3 group: 2")),
    "depthwise": IMAGE + layer("Convolution", conv("num_output: 4 kernel_size: 3 group: 4 bias_term: false pad: 1")),
    "dilation": IMAGE + layer("Convolution", conv("num_output: 3 kernel_size: 3 dilation: 2 pad: 2")),
    "dilation per axis": IMAGE + layer("Convolution", conv("num_output: 3 kernel_size: 2 dilation: 1 dilation: 3")),
    "stride over the rest": IMAGE + layer("Convolution", conv("num_output: 3 kernel_size: 2 stride: 3")),
    "kernel larger than the input": data(2, 3, 2, 4)
    + layer("Convolution", conv("num_output: 2 kernel_size: 3 stride: 2")),
    "nd im2col": IMAGE + layer("Convolution", conv("num_output: 3 kernel_size: 3 force_nd_im2col: true")),
    "1-D": data(2, 3, 11) + layer("Convolution", conv("num_output: 4 kernel_size: 3 stride: 2 pad: 1")),
    "3-D": data(2, 3, 5, 6, 4) + layer("Convolution", conv("num_output: 4 kernel_size: 3 pad: 1 stride: 2 group: 1")),
    "no spatial axis": data(2, 6) + layer("Convolution", conv("num_output: 4 kernel_size: 1 group: 2")),
    "axis 2": data(2, 3, 4, 8, 5) + layer("Convolution", conv("num_output: 4 kernel_size: 3 axis: 2")),
    "negative axis": data(2, 3, 8, 5) + layer("Convolution", conv("num_output: 4 kernel_size: 3 axis: -3")),
    "two bottoms": data(2, 3, 6, 6)
    + data(2, 3, 6, 6, name="more")
    + layer("Convolution", conv("num_output: 4 kernel_size: 3"), "data more", "a b"),
    "in place": IMAGE
    + layer("Convolution", conv("num_output: 4 kernel_size: 3 pad: 1"), tops="c")
    + layer("Convolution", conv("num_output: 4 kernel_size: 3 pad: 1"), "c", "c", name="again"),
}

DECONVOLUTION = {
    "stride": IMAGE + layer("Deconvolution", conv("num_output: 5 kernel_size: 4 stride: 2 pad: 1")),
    "groups": IMAGE + layer("Deconvolution", conv("num_output: 4 kernel_size: 3 stride: 2 group: 2")),
    "depthwise": IMAGE + layer("Deconvolution", conv("num_output: 4 kernel_size: 4 stride: 2 pad: 1 group: 4")),
    "dilation": IMAGE + layer("Deconvolution", conv("num_output: 3 kernel_size: 3 dilation: 2 stride: 2 pad: 1")),
    "rectangular": IMAGE
    + layer("Deconvolution", conv("num_output: 3 kernel_h: 2 kernel_w: 5 stride_h: 3 stride_w: 1 pad_h: 0 pad_w: 2")),
    "stride over the kernel": IMAGE + layer("Deconvolution", conv("num_output: 2 kernel_size: 2 stride: 3")),
    "no bias": IMAGE + layer("Deconvolution", conv("num_output: 2 kernel_size: 3 bias_term: false")),
    "1-D": data(2, 3, 7) + layer("Deconvolution", conv("num_output: 2 kernel_size: 3 stride: 2")),
    "3-D": data(1, 2, 3, 4, 3) + layer("Deconvolution", conv("num_output: 2 kernel_size: 3 stride: 2 pad: 1")),
    "pointwise": IMAGE + layer("Deconvolution", conv("num_output: 2 kernel_size: 1")),
}

POOLING = {
    "max rounds up": data(2, 3, 8, 6) + layer("Pooling", pool("pool: MAX kernel_size: 3 stride: 2")),
    "max, last window clipped": data(2, 3, 7, 8) + layer("Pooling", pool("pool: MAX kernel_size: 2 stride: 2 pad: 1")),
    "max padded": data(2, 3, 8, 6) + layer("Pooling", pool("pool: MAX kernel_size: 3 stride: 2 pad: 1")),
    "max rectangular": data(2, 3, 8, 9)
    + layer("Pooling", pool("pool: MAX kernel_h: 2 kernel_w: 4 stride_h: 3 stride_w: 2 pad_h: 0 pad_w: 3")),
    "max mask": data(2, 3, 8, 6) + layer("Pooling", pool("pool: MAX kernel_size: 3 stride: 2 pad: 1"), tops="out mask"),
    "max mask of equal values": data(2, 3, 8, 6)
    + layer("Threshold", tops="t")
    + layer("Pooling", pool("pool: MAX kernel_size: 3 stride: 2 pad: 1"), "t", "out mask"),
    "max global": IMAGE + layer("Pooling", pool("pool: MAX global_pooling: true")),
    "max of a large kernel": data(2, 3, 4, 5) + layer("Pooling", pool("pool: MAX kernel_size: 7 stride: 8")),
    "max, stride over the kernel": data(2, 3, 6, 5) + layer("Pooling", pool("pool: MAX kernel_size: 1 stride: 3")),
    "max, window outside the input": data(2, 3, 3, 6) + layer("Pooling", pool("pool: MAX kernel_size: 1 stride: 4")),
    "max, mask of a window outside": data(2, 3, 3, 6)
    + layer("Pooling", pool("pool: MAX kernel_size: 1 stride: 4"), tops="out mask"),
    "max floor": data(2, 3, 8, 6) + layer("Pooling", pool("pool: MAX kernel_size: 3 stride: 2 round_mode: FLOOR")),
    "ave": data(2, 3, 8, 6) + layer("Pooling", pool("pool: AVE kernel_size: 2 stride: 2")),
    "ave rounds up": data(2, 3, 8, 6) + layer("Pooling", pool("pool: AVE kernel_size: 3 stride: 2")),
    "ave counts padding": data(2, 3, 7, 7) + layer("Pooling", pool("pool: AVE kernel_size: 3 stride: 1 pad: 1")),
    "ave padded and rounded up": data(2, 3, 8, 7) + layer("Pooling", pool("pool: AVE kernel_size: 3 stride: 2 pad: 1")),
    "ave padded and clipped": data(2, 3, 7, 8) + layer("Pooling", pool("pool: AVE kernel_size: 2 stride: 2 pad: 1")),
    "ave padded unevenly": data(2, 3, 9, 6)
    + layer("Pooling", pool("pool: AVE kernel_h: 4 kernel_w: 3 stride: 3 pad_h: 2 pad_w: 0")),
    "ave global": IMAGE + layer("Pooling", pool("pool: AVE global_pooling: true")),
    "ave of a large kernel": data(2, 3, 4, 5) + layer("Pooling", pool("pool: AVE kernel_size: 7 stride: 8")),
    "ave, window outside the input": data(2, 3, 3, 6) + layer("Pooling", pool("pool: AVE kernel_size: 1 stride: 4")),
    "ave, windows outside the input both ways": data(2, 3, 3, 7)
    + layer("Pooling", pool("pool: AVE kernel_size: 2 stride_h: 3 stride_w: 4")),
    "ave floor": data(2, 3, 8, 6)
    + layer("Pooling", pool("pool: AVE kernel_size: 3 stride: 2 pad: 1 round_mode: FLOOR")),
    "spp max": data(2, 3, 9, 7) + layer("SPP", "spp_param { pyramid_height: 3 pool: MAX }"),
    "spp ave": data(2, 3, 9, 7) + layer("SPP", "spp_param { pyramid_height: 3 pool: AVE }"),
    "spp one level": data(2, 3, 9, 7) + layer("SPP", "spp_param { pyramid_height: 1 }"),
}

NORMALIZATION = {
    "lrn": data(2, 8, 5, 4) + layer("LRN", "lrn_param { local_size: 5 alpha: 0.8 beta: 0.75 }"),
    "lrn k": data(2, 8, 5, 4) + layer("LRN", "lrn_param { local_size: 3 alpha: 2 beta: 0.5 k: 2 }"),
    "lrn wider than the channels": data(2, 3, 5, 4) + layer("LRN", "lrn_param { local_size: 9 alpha: 2 }"),
    "lrn beyond engines": data(2, 9, 5, 4) + layer("LRN", "lrn_param { local_size: 17 alpha: 0.5 beta: 0.5 k: 1.5 }"),
    "lrn of size 1": data(2, 3, 5, 4) + layer("LRN", "lrn_param { local_size: 1 alpha: 2 }"),
    "lrn within channel": data(2, 3, 6, 5)
    + layer("LRN", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 alpha: 1.5 beta: 0.75 k: 7 }"),
    "lrn within channel, large": data(2, 3, 4, 3)
    + layer("LRN", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 7 alpha: 1.5 }"),
    "lrn in place": data(2, 8, 5, 4)
    + layer("TanH", tops="t")
    + layer("LRN", "lrn_param { local_size: 3 alpha: 2 }", "t", "t", name="n"),
    "lrn within channel in place": data(2, 3, 5, 4)
    + layer("TanH", tops="t")
    + layer("LRN", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 }", "t", "t", name="n"),
    "batch norm": IMAGE + layer("BatchNorm"),
    "batch norm eps": IMAGE + layer("BatchNorm", "batch_norm_param { eps: 0.3 }"),
    "batch norm, 2-D": data(3, 6) + layer("BatchNorm"),
    "batch norm, 5-D": data(2, 3, 2, 4, 3) + layer("BatchNorm"),
    "batch norm of the batch": IMAGE + layer("BatchNorm", "batch_norm_param { use_global_stats: false }"),
    "batch norm in place": IMAGE + layer("TanH", tops="t") + layer("BatchNorm", "", "t", "t", name="n"),
    "mvn": data(2, 3, 6, 5) + layer("MVN"),
    "mvn eps": data(2, 3, 6, 5) + layer("MVN", "mvn_param { eps: 0.7 }"),
    "mvn across channels": data(2, 3, 6, 5) + layer("MVN", "mvn_param { across_channels: true eps: 0.1 }"),
    "mvn, mean only": data(2, 3, 6, 5) + layer("MVN", "mvn_param { normalize_variance: false }"),
    "mvn, 2-D, in place": data(2, 6)
    + layer("TanH", tops="t")
    + layer("MVN", "mvn_param { across_channels: true eps: 0.1 }", "t", "t", name="n"),
    "mvn, 2-D": data(2, 6) + layer("MVN", "mvn_param { across_channels: true eps: 0.1 }"),
}

AFFINE = {
    "inner product": IMAGE + layer("InnerProduct", "inner_product_param { num_output: 5 }"),
    "inner product, 2-D": data(3, 8) + layer("InnerProduct", "inner_product_param { num_output: 5 bias_term: false }"),
    "inner product, transposed": IMAGE + layer("InnerProduct", "inner_product_param { num_output: 5 transpose: true }"),
    "inner product, axis 2": data(2, 3, 4, 5) + layer("InnerProduct", "inner_product_param { num_output: 6 axis: 2 }"),
    "inner product, last axis": data(2, 3, 4, 5)
    + layer("InnerProduct", "inner_product_param { num_output: 6 axis: -1 transpose: true }"),
    "inner product, axis 0": data(2, 3) + layer("InnerProduct", "inner_product_param { num_output: 6 axis: 0 }"),
    "scale": IMAGE + layer("Scale"),
    "scale with bias": IMAGE + layer("Scale", "scale_param { bias_term: true }"),
    "scale, two axes": IMAGE + layer("Scale", "scale_param { axis: 1 num_axes: 2 bias_term: true }"),
    "scale, last axis": IMAGE + layer("Scale", "scale_param { axis: -1 bias_term: true }"),
    "scale, all axes to the end": IMAGE + layer("Scale", "scale_param { axis: 1 num_axes: -1 bias_term: true }"),
    "scale by one number": IMAGE + layer("Scale", "scale_param { num_axes: 0 bias_term: true }"),
    "scale of the batch": IMAGE + layer("Scale", "scale_param { axis: 0 num_axes: 2 }"),
    "scale by a blob": IMAGE + data(2, 4, name="gate") + layer("Scale", "scale_param { axis: 0 }", "data gate"),
    "scale by a blob, with bias": IMAGE
    + data(2, 4, name="gate")
    + layer("Scale", "scale_param { axis: 0 bias_term: true }", "data gate"),
    "scale by a blob of the same shape": IMAGE
    + data(2, 4, 9, 7, name="gate")
    + layer("Scale", "scale_param { axis: 0 }", "data gate"),
    "scale by channel sums": IMAGE
    + layer("Reduction", "reduction_param { axis: 2 }", tops="sums")
    + layer("Scale", "scale_param { axis: 0 }", "data sums"),
    "scale by a blob without axes": IMAGE
    + layer("Reduction", "reduction_param { axis: 0 operation: MEAN }", tops="mean")
    + layer("Scale", "", "data mean"),
    "scale in place": IMAGE
    + layer("TanH", tops="t")
    + layer("Scale", "scale_param { bias_term: true }", "t", "t", name="s"),
    "embed": data(3, 5, name="words") + layer("Embed", "embed_param { input_dim: 7 num_output: 4 }", "words"),
    "embed, no bias, 1-D": data(6, name="words")
    + layer("Embed", "embed_param { input_dim: 7 num_output: 2 bias_term: false }", "words"),
    "bias": IMAGE + layer("Bias"),
    "bias, axis 2": IMAGE + layer("Bias", "bias_param { axis: 2 num_axes: 2 }"),
    "bias from a blob": IMAGE + data(2, 4, name="term") + layer("Bias", "bias_param { axis: 0 }", "data term"),
    "bias by one number": IMAGE + layer("Bias", "bias_param { num_axes: 0 }"),
}

ACTIVATIONS = {
    "relu": IMAGE + layer("ReLU"),
    "relu slope": IMAGE + layer("ReLU", "relu_param { negative_slope: 0.1 }"),
    "relu steep slope": IMAGE + layer("ReLU", "relu_param { negative_slope: -1.5 }"),
    "prelu": IMAGE + layer("PReLU"),
    "prelu shared": IMAGE + layer("PReLU", "prelu_param { channel_shared: true }"),
    "prelu, 2-D": data(2, 5) + layer("PReLU"),
    "elu": IMAGE + layer("ELU"),
    "elu alpha": IMAGE + layer("ELU", "elu_param { alpha: 0.4 }"),
    "elu negative alpha": IMAGE + layer("ELU", "elu_param { alpha: -2 }"),
    "sigmoid": IMAGE + layer("Sigmoid"),
    "tanh": IMAGE + layer("TanH"),
    "absval": IMAGE + layer("AbsVal"),
    "bnll": IMAGE + layer("BNLL"),
    "swish": IMAGE + layer("Swish", "swish_param { beta: 1.5 }"),
    "clip": IMAGE + layer("Clip", "clip_param { min: -0.5 max: 0.25 }"),
    "clip, crossed bounds": IMAGE + layer("Clip", "clip_param { min: 0.5 max: -0.25 }"),
    "exp": IMAGE + layer("Exp"),
    "exp base": IMAGE + layer("Exp", "exp_param { base: 2.5 scale: 0.5 shift: -0.75 }"),
    "exp base 1": IMAGE + layer("Exp", "exp_param { base: 1 scale: 2 shift: 3 }"),
    "exp shift": IMAGE + layer("Exp", "exp_param { shift: 1.25 scale: -1 }"),
    "power": IMAGE + layer("Power", "power_param { power: 2 scale: 0.5 shift: 1 }"),
    "power 3": IMAGE + layer("Power", "power_param { power: 3 }"),
    "power 1": IMAGE + layer("Power", "power_param { scale: -0.5 shift: 1 }"),
    "power identity": IMAGE + layer("Power"),
    "power 0": IMAGE + layer("Power", "power_param { power: 0 shift: 3 }"),
    "power of scale 0": IMAGE + layer("Power", "power_param { power: 2.5 scale: 0 shift: 3 }"),
    "power of negatives": IMAGE + layer("Power", "power_param { power: 0.5 }"),
    "threshold": IMAGE + layer("Threshold", "threshold_param { threshold: 0.3 }"),
    "dropout": IMAGE + layer("Dropout", "dropout_param { dropout_ratio: 0.7 }") + layer("TanH", "", "out", "end"),
    "dropout alone": IMAGE + layer("Dropout"),
    "dropout in place": IMAGE + layer("Dropout", "", "data", "data", name="drop") + layer("TanH"),
    "5-D": data(2, 2, 3, 2, 3) + layer("ELU", tops="e") + layer("Power", "power_param { power: 2 }", "e"),
    "1-D": data(5) + layer("TanH", tops="t") + layer("ReLU", "", "t", "t", name="r"),
}

POSITIVE = {
    "log": IMAGE + layer("Log"),
    "log base": IMAGE + layer("Log", "log_param { base: 2 scale: 3 shift: 0.5 }"),
    "power 1.7": IMAGE + layer("Power", "power_param { power: 1.7 scale: 2 shift: 0.1 }"),
    "power -1": IMAGE + layer("Power", "power_param { power: -1 shift: 0.5 }"),
    "power 0.5": IMAGE + layer("Power", "power_param { power: 0.5 }"),
    "power -0.6": IMAGE + layer("Power", "power_param { power: -0.6 shift: 0.2 }"),
}

REDUCTION = {
    "softmax": data(2, 7) + layer("Softmax"),
    "softmax, 4-D": IMAGE + layer("Softmax"),
    "softmax, last axis": IMAGE + layer("Softmax", "softmax_param { axis: -1 }"),
    "softmax over the batch": IMAGE + layer("Softmax", "softmax_param { axis: 0 }"),
    "softmax in place": IMAGE + layer("TanH", tops="t") + layer("Softmax", "", "t", "t", name="s"),
    "argmax": data(3, 8) + layer("ArgMax"),
    "argmax, 4-D": IMAGE + layer("ArgMax", "argmax_param { top_k: 3 }"),
    "argmax with values": IMAGE + layer("ArgMax", "argmax_param { top_k: 3 out_max_val: true }"),
    "argmax with values, 2-D": data(2, 6) + layer("ArgMax", "argmax_param { top_k: 2 out_max_val: true }"),
    "argmax axis": IMAGE + layer("ArgMax", "argmax_param { axis: 1 top_k: 2 }"),
    "argmax axis, values": IMAGE + layer("ArgMax", "argmax_param { axis: -1 top_k: 2 out_max_val: true }"),
    "argmax over the batch": data(3, 5) + layer("ArgMax", "argmax_param { axis: 0 top_k: 2 }"),
    "argmax of equal values": data(2, 12)
    + layer("Threshold", tops="t")
    + layer("ArgMax", "argmax_param { top_k: 8 }", "t"),
    "argmax of equal values, axis": data(2, 9, 3)
    + layer("Threshold", tops="t")
    + layer("ArgMax", "argmax_param { axis: 1 }", "t"),
    "argmax, 5-D": data(2, 3, 2, 2, 2) + layer("ArgMax", "argmax_param { top_k: 2 }"),
    "argmax, 1-D": data(4) + layer("ArgMax"),
    "sum": IMAGE + layer("Reduction", "reduction_param { axis: 1 }"),
    "asum": IMAGE + layer("Reduction", "reduction_param { operation: ASUM axis: 2 coeff: 0.5 }"),
    "sumsq": IMAGE + layer("Reduction", "reduction_param { operation: SUMSQ axis: -1 }"),
    "mean": IMAGE + layer("Reduction", "reduction_param { operation: MEAN axis: 1 coeff: 3 }"),
    "sum of everything": IMAGE + layer("Reduction", "reduction_param { operation: ASUM }"),
    "mean of everything": IMAGE + layer("Reduction", "reduction_param { operation: MEAN axis: 0 }"),
}

TWO = data(2, 4, 3, 5) + data(2, 4, 3, 5, name="more")

SEVERAL = {
    "eltwise product": TWO + layer("Eltwise", "eltwise_param { operation: PROD }", "data more data"),
    "eltwise sum": TWO + layer("Eltwise", "", "data more"),
    "eltwise coefficients": TWO + layer("Eltwise", "eltwise_param { coeff: 1 coeff: -1 coeff: 0.5 }", "data more more"),
    "eltwise coefficient 0": TWO + layer("Eltwise", "eltwise_param { coeff: 0 coeff: 2 }", "data more"),
    "eltwise first coefficient": TWO + layer("Eltwise", "eltwise_param { coeff: -1 coeff: 1 }", "data more"),
    "eltwise max": TWO + layer("Eltwise", "eltwise_param { operation: MAX }", "data more data"),
    "eltwise max with coefficients": TWO
    + layer("Eltwise", "eltwise_param { operation: MAX coeff: 3 coeff: -2 }", "data more"),
    "eltwise of one blob twice": IMAGE + layer("Eltwise", "", "data data"),
    "eltwise sum in place": TWO
    + layer("Eltwise", "eltwise_param { coeff: 5 coeff: 2 }", "data more", "data", name="e")
    + layer("TanH"),
    "eltwise max in place": TWO
    + layer("Eltwise", "eltwise_param { operation: MAX }", "data more", "data", name="e")
    + layer("TanH"),
    "eltwise product in place": TWO
    + layer("Eltwise", "eltwise_param { operation: PROD }", "data more", "data", name="e")
    + layer("TanH"),
    "concat": TWO + layer("Concat", "", "data more data"),
    "concat axis": TWO + layer("Concat", "concat_param { axis: -1 }", "data more"),
    "concat_dim": TWO + layer("Concat", "concat_param { concat_dim: 2 }", "data more"),
    "concat of the batch": TWO + layer("Concat", "concat_param { axis: 0 }", "data more data"),
    "concat of one": IMAGE + layer("Concat") + layer("TanH", "", "out", "end"),
    "concat of sizes": data(2, 4, 3, 5) + data(2, 1, 3, 5, name="more") + layer("Concat", "", "data more more"),
    "slice": data(2, 6, 3) + layer("Slice", tops="a b c"),
    "slice points": data(2, 6, 3) + layer("Slice", "slice_param { slice_point: 1 slice_point: 4 }", tops="a b c"),
    "slice axis": data(2, 6, 4) + layer("Slice", "slice_param { axis: -1 slice_point: 1 }", tops="a b"),
    "slice_dim": data(2, 6, 4) + layer("Slice", "slice_param { slice_dim: 2 }", tops="a b"),
    "slice of the batch": data(4, 3) + layer("Slice", "slice_param { axis: 0 }", tops="a b"),
    "slice points of the batch": data(4, 3)
    + layer("Slice", "slice_param { axis: 0 slice_point: 1 slice_point: 2 }", tops="a b c"),
    "slice of one": IMAGE + layer("Slice", tops="a") + layer("TanH", "", "a"),
    "slice with an unused top": data(2, 6, 3) + layer("Slice", tops="a b c") + layer("TanH", "", "b"),
    "split": IMAGE + layer("Split", tops="a b") + layer("TanH", "", "a"),
    "crop": data(2, 3, 8, 7)
    + data(2, 3, 5, 4, name="size")
    + layer("Crop", "crop_param { axis: 2 offset: 1 offset: 3 }", "data size"),
    "crop, one offset": data(2, 5, 8, 7)
    + data(2, 4, 5, 4, name="size")
    + layer("Crop", "crop_param { axis: 1 offset: 1 }", "data size"),
    "crop, no offset": data(2, 5, 8, 7) + data(2, 1, 5, 4, name="size") + layer("Crop", "", "data size"),
    "crop of the batch": data(2, 5, 8, 7)
    + data(2, 4, 5, 4, name="size")
    + layer("Crop", "crop_param { axis: 0 }", "data size"),
    "crop of a larger batch": data(2, 5, 8)
    + layer("Tile", "tile_param { axis: 0 tiles: 2 }", tops="t")
    + layer("Crop", "crop_param { axis: 0 }", "t data"),
    "crop of an upsampling": data(2, 3, 6, 5)
    + layer("Deconvolution", conv("num_output: 2 kernel_size: 4 stride: 2"), tops="up")
    + layer("Crop", "crop_param { axis: 2 offset: 1 }", "up data"),
    "tile": data(2, 3, 4) + layer("Tile", "tile_param { tiles: 3 }"),
    "tile, last axis": data(2, 3, 4) + layer("Tile", "tile_param { axis: -1 tiles: 2 }"),
    "tile of the batch": data(2, 3, 4) + layer("Tile", "tile_param { axis: 0 tiles: 2 }"),
}

SHAPES = {
    "flatten": IMAGE + layer("Flatten"),
    "flatten axes": data(2, 3, 4, 5, 2) + layer("Flatten", "flatten_param { axis: 1 end_axis: 2 }"),
    "flatten negative axes": data(2, 3, 4, 5) + layer("Flatten", "flatten_param { axis: -3 end_axis: -2 }"),
    "flatten the batch": data(2, 3, 4) + layer("Flatten", "flatten_param { axis: 0 end_axis: 1 }"),
    "flatten everything": data(2, 3, 4) + layer("Flatten", "flatten_param { axis: 0 }"),
    "flatten nothing": data(2, 3, 4) + layer("Flatten", "flatten_param { axis: 2 end_axis: 1 }"),
    "flatten, 1-D": data(4) + layer("Flatten", "flatten_param { axis: 0 }", tops="f") + layer("TanH", "", "f"),
    "reshape": IMAGE + layer("Reshape", "reshape_param { shape { dim: 0 dim: -1 } }"),
    "reshape 0 and -1": data(2, 6, 5) + layer("Reshape", "reshape_param { shape { dim: 0 dim: 2 dim: 5 dim: -1 } }"),
    "reshape axis": data(2, 6, 5) + layer("Reshape", "reshape_param { axis: 1 shape { dim: 3 dim: 10 } }"),
    "reshape num_axes": data(2, 6, 5)
    + layer("Reshape", "reshape_param { axis: 1 num_axes: 1 shape { dim: 2 dim: -1 } }"),
    "reshape inserts an axis": data(2, 6, 5)
    + layer("Reshape", "reshape_param { axis: 1 num_axes: 0 shape { dim: 1 } }"),
    "reshape at the end": data(2, 6, 5) + layer("Reshape", "reshape_param { axis: -1 shape { dim: 1 dim: 1 } }"),
    "reshape drops an axis": data(2, 1, 5) + layer("Reshape", "reshape_param { axis: 1 num_axes: 1 shape { } }"),
    "reshape -1 first": data(2, 6, 5) + layer("Reshape", "reshape_param { shape { dim: -1 dim: 5 } }"),
    "reshape merges the batch": data(2, 6, 5) + layer("Reshape", "reshape_param { shape { dim: 3 dim: -1 } }"),
    "batch reindex": data(4, 3, 2) + data(6, name="index") + layer("BatchReindex", "", "data index"),
    "im2col": IMAGE + layer("Im2col", conv("kernel_size: 3 stride: 2 pad: 1")),
    "im2col dilated": IMAGE + layer("Im2col", conv("kernel_h: 2 kernel_w: 3 dilation: 2")),
    "im2col, 1-D": data(2, 3, 9) + layer("Im2col", conv("kernel_size: 3 stride: 2")),
    "im2col, axis 2": data(2, 3, 2, 9) + layer("Im2col", conv("kernel_size: 3 axis: 2")),
}
