"""Small Caffe nets with edge cases between layers: names, which layer reads which blob, and what follows the batch."""

from __future__ import annotations

from tests.network.caffe.layers.caffe_cases import IMAGE, conv, data, layer

NAMES = {
    "slashes, spaces, numbers": data(1, 3, 5, 5, name="in/data 0")
    + 'layer { name: "a b" type: "TanH" bottom: "in/data 0" top: "0" }\n'
    + 'layer { name: "0" type: "Sigmoid" bottom: "0" top: "x/y:0" }\n'
    + 'layer { name: "\\303\\251t\\303\\251" type: "ReLU" bottom: "x/y:0" top: "\\303\\251" }\n',
    "one name for two layers": IMAGE + layer("TanH", tops="a", name="same") + layer("ReLU", "", "a", "b", name="same"),
    "layers named as other layers' blobs": IMAGE
    + layer("TanH", tops="a", name="b")
    + layer("ReLU", "", "a", "b", name="a"),
    "names that constants would have": IMAGE
    + layer("Convolution", conv("num_output: 2 kernel_size: 1"), tops="c/weight", name="c")
    + layer("TanH", "", "c/weight", "c/bias", name="c/Conv"),
    "no names": IMAGE + 'layer { type: "TanH" bottom: "data" top: "a" }\nlayer { type: "TanH" bottom: "a" top: "b" }\n',
}

WIRING = {
    "a chain in place": IMAGE
    + layer("Convolution", conv("num_output: 3 kernel_size: 3"), tops="c")
    + layer("BatchNorm", "", "c", "c", name="n")
    + layer("Scale", "scale_param { bias_term: true }", "c", "c", name="s")
    + layer("ReLU", "", "c", "c", name="r")
    + layer("Dropout", "", "c", "c", name="d"),
    "a bottom used thrice": IMAGE
    + layer("TanH", tops="t")
    + layer("ReLU", "", "t", "a")
    + layer("Sigmoid", "", "t", "b")
    + layer("Eltwise", "", "t a b"),
    "in place on the input": IMAGE
    + layer("Power", "power_param { shift: 1 scale: 2 }", "data", "data", name="p")
    + layer("TanH"),
    "in place on what a reshape shares": IMAGE
    + layer("TanH", tops="t")
    + layer("Flatten", "", "t", "f")
    + layer("ReLU", "", "f", "f", name="r")
    + layer("Power", "power_param { scale: 2 }", "t", "after"),
    "in place on what a split shares": IMAGE
    + layer("Split", tops="a b")
    + layer("ReLU", "", "a", "a", name="r")
    + layer("Power", "power_param { scale: 2 }", "b", "after"),
    "an output that shares memory": IMAGE
    + layer("TanH", tops="t")
    + layer("Split", "", "t", "a b")
    + layer("ReLU", "", "a", "a", name="r"),
    "in place on the only bottom of a concat": IMAGE
    + layer("TanH", tops="t")
    + layer("Concat", "", "t", "one")
    + layer("ReLU", "", "one", "one", name="r")
    + layer("Power", "power_param { scale: 2 }", "t", "after"),
    "silence": IMAGE + layer("TanH", tops="a") + layer("ReLU", tops="b") + layer("Silence", "", "a", ""),
    "an input that nothing reads": IMAGE + data(2, name="label") + layer("TanH"),
    "an unread top": IMAGE + layer("Split", tops="a b c") + layer("Eltwise", "", "a c"),
    "two outputs, sorted": IMAGE + layer("TanH", tops="z") + layer("ReLU", tops="a"),
    "a net without layers that compute": IMAGE + layer("Split", tops="a b"),
    "parameter": data(2, 3, 4)
    + layer("Parameter", "parameter_param { shape { dim: 3 dim: 4 } }", "", "w")
    + layer("Scale", "scale_param { axis: 1 }", "data w"),
    "parameter as an output": IMAGE
    + layer("TanH")
    + layer("Parameter", "parameter_param { shape { dim: 3 } }", "", "w"),
    "dummy data": IMAGE
    + layer(
        "DummyData",
        'dummy_data_param { shape { dim: 4 dim: 9 } data_filler { type: "constant" value: 2.5 } }',
        "",
        "two",
    )
    + layer("Scale", "", "data two"),
    "dummy data of the old form": data(2, 3, 4, 4)
    + layer("DummyData", "dummy_data_param { num: 2 channels: 3 height: 4 width: 4 }", "", "zero")
    + layer("Concat", "", "data zero"),
    "shared parameters": IMAGE
    + layer(
        "Convolution",
        'param { name: "w" } param { name: "b" } ' + conv("num_output: 4 kernel_size: 3 pad: 1"),
        tops="c",
    )
    + layer(
        "Convolution",
        'param { name: "w" } param { name: "b" } ' + conv("num_output: 4 kernel_size: 3 pad: 1"),
        "c",
        "out",
    ),
}

BATCH = {
    "reshape states a batch of 1": data(1, 6, 2) + layer("Reshape", "reshape_param { shape { dim: 1 dim: 12 } }"),
    "reshape states the batch": data(4, 6, 2)
    + layer("Reshape", "reshape_param { shape { dim: 4 dim: 12 } }", tops="r")
    + layer("InnerProduct", "inner_product_param { num_output: 3 }", "r"),
    "reshape with a batch of 1 and -1": data(1, 6, 2)
    + layer("Reshape", "reshape_param { shape { dim: 1 dim: -1 } }", tops="r")
    + layer("InnerProduct", "inner_product_param { num_output: 3 }", "r"),
    "reshape with a batch of 1 and -1, at the end": data(1, 6, 2)
    + layer("Reshape", "reshape_param { shape { dim: 1 dim: -1 } }", tops="r")
    + layer("Softmax", "", "r"),
    "pairs": data(4, 3)
    + layer("Slice", "slice_param { axis: 0 }", tops="a b")
    + layer("Eltwise", "eltwise_param { coeff: 1 coeff: -1 }", "a b"),
    "there and back": data(2, 3, 4)
    + layer("Reshape", "reshape_param { shape { dim: -1 dim: 4 } }", tops="r")
    + layer("InnerProduct", "inner_product_param { num_output: 2 }", "r", "i")
    + layer("Reshape", "reshape_param { shape { dim: -1 dim: 3 dim: 2 } }", "i"),
    "an input of another batch": data(2, 3, 4, 4)
    + data(5, 3, name="rois")
    + layer("TanH")
    + layer("ReLU", "", "rois", "r"),
    "power 0 of a free batch": data(2, 3)
    + layer("Power", "power_param { power: 0 }", tops="p")
    + layer("Concat", "", "data p"),
}
