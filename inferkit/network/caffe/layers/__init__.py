"""The table of layers: Caffe's layer type to its converter, its numbers of bottoms and tops, and how it uses memory.

A converter takes a LayerContext and returns one tensor per top that the prototxt names. A new layer is one line
here, its function in the file of its kind, and its test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from inferkit.network.caffe.files.schema import LayerParameter
from inferkit.network.caffe.layer import LayerContext, Tensor
from inferkit.network.caffe.layers import (
    activation,
    affine,
    convolution,
    elementwise,
    normalization,
    pooling,
    reduction,
    shape,
    sink,
)


def _never(layer: LayerParameter) -> bool:
    return False


def _always(layer: LayerParameter) -> bool:
    return True


def _alone(layer: LayerParameter) -> bool:
    return len(layer.bottom) == len(layer.top) == 1


@dataclass(frozen=True)
class Kind:
    """One layer type. Counts are (least, most), None for any number.

    `shares`: whether the tops of such a layer use its bottom's memory, so that a later layer in place changes all.
    """

    convert: Callable[[LayerContext], list[Tensor]]
    bottoms: tuple[int, int | None] = (1, 1)
    tops: tuple[int, int | None] = (1, 1)
    shares: Callable[[LayerParameter], bool] = _never


LAYERS: dict[str, Kind] = {
    # Linear maps
    "Convolution": Kind(convolution.convolution, (1, None), (1, None)),
    "Deconvolution": Kind(convolution.deconvolution, (1, None), (1, None)),
    "Embed": Kind(affine.embed),
    "Im2col": Kind(convolution.im2col),
    "InnerProduct": Kind(affine.inner_product),
    # Scale, bias and normalization
    "BatchNorm": Kind(normalization.batch_norm),
    "Bias": Kind(affine.bias, (1, 2)),
    "LRN": Kind(normalization.lrn),
    "MVN": Kind(normalization.mvn),
    "Scale": Kind(affine.scale, (1, 2)),
    # Pooling
    "Pooling": Kind(pooling.pooling, tops=(1, 2)),
    "SPP": Kind(pooling.pyramid),
    # Functions of each element
    "AbsVal": Kind(activation.absolute),
    "BNLL": Kind(activation.operator("Softplus")),
    "Clip": Kind(activation.clip),
    "Dropout": Kind(activation.dropout),
    "ELU": Kind(activation.elu),
    "Exp": Kind(activation.exponential),
    "Log": Kind(activation.logarithm),
    "Power": Kind(activation.power),
    "PReLU": Kind(activation.prelu),
    "ReLU": Kind(activation.relu),
    "Sigmoid": Kind(activation.operator("Sigmoid")),
    "Swish": Kind(activation.swish),
    "TanH": Kind(activation.operator("Tanh")),
    "Threshold": Kind(activation.threshold),
    # Functions of several blobs, and along axes
    "ArgMax": Kind(reduction.arg_max),
    "Eltwise": Kind(elementwise.eltwise, (2, None)),
    "Reduction": Kind(reduction.reduction),
    "Softmax": Kind(reduction.softmax),
    # Moves of elements
    "BatchReindex": Kind(shape.batch_reindex, (2, 2)),
    "Concat": Kind(shape.concat, (1, None), shares=_alone),
    "Crop": Kind(shape.crop, (2, 2)),
    "Flatten": Kind(shape.flatten, shares=_always),
    "Reshape": Kind(shape.reshape, shares=_always),
    "Slice": Kind(shape.slice_, tops=(1, None), shares=_alone),
    "Split": Kind(shape.split, tops=(1, None), shares=_always),
    "Tile": Kind(shape.tile),
    # Sources and sinks
    "DummyData": Kind(sink.dummy_data, (0, 0), (1, None)),
    "HDF5Output": Kind(sink.hdf5_output, (2, 2), (0, 0)),
    "Parameter": Kind(sink.parameter, (0, 0)),
    "Silence": Kind(sink.silence, (1, None), (0, 0)),
    **{name: Kind(sink.refused(reason), bottoms, tops) for name, (reason, bottoms, tops) in sink.REFUSED.items()},
}
