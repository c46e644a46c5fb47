"""Upgrades V0 prototxts (2013: `layers { layer { } }`, padding as a layer of its own) to V1."""

from __future__ import annotations

from inferkit.errors import NetworkError
from inferkit.network.caffe.files.schema import Message, NetParameter, V1LayerParameter

_TYPES = {
    "accuracy": "ACCURACY",
    "bnll": "BNLL",
    "concat": "CONCAT",
    "conv": "CONVOLUTION",
    "data": "DATA",
    "dropout": "DROPOUT",
    "euclidean_loss": "EUCLIDEAN_LOSS",
    "flatten": "FLATTEN",
    "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT",
    "im2col": "IM2COL",
    "images": "IMAGE_DATA",
    "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING",
    "relu": "RELU",
    "sigmoid": "SIGMOID",
    "softmax": "SOFTMAX",
    "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT",
    "tanh": "TANH",
    "window_data": "WINDOW_DATA",
}

_CONV, _POOL, _FC, _LRN = "convolution_param", "pooling_param", "inner_product_param", "lrn_param"
_DATA, _IMAGES, _WINDOW, _HDF5 = "data_param", "image_data_param", "window_data_param", "hdf5_data_param"

# Old field -> old type -> (message, field) that holds it now. Types that are not listed ignore the field.
_FIELDS: dict[str, dict[str, tuple[str, str]]] = {
    "num_output": {"conv": (_CONV, "num_output"), "innerproduct": (_FC, "num_output")},
    "biasterm": {"conv": (_CONV, "bias_term"), "innerproduct": (_FC, "bias_term")},
    "weight_filler": {"conv": (_CONV, "weight_filler"), "innerproduct": (_FC, "weight_filler")},
    "bias_filler": {"conv": (_CONV, "bias_filler"), "innerproduct": (_FC, "bias_filler")},
    "pad": {"conv": (_CONV, "pad"), "pool": (_POOL, "pad")},
    "kernelsize": {"conv": (_CONV, "kernel_size"), "pool": (_POOL, "kernel_size")},
    "group": {"conv": (_CONV, "group")},
    "stride": {"conv": (_CONV, "stride"), "pool": (_POOL, "stride")},
    "pool": {"pool": (_POOL, "pool")},
    "dropout_ratio": {"dropout": ("dropout_param", "dropout_ratio")},
    "local_size": {"lrn": (_LRN, "local_size")},
    "alpha": {"lrn": (_LRN, "alpha")},
    "beta": {"lrn": (_LRN, "beta")},
    "k": {"lrn": (_LRN, "k")},
    "source": {
        "data": (_DATA, "source"),
        "hdf5_data": (_HDF5, "source"),
        "images": (_IMAGES, "source"),
        "window_data": (_WINDOW, "source"),
        "infogain_loss": ("infogain_loss_param", "source"),
    },
    "batchsize": {
        "data": (_DATA, "batch_size"),
        "hdf5_data": (_HDF5, "batch_size"),
        "images": (_IMAGES, "batch_size"),
        "window_data": (_WINDOW, "batch_size"),
    },
    "rand_skip": {"data": (_DATA, "rand_skip"), "images": (_IMAGES, "rand_skip")},
    "shuffle_images": {"images": (_IMAGES, "shuffle")},
    "new_height": {"images": (_IMAGES, "new_height")},
    "new_width": {"images": (_IMAGES, "new_width")},
    "concat_dim": {"concat": ("concat_param", "concat_dim")},
    "det_fg_threshold": {"window_data": (_WINDOW, "fg_threshold")},
    "det_bg_threshold": {"window_data": (_WINDOW, "bg_threshold")},
    "det_fg_fraction": {"window_data": (_WINDOW, "fg_fraction")},
    "det_context_pad": {"window_data": (_WINDOW, "context_pad")},
    "det_crop_mode": {"window_data": (_WINDOW, "crop_mode")},
    "hdf5_output_param": {"hdf5_output": ("hdf5_output_param", "")},
}

# These go to transform_param whatever the type.
_TRANSFORM = {"scale": "scale", "meanfile": "mean_file", "cropsize": "crop_size", "mirror": "mirror"}

