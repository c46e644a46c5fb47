"""Upgrades older prototxt formats to the current one, as Caffe does when it reads a file (UpgradeNetAsNeeded).

In Caffe's order: V0, the format of 2013 (upgrade_v0.py); transformation fields in data layers; V1, `layers` with enum
types; `input` fields; and the learning rates of BatchNorm. A network in the current format is not changed.
"""

from __future__ import annotations

from inferkit.errors import NetworkError
from inferkit.network.caffe.files.schema import (
    InputParameter,
    LayerParameter,
    NetParameter,
    ParamSpec,
    V1LayerParameter,
)
from inferkit.network.caffe.prototxt.upgrade_v0 import upgrade_v0_net

# The enum values whose type name is not the value in CamelCase.
_V1_TYPES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "LRN": "LRN",
    "MVN": "MVN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}

# Data layers whose own parameters once held what is now in transform_param.
_TRANSFORMING = {"DATA": "data_param", "IMAGE_DATA": "image_data_param", "WINDOW_DATA": "window_data_param"}
_TRANSFORM_FIELDS = ("scale", "mean_file", "crop_size", "mirror")


def upgrade(net: NetParameter, source: object) -> list[str]:
    """Change `net` in place to the current format; returns Caffe's own warnings (fields that are ignored).

    `source` is the file's name in errors. Raises NetworkError where Caffe aborts: an unknown old type, padding in
    front of a layer that cannot pad, `layer` beside `layers`, inputs without enough dimensions.
    """
    warnings: list[str] = []
    if any(layer.HasField("layer") for layer in net.layers):
        warnings += upgrade_v0_net(net, source)
    _move_transform_fields(net)
    if net.layers:
        warnings += _upgrade_v1_net(net, source)
    if net.input:
        _inputs_to_layer(net, source)
    for layer in net.layer:
        if layer.type == "BatchNorm" and len(layer.param) == 3:  # its statistics are no parameters to train
            for spec in layer.param:
                spec.lr_mult = spec.decay_mult = 0
    return [f"{source}: {warning}" for warning in warnings]


def v1_type_name(number: int) -> str:
    """The current name of an old enum type."""
    value = V1LayerParameter.LayerType.Name(number)
    return _V1_TYPES.get(value) or "".join(word.capitalize() for word in value.split("_") if value != "NONE")


def _move_transform_fields(net: NetParameter) -> None:
    concerned = []
    for layer in net.layers:
        name = _TRANSFORMING.get(V1LayerParameter.LayerType.Name(layer.type))
        if name is not None:
            concerned.append((layer, name))
    if not any(getattr(layer, name).HasField(field) for layer, name in concerned for field in _TRANSFORM_FIELDS):
        return
    for layer, name in concerned:
        parameters = getattr(layer, name)
        for field in _TRANSFORM_FIELDS:
            if parameters.HasField(field):
                setattr(layer.transform_param, field, getattr(parameters, field))
                parameters.ClearField(field)


def _upgrade_v1_net(net: NetParameter, source: object) -> list[str]:
    warnings = []
    if net.layer:
        raise NetworkError(
            f"{source} has {len(net.layers)} `layers` entries and {len(net.layer)} `layer` entries (first "
            f"{net.layer[0].name!r}); Caffe refuses a file with both: write all of them in one form"
        )
    for old in net.layers:
        if old.HasField("layer"):
            warnings.append(f"layer {old.name!r}: its inner `layer` is ignored")
        _upgrade_v1_layer(old, net.layer.add())
    net.ClearField("layers")
    return warnings


def _upgrade_v1_layer(old: V1LayerParameter, new: LayerParameter) -> None:
    """The same layer in the current format: its type by name, the four lists of rates joined to `param` entries."""
    if old.HasField("type"):
        new.type = v1_type_name(old.type)
    special = {"type", "layer", "param", "blob_share_mode", "blobs_lr", "weight_decay"}
    for field, value in old.ListFields():
        if field.name in special:
            continue
        if field.name in _SINGLE:
            getattr(new, field.name).CopyFrom(value)
        elif field.name == "name":
            new.name = value
        else:
            getattr(new, field.name).extend(value)
    count = max(len(old.param), len(old.blob_share_mode), len(old.blobs_lr), len(old.weight_decay))
    for index in range(count):
        spec = new.param.add()
        if index < len(old.param):
            spec.name = old.param[index]
        if index < len(old.blob_share_mode):
            permissive = old.blob_share_mode[index] == V1LayerParameter.PERMISSIVE
            spec.share_mode = ParamSpec.PERMISSIVE if permissive else ParamSpec.STRICT
        if index < len(old.blobs_lr):
            spec.lr_mult = old.blobs_lr[index]
        if index < len(old.weight_decay):
            spec.decay_mult = old.weight_decay[index]


_SINGLE = {field.name for field in V1LayerParameter.DESCRIPTOR.fields if field.name.endswith("_param")}


def _inputs_to_layer(net: NetParameter, source: object) -> None:
    """`input` with `input_shape` or `input_dim` becomes an Input layer in front; without them it is only dropped.

    An old caffemodel has names without dimensions. Raises NetworkError where dimensions are too few.
    """
    shapes = [list(shape.dim) for shape in net.input_shape]
    if not shapes:
        shapes = [list(net.input_dim[first : first + 4]) for first in range(0, len(net.input_dim), 4)]
    if shapes:
        incomplete = not net.input_shape and any(len(shape) < 4 for shape in shapes[: len(net.input)])
        if len(shapes) < len(net.input) or incomplete:
            form = "one input_shape each" if net.input_shape else "four input_dim each"
            raise NetworkError(
                f"{source}: {len(net.input)} inputs ({', '.join(net.input)}) need {form}, but there are "
                f"{len(net.input_shape) or len(net.input_dim)}"
            )
        layer = LayerParameter(name="input", type="Input", top=net.input, input_param=InputParameter())
        for shape in shapes[: len(net.input)]:
            layer.input_param.shape.add().dim.extend(shape)
        following = list(net.layer)
        net.ClearField("layer")
        net.layer.append(layer)
        net.layer.extend(following)
    net.ClearField("input")
    net.ClearField("input_shape")
    net.ClearField("input_dim")
