"""Small nets that Caffe aborts on, and nets that only the import refuses: name -> (prototxt, pattern of the error).

What Caffe aborts on before it knows any shape is in caffe_checks.py.
"""

from __future__ import annotations

from tests.network.caffe.layers.caffe_cases import IMAGE, TWO, conv, data, layer, pool

FILLED = 'weight_filler { type: "constant" value: 1 } '

# Caffe's own CHECKs fail on these.
ABORTS = {
    "unknown type": (IMAGE + layer("Convolutional"), r"Convolutional.*no such layer"),
    "unknown bottom": (IMAGE + layer("TanH", bottoms="date"), r"'date'"),
    "a top made twice": (IMAGE + layer("TanH", tops="a") + layer("ReLU", tops="a", name="again"), r"again.*'a'"),
    "in place with another reader": (
        IMAGE + layer("TanH", tops="a") + layer("ReLU", "", "a", "b") + layer("ReLU", "", "a", "a", name="again"),
        r"again.*'a'",
    ),
    "too few bottoms": (IMAGE + layer("Eltwise"), r"at least 2 bottoms.*names 1"),
    "too many bottoms": (IMAGE + layer("Softmax", bottoms="data data"), r"1 bottoms.*names 2"),
    "too many tops": (IMAGE + layer("TanH", tops="a b"), r"1 tops.*names 2"),
    "no top": (IMAGE + layer("Split", tops=""), r"at least 1 tops.*names 0"),
    "loss weights": (IMAGE + layer("Slice", "loss_weight: 1", tops="a b"), r"1 loss weights for 2 tops"),
    "param entries": (IMAGE + layer("TanH", 'param { name: "w" }'), r"1 param entries for 0"),
    "input shapes": (
        'layer { type: "Input" top: "a" top: "b" top: "c" input_param { shape { dim: 1 } shape { dim: 2 } } }'
        + layer("TanH", bottoms="a"),
        r"2 shapes for 3 tops",
    ),
    "convolution without a kernel": (IMAGE + layer("Convolution", conv(FILLED + "num_output: 2")), r"kernel_size"),
    "convolution with two kernels": (
        IMAGE + layer("Convolution", conv(FILLED + "num_output: 2 kernel_size: 3 kernel_h: 3 kernel_w: 3")),
        r"kernel_size excludes kernel_h",
    ),
    "kernel_h alone": (IMAGE + layer("Convolution", conv(FILLED + "num_output: 2 kernel_h: 3")), r"must be positive"),
    "kernel_h in 3-D": (
        data(1, 2, 3, 4, 5) + layer("Convolution", conv(FILLED + "num_output: 2 kernel_h: 3 kernel_w: 3")),
        r"two spatial axes",
    ),
    "three kernel sizes in 2-D": (
        IMAGE + layer("Convolution", conv(FILLED + "num_output: 2 kernel_size: 1 kernel_size: 2 kernel_size: 3")),
        r"3 times",
    ),
    "convolution stride 0": (
        IMAGE + layer("Convolution", conv(FILLED + "num_output: 2 kernel_size: 3 stride: 0")),
        r"strides must be positive",
    ),
    "convolution groups": (
        IMAGE + layer("Convolution", conv(FILLED + "num_output: 6 kernel_size: 3 group: 3")),
        r"4 input channels.*group 3",
    ),
    "convolution output groups": (
        IMAGE + layer("Convolution", conv(FILLED + "num_output: 5 kernel_size: 3 group: 2")),
        r"num_output 5.*group 2",
    ),
    "convolution without outputs": (IMAGE + layer("Convolution", conv(FILLED + "kernel_size: 3")), r"num_output"),
    "convolution axis": (
        IMAGE + layer("Convolution", conv(FILLED + "num_output: 2 kernel_size: 3 axis: 4")),
        r"axis 4 is out of range",
    ),
    "convolution bottoms": (
        IMAGE
        + data(2, 4, 8, 7, name="more")
        + layer("Convolution", conv(FILLED + "num_output: 2 kernel_size: 3"), "data more", "a b"),
        r"differ in shape",
    ),
    "convolution of nothing": (
        IMAGE + layer("Convolution", conv(FILLED + "num_output: 2 kernel_size: 12")),
        r"size -?\d+.*kernel spans 12",
    ),
    "deconvolution of nothing": (
        IMAGE + layer("Deconvolution", conv(FILLED + "num_output: 2 kernel_size: 1 pad: 9")),
        r"size -\d+",
    ),
    "pooling without a kernel": (IMAGE + layer("Pooling", pool("pool: MAX")), r"kernel_size"),
    "pooling with two kernels": (
        IMAGE + layer("Pooling", pool("pool: MAX kernel_size: 2 kernel_h: 2 kernel_w: 2")),
        r"either kernel_size or kernel_h and kernel_w",
    ),
    "pooling kernel_h alone": (IMAGE + layer("Pooling", pool("pool: MAX kernel_h: 2")), r"kernel_h and kernel_w"),
    "pooling 3-D": (data(2, 3, 4) + layer("Pooling", pool("kernel_size: 2")), r"4 axes"),
    "pooling padded too far": (IMAGE + layer("Pooling", pool("kernel_size: 2 pad: 2")), r"smaller than the kernel"),
    "pooling pad_h and pad": (
        IMAGE + layer("Pooling", pool("kernel_size: 3 pad: 1 pad_h: 1 pad_w: 1")),
        r"pad_h and pad_w",
    ),
    "pooling stride 0": (IMAGE + layer("Pooling", pool("kernel_size: 3 stride: 0")), r"strides must be positive"),
    "global pooling with a kernel": (
        IMAGE + layer("Pooling", pool("kernel_size: 3 global_pooling: true")),
        r"global_pooling",
    ),
    "global pooling with a stride": (
        IMAGE + layer("Pooling", pool("stride: 2 global_pooling: true")),
        r"global_pooling",
    ),
    "two tops of average pooling": (
        IMAGE + layer("Pooling", pool("pool: AVE kernel_size: 2"), tops="a b"),
        r"at most 1 tops",
    ),
    "spp of too small an image": (data(1, 2, 3, 3) + layer("SPP", "spp_param { pyramid_height: 4 }"), r"too short"),
    "lrn of even size": (IMAGE + layer("LRN", "lrn_param { local_size: 4 }"), r"4 is not odd"),
    "lrn 3-D": (data(2, 3, 4) + layer("LRN"), r"4 axes"),
    "batch norm 1-D": (data(4) + layer("BatchNorm"), r"at least 2 axes"),
    "mvn 5-D": (data(1, 2, 3, 2, 2) + layer("MVN"), r"at most 4 axes"),
    "inner product axis": (
        IMAGE + layer("InnerProduct", f"inner_product_param {{ {FILLED} num_output: 2 axis: -5 }}"),
        r"axis -5 is out of range",
    ),
    "scale of too many axes": (IMAGE + layer("Scale", "scale_param { axis: 2 num_axes: 3 }"), r"3 axes from axis 2"),
    "scale by a blob that does not fit": (
        IMAGE + data(2, 3, name="gate") + layer("Scale", "scale_param { axis: 0 }", "data gate"),
        r"does not fit",
    ),
    "scale by a blob that is too long": (
        data(2, 4) + data(4, 2, name="gate") + layer("Scale", "", "data gate"),
        r"does not fit",
    ),
    "bias num_axes": (IMAGE + layer("Bias", "bias_param { num_axes: -2 }"), r"num_axes is -2"),
    "prelu 1-D": (data(4) + layer("PReLU"), r"at least 2 axes"),
    "prelu 5-D": (data(1, 2, 3, 2, 2) + layer("PReLU"), r"at most 4 axes"),
    "absval in place": (IMAGE + layer("AbsVal", "", "data", "data", name="a"), r"in place"),
    "exp base": (IMAGE + layer("Exp", "exp_param { base: -2 }"), r"base -2"),
    "log base 1": (IMAGE + layer("Log", "log_param { base: 1 }"), r"base 1"),
    "log base 0": (IMAGE + layer("Log", "log_param { base: 0 }"), r"base 0"),
    "softmax axis": (data(2, 3) + layer("Softmax", "softmax_param { axis: 2 }"), r"axis 2 is out of range"),
    "argmax of none": (IMAGE + layer("ArgMax", "argmax_param { top_k: 0 }"), r"at least 1"),
    "argmax of too many": (data(2, 3) + layer("ArgMax", "argmax_param { top_k: 4 }"), r"top_k 4"),
    "argmax of too many along an axis": (
        IMAGE + layer("ArgMax", "argmax_param { axis: 1 top_k: 5 }"),
        r"top_k 5 exceeds the size of axis 1",
    ),
    "reduction axis": (data(2, 3) + layer("Reduction", "reduction_param { axis: 2 }"), r"axis 2 is out of range"),
    "eltwise shapes": (IMAGE + data(2, 4, 9, 6, name="more") + layer("Eltwise", "", "data more"), r"differ in shape"),
    "eltwise coefficients": (
        TWO + layer("Eltwise", "eltwise_param { coeff: 1 }", "data more"),
        r"1 coefficients for 2",
    ),
    "eltwise product with coefficients": (
        TWO + layer("Eltwise", "eltwise_param { operation: PROD coeff: 1 coeff: 2 }", "data more"),
        r"for SUM only",
    ),
    "concat axes": (data(2, 3) + data(2, 3, 1, name="more") + layer("Concat", "", "data more"), r"differ in axes"),
    "concat shapes": (
        data(2, 3, 4) + data(2, 3, 5, name="more") + layer("Concat", "", "data more"),
        r"differ in more than axis 1",
    ),
    "concat axis twice": (
        TWO + layer("Concat", "concat_param { axis: 1 concat_dim: 1 }", "data more"),
        r"exclude each other",
    ),
    "concat_dim": (TWO + layer("Concat", "concat_param { concat_dim: 4 }", "data more"), r"concat_dim 4"),
    "slice unevenly": (data(2, 5) + layer("Slice", tops="a b"), r"5 elements do not divide into 2"),
    "slice points": (
        data(2, 5) + layer("Slice", "slice_param { slice_point: 2 }", tops="a b c"),
        r"1 slice points for 3",
    ),
    "slice points that fall": (
        data(2, 5) + layer("Slice", "slice_param { slice_point: 2 slice_point: 1 }", tops="a b c"),
        r"not in ascending order",
    ),
    "slice points beyond": (
        data(2, 5) + layer("Slice", "slice_param { slice_point: 6 }", tops="a b"),
        r"leave nothing",
    ),
    "flatten in place": (IMAGE + layer("Flatten", "", "data", "data", name="f"), r"in place"),
    "flatten axes": (IMAGE + layer("Flatten", "flatten_param { axis: 3 end_axis: 1 }"), r"axis 3 is after"),
    "reshape in place": (
        IMAGE + layer("Reshape", "reshape_param { shape { dim: -1 } }", "data", "data", name="r"),
        r"in place",
    ),
    "reshape with two -1": (
        IMAGE + layer("Reshape", "reshape_param { shape { dim: -1 dim: -1 } }"),
        r"more than one -1",
    ),
    "reshape that does not divide": (
        data(2, 5) + layer("Reshape", "reshape_param { shape { dim: 3 dim: -1 } }"),
        r"10 elements do not divide by 3",
    ),
    "reshape to another count": (
        data(2, 5) + layer("Reshape", "reshape_param { shape { dim: 2 dim: 4 } }"),
        r"number of elements",
    ),
    "reshape 0 beyond the axes": (
        data(2, 5) + layer("Reshape", "reshape_param { shape { dim: 2 dim: 5 dim: 0 } }"),
        r"no axis of .* to copy",
    ),
    "reshape axis": (data(2, 5) + layer("Reshape", "reshape_param { axis: 3 shape { dim: 1 } }"), r"axis 3"),
    "reshape num_axes": (
        data(2, 5) + layer("Reshape", "reshape_param { axis: 1 num_axes: 2 shape { dim: 5 } }"),
        r"2 axes from axis 1",
    ),
    "reshape to a negative size": (
        data(2, 5) + layer("Reshape", "reshape_param { shape { dim: -2 dim: -5 } }"),
        r"negative dimension",
    ),
    "crop beyond the blob": (
        data(2, 3, 8, 8) + data(2, 3, 6, 6, name="size") + layer("Crop", "crop_param { offset: 3 }", "data size"),
        r"6 from 3 on is more than 8",
    ),
    "crop offsets": (
        data(2, 3, 8, 8)
        + data(2, 3, 6, 6, name="size")
        + layer("Crop", "crop_param { axis: 1 offset: 0 offset: 0 }", "data size"),
        r"2 offsets for 3",
    ),
    "tile without a number": (IMAGE + layer("Tile"), r"tiles must be given"),
    "batch reindex index": (IMAGE + data(2, 1, name="index") + layer("BatchReindex", "", "data index"), r"one axis"),
    "split in place": (IMAGE + layer("Split", "", "data", "data", name="s"), r"in place"),
    "im2col without space": (data(2, 3) + layer("Im2col", conv("kernel_size: 1")), r"spatial axis"),
    "embed without rows": (
        data(2, 3) + layer("Embed", f"embed_param {{ {FILLED} num_output: 2 }}"),
        r"input_dim must be positive",
    ),
}

