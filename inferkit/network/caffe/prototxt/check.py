"""Checks each layer as Caffe's Net and Layer do before any shape is known, parts that inference drops included."""

from __future__ import annotations

from collections.abc import Iterable

from inferkit.errors import NetworkError
from inferkit.network.caffe.files.fillers import WrongFiller, check_filler
from inferkit.network.caffe.files.schema import FillerParameter, LayerParameter, NetParameter
from inferkit.network.caffe.layers import LAYERS

# Learned blobs that no filler is for; None: any number. A layer of another type has one for each of its fillers.
_UNFILLED = {"BatchNorm": 3, "Parameter": 1, "DummyData": 0, "LSTM": None, "RNN": None, "Python": None}
# Type -> its parameter message, the fillers that it always uses, and the one that it uses with bias_term.
_FILLERS = {
    "Convolution": ("convolution_param", ("weight_filler",), "bias_filler"),
    "Deconvolution": ("convolution_param", ("weight_filler",), "bias_filler"),
    "Embed": ("embed_param", ("weight_filler",), "bias_filler"),
    "InnerProduct": ("inner_product_param", ("weight_filler",), "bias_filler"),
    "PReLU": ("prelu_param", ("filler",), None),
    "LSTM": ("recurrent_param", ("weight_filler", "bias_filler"), None),
    "RNN": ("recurrent_param", ("weight_filler", "bias_filler"), None),
    "Bias": ("bias_param", ("filler",), None),
    "Scale": ("scale_param", ("filler",), "bias_filler"),
}


def check_layers(net: NetParameter, source: object) -> None:
    """NetworkError for the first layer of `net` (upgraded, filtered) that Caffe aborts on whatever its shapes are.

    Types that Caffe lacks are left alone: they may be in a part that inference does not need.
    """
    shared: dict[tuple[str, str], float] = {}
    for layer in net.layer:
        if not is_known(layer):
            continue
        for reason in (*_wrong_counts(layer), *_wrong_fillers(layer), *_wrong_rates(layer, shared)):
            raise NetworkError(f"{source}, layer {layer.name!r} ({layer.type}): {reason}")


def is_known(layer: LayerParameter) -> bool:
    """Whether Caffe 1.0 has the layer's type."""
    return layer.type == "Input" or layer.type in LAYERS


def _wrong_counts(layer: LayerParameter) -> Iterable[str]:
    bottoms, tops = (
        ((0, 0), (1, None)) if layer.type == "Input" else (LAYERS[layer.type].bottoms, LAYERS[layer.type].tops)
    )
    # Loss layers make the top that their prototxt leaves out (Layer::AutoTopBlobs).
    made = max(len(layer.top), 1) if layer.type.endswith("Loss") else len(layer.top)
    for name, count, (least, most) in (("bottoms", len(layer.bottom), bottoms), ("tops", made, tops)):
        if most == 0 < count:
            yield f"takes no {name}"
        elif count < least or (most is not None and count > most):
            wanted = str(least) if least == most else f"at least {least}" if most is None else f"{least} to {most}"
            yield f"needs {wanted} {name}, but the prototxt names {count}"
    if len(layer.propagate_down) not in (0, len(layer.bottom)):
        yield f"{len(layer.propagate_down)} propagate_down entries for {len(layer.bottom)} bottoms"
    if len(layer.loss_weight) not in (0, made):
        yield f"{len(layer.loss_weight)} loss weights for {made} tops"
    learned = _UNFILLED.get(layer.type, len(list(_fillers(layer))))
    if learned is not None and len(layer.param) > learned:
        yield f"{len(layer.param)} param entries for {learned} learned blobs"
    if layer.type == "Input" and len(layer.input_param.shape) not in (0, 1, made):
        yield f"{len(layer.input_param.shape)} shapes for {made} tops"
    if layer.type == "DummyData":
        yield from _wrong_dummy_counts(layer)


def _wrong_dummy_counts(layer: LayerParameter) -> Iterable[str]:
    settings, count = layer.dummy_data_param, len(layer.top)
    if len(settings.data_filler) not in (0, 1, count):
        yield f"{len(settings.data_filler)} fillers for {count} tops"
    sizes = (settings.num, settings.channels, settings.height, settings.width)
    if not any(sizes):
        if len(settings.shape) not in (1, count):
            yield "needs shape once, or once per top"
    elif settings.shape:
        yield "shape excludes num, channels, height and width; give one of the two forms"
    elif not all(len(size) in (1, count) for size in sizes):
        yield "needs num, channels, height and width once, or once per top"


def _wrong_fillers(layer: LayerParameter) -> Iterable[str]:
    """Fillers that Caffe lacks or that contradict themselves; values in the prototxt keep Caffe from using any."""
    for name, filler in () if layer.blobs else _fillers(layer):
        try:
            check_filler(filler)
        except WrongFiller as error:
            yield f"{name}: {error}"


def _fillers(layer: LayerParameter) -> Iterable[tuple[str, FillerParameter]]:
    if layer.type == "DummyData":
        yield from (("data_filler", filler) for filler in layer.dummy_data_param.data_filler)
        return
    message, always, with_bias = _FILLERS.get(layer.type, ("", (), None))
    names = [] if layer.type in ("Bias", "Scale") and len(layer.bottom) > 1 else list(always)
    if with_bias is not None and getattr(layer, message).bias_term:
        names.append(with_bias)
    yield from ((name, getattr(getattr(layer, message), name)) for name in names)


def _wrong_rates(layer: LayerParameter, shared: dict[tuple[str, str], float]) -> Iterable[str]:
    """Learning rates that Caffe refuses in the phase TEST too; `shared` collects those of parameters with a name."""
    if layer.type == "BatchNorm" and any(spec.lr_mult != 0 for spec in layer.param):
        yield "its statistics are no parameters to learn: each param needs lr_mult 0"
    for spec in layer.param:
        for field in ("lr_mult", "decay_mult"):
            if spec.name and spec.HasField(field):
                value = getattr(spec, field)
                first = shared.setdefault((spec.name, field), value)
                if first != value:
                    yield f"shares parameter {spec.name!r} with {field} {value:g}, but it has {first:g} already"
