"""Caffe's own files: the prototxt, the caffemodel, and both as far as the checked ONNX model."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from inferkit.network.caffe.files.read import read_caffemodel, read_prototxt
from inferkit.network.caffe.files.schema import LayerParameter, NetParameter
from inferkit.network.caffe.files.wire import put_values
from inferkit.network.caffe.prototxt.upgrade import upgrade
from inferkit.network.load import load
from tools.fuzz.target import Target, a_file

_NET = """name: "n"
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 2 dim: 6 dim: 6 }} }} }}
{}
"""
# One line for each family of layers, read from `data` and filled by constants, so that no weights are needed.
_LAYERS = (
    'layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 2 kernel_size: 3 '
    'weight_filler { type: "constant" value: 1 } } }',
    'layer { name: "d" type: "Deconvolution" bottom: "data" top: "d" convolution_param { num_output: 2 group: 2 '
    'kernel_size: 4 stride: 2 weight_filler { type: "bilinear" } bias_term: false } }',
    'layer { name: "i" type: "InnerProduct" bottom: "data" top: "i" inner_product_param { num_output: 3 '
    'weight_filler { type: "constant" value: 1 } } }\nlayer { name: "s" type: "Softmax" bottom: "i" top: "s" }',
    'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }',
    'layer { name: "l" type: "LRN" bottom: "data" top: "l" lrn_param { local_size: 3 } }',
    'layer { name: "r" type: "ReLU" bottom: "data" top: "data" relu_param { negative_slope: 0.1 } }',
    'layer { name: "v" type: "Slice" bottom: "data" top: "a" top: "b" slice_param { axis: 1 slice_point: 1 } }\n'
    'layer { name: "m" type: "Concat" bottom: "a" bottom: "b" top: "m" concat_param { axis: 2 } }',
    'layer { name: "h" type: "Reshape" bottom: "data" top: "h" reshape_param { shape { dim: 0 dim: -1 } } }',
    'layer { name: "u" type: "DummyData" top: "u" dummy_data_param { shape { dim: 1 dim: 2 dim: 6 dim: 6 } } }\n'
    'layer { name: "e" type: "Eltwise" bottom: "data" bottom: "u" top: "e" eltwise_param { operation: SUM } }',
    'layer { name: "x" type: "Crop" bottom: "data" bottom: "data" top: "x" crop_param { axis: 2 offset: 0 } }',
    'layer { name: "w" type: "Power" bottom: "data" top: "w" power_param { power: 2 scale: 3 shift: 1 } }',
    'layer { name: "z" type: "Reduction" bottom: "data" top: "z" reduction_param { operation: ASUM axis: 1 } }',
    'layer { name: "t" type: "Tile" bottom: "data" top: "t" tile_param { axis: 1 tiles: 2 } }',
    'layer { name: "g" type: "ArgMax" bottom: "data" top: "g" argmax_param { top_k: 1 axis: 1 } }',
    'layer { name: "b" type: "BatchNorm" bottom: "data" top: "b" }\n'
    'layer { name: "k" type: "Scale" bottom: "b" top: "b" scale_param { bias_term: true } }',
)
_OLD = (
    b'name: "old" input: "data" input_dim: 1 input_dim: 2 input_dim: 6 input_dim: 6\n'
    b'layers { name: "c" type: POOLING bottom: "data" top: "c" pooling_param { pool: MAX kernel_size: 2 } }',
    b'name: "older" input: "data" input_dim: 1 input_dim: 2 input_dim: 6 input_dim: 6\n'
    b'layers { layer { name: "p" type: "pool" pool: MAX kernelsize: 2 } bottom: "data" top: "p" }',
    b'layer { name: "data" type: "Data" top: "data" top: "label" transform_param { crop_size: 6 mean_value: 1 '
    b'mean_value: 2 mean_file: "mean.binaryproto" } data_param { source: "x" batch_size: 2 } }\n'
    b'layer { name: "i" type: "Pooling" bottom: "data" top: "p" pooling_param { global_pooling: true } }\n'
    b'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "p" bottom: "label" top: "loss" }',
)
_WORDS = tuple(
    word.encode()
    for word in (
        *(field.name for field in LayerParameter.DESCRIPTOR.fields),
        *(field.name for field in NetParameter.DESCRIPTOR.fields),
        *("shape", "dim", "kernel_size", "num_output", "stride", "pad", "group", "dilation", "axis", "layer {", "}"),
        *("1000000000", "2147483647", "4294967295", "-1", "0", "9223372036854775807", "1e38", "inf", "nan", "#", '"'),
    )
)


def prototxts() -> Iterable[bytes]:
    """Small nets of every family of layers, today's and the old forms."""
    return (*(_NET.format(layer).encode() for layer in _LAYERS), *_OLD)


def read_definition(content: bytes) -> None:
    """The text alone, up to the current format."""
    with a_file(content, "net.prototxt") as path:
        upgrade(read_prototxt(path), path)


def import_definition(content: bytes) -> None:
    """A prototxt whose weights are its fillers', as far as the checked ONNX model."""
    with a_file(content, "net.prototxt") as path:
        load(path)


_FOR_WEIGHTS = _NET.format(
    'layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 2 kernel_size: 3 } }'
)


@cache
def _weights() -> bytes:
    net = NetParameter(name="n")
    layer = net.layer.add(name="c", type="Convolution")
    for shape in ((2, 2, 3, 3), (2,)):
        blob = layer.blobs.add()
        blob.shape.dim.extend(shape)
        put_values(blob, [1.0] * (36 if len(shape) == 4 else 2))
    return bytes(net.SerializeToString())


def caffemodels() -> Iterable[bytes]:
    """The weights of one convolution: shapes in the new and the old form, numbers packed, single and double."""
    net = NetParameter.FromString(_weights())
    for blob in net.layer[0].blobs:
        dims = list(blob.shape.dim)
        blob.ClearField("shape")
        blob.num, blob.channels, blob.height, blob.width = [1] * (4 - len(dims)) + dims
        numbers = list(blob.data)
        blob.ClearField("data")
        blob.double_data.extend(numbers)
    old = NetParameter(name="n")
    layer = old.layers.add(name="c", type=4)
    layer.blobs.extend(net.layer[0].blobs)
    return _weights(), net.SerializeToString(), old.SerializeToString()


def read_weights(content: bytes) -> None:
    """The file alone, every blob's numbers asked for, and then with the net that it belongs to."""
    with a_file(content, "net.caffemodel") as path:
        model = read_caffemodel(path)
        for layer in model.net.layer:
            for blob in layer.blobs:
                model.values(blob)
        path.with_name("net.prototxt").write_text(_FOR_WEIGHTS)
        load(path.with_name("net.prototxt"), path)


TARGETS = (
    Target("prototxt", read_definition, prototxts, _WORDS),
    Target("prototxt_import", import_definition, prototxts, _WORDS),
    Target("caffemodel", read_weights, caffemodels, (b"\x0a", b"\xa2\x06", b"\x3a", b"\x2a", b"\xff\xff\xff\xff\x0f")),
)