# Caffe computes these, out of what it has just overwritten, kept from the pass before, or cannot be known ahead.
REFUSED = {
    "inner product in place": (
        data(2, 3)
        + layer("InnerProduct", f"inner_product_param {{ {FILLED} num_output: 3 }}", "data", "data", name="i"),
        r"in place",
    ),
    "pointwise convolution in place": (
        IMAGE + layer("Convolution", conv(FILLED + "num_output: 4 kernel_size: 1"), "data", "data", name="c"),
        r"in place",
    ),
    "pooling in place": (IMAGE + layer("Pooling", pool("kernel_size: 1"), "data", "data", name="p"), r"in place"),
    "tile in place": (IMAGE + layer("Tile", "tile_param { tiles: 2 }", "data", "data", name="t"), r"in place"),
    "concat in place": (TWO + layer("Concat", "", "data more", "data", name="c"), r"in place"),
    "in place on a parameter": (
        IMAGE
        + layer("Parameter", "parameter_param { shape { dim: 4 } }", "", "p")
        + layer("Power", "power_param { shift: 1 }", "p", "p", name="shift")
        + layer("Bias", "", "data p"),
        r"changes the constant 'p'",
    ),
    "in place on memory that another bottom shares": (
        data(2, 3)
        + layer("TanH", tops="t")
        + layer("Split", "", "t", "a b")
        + layer("Eltwise", "", "a b", "a", name="e"),
        r"memory.*'b'",
    ),
    "lstm": (
        data(3, 2, 4)
        + data(3, 2, name="cont")
        + layer("LSTM", f"recurrent_param {{ num_output: 2 {FILLED} }}", "data cont"),
        r"state",
    ),
    "filter": (IMAGE + data(2, name="which") + layer("Filter", "", "data which"), r"depend on the data"),
    "weights without filler": (IMAGE + layer("InnerProduct", "inner_product_param { num_output: 3 }"), r"no weights"),
    "random weights": (
        IMAGE + layer("InnerProduct", 'inner_product_param { num_output: 3 weight_filler { type: "xavier" } }'),
        r"random values \(xavier\)",
    ),
    "an input without elements": (data(2, 0, 3) + layer("TanH"), r"empty shape"),
    "no computation": (IMAGE, r"computes nothing|no layer"),
}
