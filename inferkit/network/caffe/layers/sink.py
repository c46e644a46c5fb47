"""Sinks and constants: layers without tops, which are left out or refused, and layers without bottoms."""

from __future__ import annotations

from collections.abc import Callable

from inferkit.network.caffe.files.fillers import RandomFiller, fill
from inferkit.network.caffe.files.schema import FillerParameter
from inferkit.network.caffe.layer import BlobSpec, LayerContext, Tensor, constant_filler


def silence(layer: LayerContext) -> list[Tensor]:
    """Caffe's Silence: its bottoms are no outputs of the net."""
    layer.check(layer.top_count == 0, "has no tops")
    return []


def hdf5_output(layer: LayerContext) -> list[Tensor]:
    """Caffe's HDF5Output: writes its bottoms to a file, which an imported net does not."""
    layer.check(layer.top_count == 0, "has no tops")
    layer.notes.append(f"layer '{layer.name}' (HDF5Output) is left out: an imported net writes no files")
    return []


def refused(reason: str) -> Callable[[LayerContext], list[Tensor]]:
    """The converter of a layer that Caffe has and ONNX cannot express."""

    def convert(layer: LayerContext) -> list[Tensor]:
        layer.refuse(reason)

    return convert


_LOSS = "computes a loss, not a result; import the part of the net before it (or the deploy prototxt)"
_DATA = "reads data files; import the deploy part of the net, whose input takes the images"
_RECURRENT = "keeps state between forward passes, which an ONNX graph cannot"

REFUSED = {
    "Accuracy": "compares with labels; import the part of the net before it (or the deploy prototxt)",
    "ContrastiveLoss": _LOSS,
    "EuclideanLoss": _LOSS,
    "HingeLoss": _LOSS,
    "InfogainLoss": _LOSS,
    "MultinomialLogisticLoss": _LOSS,
    "SigmoidCrossEntropyLoss": _LOSS,
    "SoftmaxWithLoss": _LOSS,
    "Data": _DATA,
    "HDF5Data": _DATA,
    "ImageData": _DATA,
    "MemoryData": _DATA,
    "WindowData": _DATA,
    "LSTM": _RECURRENT,
    "RNN": _RECURRENT,
    "LSTMUnit": "is a part of LSTM, which keeps state between forward passes",
    "Filter": "selects items by their values, so the shapes of its tops depend on the data",
    "Python": "runs user code in Python; replace it with other layers",
}


def parameter(layer: LayerContext) -> list[Tensor]:
    """Caffe's Parameter: a learned blob as a top."""
    shape = tuple(layer.param.parameter_param.shape.dim)
    layer.check(all(dim > 0 for dim in shape), f"the shape {list(shape)} is empty")
    (blob,) = layer.blobs(BlobSpec(shape, constant_filler(0.0)))
    return [layer.constant(blob, "value")]


def dummy_data(layer: LayerContext) -> list[Tensor]:
    """Caffe's DummyData with deterministic fillers: constants."""
    settings, count = layer.param.dummy_data_param, layer.top_count
    fillers = list(settings.data_filler) or [FillerParameter(type="constant", value=0)]
    layer.check(len(fillers) in (1, count), f"{len(fillers)} fillers for {count} tops")
    sizes = [list(field) for field in (settings.num, settings.channels, settings.height, settings.width)]
    if any(sizes):
        layer.check(not settings.shape, "shape excludes num, channels, height and width; give one of the two forms")
        layer.check(
            all(len(size) in (1, count) for size in sizes),
            "needs num, channels, height and width once, or once per top",
        )
        shapes = [tuple(size[top % len(size)] for size in sizes) for top in range(count)]
    else:
        layer.check(len(settings.shape) in (1, count), "needs shape once, or once per top")
        shapes = [tuple(settings.shape[top % len(settings.shape)].dim) for top in range(count)]
    tops = []
    for top, shape in enumerate(shapes):
        try:
            tops.append(layer.constant(fill(shape, fillers[top % len(fillers)]), "data"))
        except RandomFiller as error:
            layer.refuse(str(error))
    return tops
