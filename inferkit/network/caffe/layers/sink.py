"""Layers that an imported net leaves out or refuses: sinks, and those that say more than one pass over images."""

from __future__ import annotations

from collections.abc import Callable

from inferkit.network.caffe.layer import Layer, Tensor


def silence(layer: Layer) -> list[Tensor]:
    """Caffe's Silence: its bottoms are no outputs of the net."""
    layer.check(layer.top_count == 0, "has no tops")
    return []


def hdf5_output(layer: Layer) -> list[Tensor]:
    """Caffe's HDF5Output: writes its bottoms to a file, which an imported net does not."""
    layer.check(layer.top_count == 0, "has no tops")
    layer.notes.append(f"layer '{layer.name}' (HDF5Output) is left out: an imported net writes no files")
    return []


def refused(reason: str) -> Callable[[Layer], list[Tensor]]:
    """The converter of a layer that Caffe has and ONNX cannot say."""

    def convert(layer: Layer) -> list[Tensor]:
        layer.refuse(reason)

    return convert


_LOSS = "computes a loss, not a result; import the part of the net before it (or the deploy prototxt)"
_DATA = "reads data files; import the deploy part of the net, whose input takes the images"
_RECURRENT = "keeps state from one forward pass to the next, which an ONNX graph cannot"

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
    "LSTMUnit": "is a part of LSTM, which keeps state from one forward pass to the next",
    "Filter": "lets through as many items as its selector says, so the sizes of its tops depend on the data",
    "Python": "runs Python code of yours; write what it computes with other layers",
}