_LISTS = ("blobs", "blobs_lr", "weight_decay")


def upgrade_v0_net(net: NetParameter, source: object) -> list[str]:
    """Change `net` in place so that its layers are V1; returns Caffe's own warnings (fields that are ignored).

    As in Caffe only name, inputs, dimensions and layers outlive this step. Raises NetworkError for a type that Caffe
    did not have and for padding layers that cannot be merged.
    """
    merged = _merge_padding(net, source)
    upgraded = NetParameter(input=net.input, input_dim=net.input_dim)
    if net.HasField("name"):
        upgraded.name = net.name
    if net.HasField("force_backward"):
        upgraded.force_backward = net.force_backward
    warnings: list[str] = []
    if net.layer:
        warnings.append(
            f"{len(net.layer)} `layer` entries are ignored, as in Caffe: the `layers` are in the form of 2013"
        )
    for old in merged:
        warnings += _upgrade_layer(old, upgraded.layers.add(), source)
    net.CopyFrom(upgraded)
    return warnings


def _merge_padding(net: NetParameter, source: object) -> list[V1LayerParameter]:
    """The layers without those of type padding, whose pad goes to the layers that read them."""
    kept: list[V1LayerParameter] = []
    made_by: dict[str, V1LayerParameter | None] = dict.fromkeys(net.input)
    for old in net.layers:
        layer = old
        if old.layer.type != "padding":
            layer = V1LayerParameter()
            layer.CopyFrom(old)
            kept.append(layer)
        for index, bottom in enumerate(old.bottom):
            if bottom not in made_by:
                raise _refusal(source, old, f"no earlier layer produces its bottom {bottom!r}")
            maker = made_by[bottom]
            if maker is None or maker.layer.type != "padding":
                continue
            if old.layer.type not in ("conv", "pool"):
                raise _refusal(source, old, f"padding ({maker.layer.name!r}) can only precede conv and pool layers")
            if not len(old.bottom) == len(maker.bottom) == len(maker.top) == 1:
                raise _refusal(source, old, f"it and the padding layer {maker.layer.name!r} must each have one bottom")
            layer.layer.pad = maker.layer.pad
            layer.bottom[index] = maker.bottom[0]
        made_by.update(dict.fromkeys(old.top, old))
    return kept


def _upgrade_layer(old: V1LayerParameter, new: V1LayerParameter, source: object) -> list[str]:
    new.bottom.extend(old.bottom)
    new.top.extend(old.top)
    if not old.HasField("layer"):
        return []
    layer = old.layer
    if layer.HasField("name"):
        new.name = layer.name
    if layer.HasField("type"):
        if layer.type not in _TYPES:
            raise _refusal(source, old, "Caffe had no such layer type in the V0 format (2013)")
        new.type = V1LayerParameter.LayerType.Value(_TYPES[layer.type])
    warnings = []
    for field, value in layer.ListFields():
        if field.name in _LISTS:
            getattr(new, field.name).extend(value)
        elif field.name in _TRANSFORM:
            setattr(new.transform_param, _TRANSFORM[field.name], value)
        elif field.name in _FIELDS:
            place = _FIELDS[field.name].get(layer.type)
            if place is None:
                warnings.append(f"layer {layer.name!r} ({layer.type}): field {field.name} is ignored")
            else:
                _set(new, place, value)
    return warnings


def _set(layer: V1LayerParameter, place: tuple[str, str], value: object) -> None:
    message, field = getattr(layer, place[0]), place[1]
    if not field:
        message.CopyFrom(value)
    elif hasattr(getattr(message, field), "append"):
        getattr(message, field).append(value)
    elif isinstance(value, Message):
        getattr(message, field).CopyFrom(value)
    elif isinstance(value, int) and value < 0:  # new_height and new_width became unsigned; C++ wraps them
        setattr(message, field, value % 2**32)
    else:
        setattr(message, field, value)


def _refusal(source: object, old: V1LayerParameter, reason: str) -> NetworkError:
    return NetworkError(f"{source}, layer {old.layer.name!r} ({old.layer.type}): {reason}")
