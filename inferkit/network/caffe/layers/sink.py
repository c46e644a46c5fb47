"""Sinks and constants: layers without tops, which are left out or refused, and layers without bottoms."""

from __future__ import annotations

from collections.abc import Callable

from inferkit.network.caffe.files.fillers import RandomFiller, WrongFiller, fill
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


_Range = tuple[int, int | None]

_LOSS = "computes a loss, not a result; import the part of the net before it (or the deploy prototxt)"
_DATA = "reads data files; import the deploy part of the net, whose input takes the images"
_RECURRENT = "keeps state between forward passes, which an ONNX graph cannot"

# Layer type -> why it is refused, and its numbers of bottoms and tops, which Caffe checks.
REFUSED: dict[str, tuple[str, _Range, _Range]] = {
    "Accuracy": ("compares with labels; import the part of the net before it (or the deploy prototxt)", (2, 2), (1, 2)),
    "ContrastiveLoss": (_LOSS, (3, 3), (1, 1)),
    "EuclideanLoss": (_LOSS, (2, 2), (1, 1)),
    "HingeLoss": (_LOSS, (2, 2), (1, 1)),
    "InfogainLoss": (_LOSS, (2, 3), (1, 2)),
    "MultinomialLogisticLoss": (_LOSS, (2, 2), (1, 1)),
    "SigmoidCrossEntropyLoss": (_LOSS, (2, 2), (1, 1)),
    "SoftmaxWithLoss": (_LOSS, (2, 2), (1, 2)),
    "Data": (_DATA, (0, 0), (1, 2)),
    "HDF5Data": (_DATA, (0, 0), (1, None)),
    "ImageData": (_DATA, (0, 0), (2, 2)),
    "MemoryData": (_DATA, (0, 0), (2, 2)),
    "WindowData": (_DATA, (0, 0), (2, 2)),
    "LSTM": (_RECURRENT, (2, None), (1, None)),
    "RNN": (_RECURRENT, (2, None), (1, None)),
    "LSTMUnit": ("is a part of LSTM, which keeps state between forward passes", (3, 3), (2, 2)),
    "Filter": ("selects items by their values, so the shapes of its tops depend on the data", (2, None), (1, None)),
    "Python": ("runs user code in Python; replace it with other layers", (0, None), (0, None)),
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
    sizes = [list(field) for field in (settings.num, settings.channels, settings.height, settings.width)]
    if any(sizes):
        shapes = [tuple(size[top % len(size)] for size in sizes) for top in range(count)]
    else:
        shapes = [tuple(settings.shape[top % len(settings.shape)].dim) for top in range(count)]
    tops = []
    for top, shape in enumerate(shapes):
        try:
            tops.append(layer.constant(fill(shape, fillers[top % len(fillers)]), "data"))
        except (RandomFiller, WrongFiller) as error:
            layer.refuse(str(error))
    return tops
