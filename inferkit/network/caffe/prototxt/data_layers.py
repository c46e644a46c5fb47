"""Turns the data layers of a training network into Input layers and determines their shapes.

Caffe takes most of these shapes from the data itself. Here they come, in this order, from the caller; from the layer's
own parameters (crop_size, new_height and new_width, memory_data_param, shapes of DummyData); from the mean image where
that file exists. The number of channels also comes from the weights of the layer that reads the image, and from the
number of mean values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from inferkit.errors import NetworkError
from inferkit.files import inside
from inferkit.network.caffe.files.fillers import RANDOM
from inferkit.network.caffe.files.read import CaffeModel
from inferkit.network.caffe.files.schema import BlobProto, LayerParameter, NetParameter
from inferkit.network.caffe.files.weights import legacy_shape
from inferkit.network.caffe.flow import Flow, Top, trace_flow
from inferkit.network.caffe.prototxt.deploy import is_data
from inferkit.network.limit import read_file

# Layers whose top has as many channels as their bottom.
_SAME_CHANNELS = (
    *("AbsVal", "BatchNorm", "Bias", "BNLL", "Clip", "Dropout", "Eltwise", "ELU", "Exp", "LRN", "Log", "MVN"),
    *("Pooling", "Power", "PReLU", "ReLU", "Scale", "Sigmoid", "Split", "Swish", "TanH", "Threshold"),
    "Flatten",  # for an InnerProduct after it
)


def inputs_for_data(
    net: NetParameter, source: object, model: CaffeModel | None, input_shapes: Mapping[str, Sequence[int]]
) -> tuple[NetParameter, list[str]]:
    """`net` with Input layers for its data layers, and notes on them; another network comes back as it is.

    DummyData becomes an input where it is filled at random or is all that the network starts from, and stays a
    constant otherwise. `input_shapes` gives whole shapes, batch first, by blob name. Raises NetworkError where a shape
    cannot be determined; the message says how to give it.
    """
    images = any(is_data(layer) or layer.type == "Input" for layer in net.layer)
    chosen = [
        index for index, layer in enumerate(net.layer) if is_data(layer) or _is_dummy_input(layer, alone=not images)
    ]
    if not chosen:
        return net, []
    flow = trace_flow(net, source)
    changed = NetParameter()
    changed.CopyFrom(net)
    notes = []
    for index in chosen:
        old, new = net.layer[index], changed.layer[index]
        shapes = [_shape(flow, Top(index, place), source, model, input_shapes) for place in range(len(old.top))]
        new.Clear()
        new.name, new.type = old.name, "Input"
        new.top.extend(old.top)
        for name, shape in zip(old.top, shapes, strict=True):
            new.input_param.shape.add().dim.extend(shape)
            notes.append(f"layer {old.name!r} ({old.type}): replaced by the input {name!r} of shape {shape}")
    return changed, notes


def shape_advice(name: str) -> str:
    """How the shape of an input is given, in Python and at the command line."""
    return f"input_shape={{{name!r}: (1, channels, height, width)}}, or --input-shape {name}=1,C,H,W"


def dummy_shapes(layer: LayerParameter) -> list[list[int]]:
    """The shapes of a DummyData layer's tops: one for all or one each, in either of two forms."""
    settings, count = layer.dummy_data_param, len(layer.top)
    shapes = [list(shape.dim) for shape in settings.shape]
    if not shapes:
        sizes = [list(field) for field in (settings.num, settings.channels, settings.height, settings.width)]
        if all(sizes):
            shapes = [[size[top % len(size)] for size in sizes] for top in range(count)]
    return [shapes[top % len(shapes)] for top in range(count)] if shapes else []


def _is_dummy_input(layer: LayerParameter, alone: bool) -> bool:
    fillers = layer.dummy_data_param.data_filler
    return layer.type == "DummyData" and (alone or any(filler.type in RANDOM for filler in fillers))


def _shape(
    flow: Flow, top: Top, source: object, model: CaffeModel | None, input_shapes: Mapping[str, Sequence[int]]
) -> list[int]:
    """The shape of one top of a data layer, batch first."""
    name, layer = flow.name(top), flow.layer(top)
    if name in input_shapes:
        return list(input_shapes[name])
    batch = _batch(layer)
    if layer.type == "DummyData" and dummy_shapes(layer):
        return dummy_shapes(layer)[top.place]
    if layer.type in ("Data", "ImageData", "MemoryData", "WindowData"):
        if top.place > 0:
            return [batch]  # labels
        image = _image(flow, top, model, Path(str(source)).parent)
        if None not in image and 0 not in image:
            return [batch, *(size or 0 for size in image)]
        missing = "channels" if image[1] and image[2] else "size"
        reason = f"the prototxt does not determine the {missing} of its images"
    else:
        reason = "the prototxt does not determine the shape of its data"
    raise NetworkError(
        f"{source}, layer {layer.name!r} ({layer.type}): {reason}; give the shape of {name!r}, batch first: "
        f"{shape_advice(name)}"
    )


def _batch(layer: LayerParameter) -> int:
    sizes = {
        "Data": layer.data_param.batch_size,
        "ImageData": layer.image_data_param.batch_size,
        "HDF5Data": layer.hdf5_data_param.batch_size,
        "MemoryData": layer.memory_data_param.batch_size,
        "WindowData": layer.window_data_param.batch_size,
    }
    return max(sizes.get(layer.type, 1), 1)


def _image(flow: Flow, top: Top, model: CaffeModel | None, folder: Path) -> list[int | None]:
    """Channels, height and width of a data layer's images; None where unknown."""
    layer = flow.layer(top)
    transform = layer.transform_param
    if layer.type == "MemoryData":
        memory = layer.memory_data_param
        return [memory.channels, memory.height, memory.width]
    mean = _mean_shape(transform.mean_file, folder)
    size: list[int | None] = mean[1:]
    if layer.type == "ImageData" and layer.image_data_param.new_height and layer.image_data_param.new_width:
        size = [layer.image_data_param.new_height, layer.image_data_param.new_width]
    crop = transform.crop_size or (layer.window_data_param.crop_size if layer.type == "WindowData" else 0)
    if crop:
        size = [crop, crop]
    channels: int | None
    if layer.type == "ImageData":
        channels = 3 if layer.image_data_param.is_color else 1
    elif layer.type == "WindowData":
        channels = 3
    else:
        by_weights = _channels_by_weights(flow, top, model, size) if model is not None else None
        by_means = len(transform.mean_value) if len(transform.mean_value) > 1 else None
        forced = 3 if transform.force_color else 1 if transform.force_gray else None
        channels = by_weights or by_means or mean[0] or forced
    return [channels, *size]


def _mean_shape(name: str, folder: Path) -> list[int | None]:
    """Channels, height and width of a mean image; unknown where there is no such file below the prototxt's folder."""
    try:
        path = inside(folder, name) if name else None
        content = read_file(path) if path is not None and path.is_file() else b""
        mean = BlobProto.FromString(content)
    except Exception:  # only a source of a hint: an unreadable file is no error here
        return [None, None, None]
    return [mean.channels, mean.height, mean.width] if mean.height > 0 and mean.width > 0 else [None, None, None]


def _channels_by_weights(flow: Flow, top: Top, model: CaffeModel, size: Sequence[int | None]) -> int | None:
    """The channels that the first learned layer on the image has weights for."""
    for reader in flow.readers[top]:
        layer = flow.net.layer[reader.layer]
        channels = None
        if layer.type == "Convolution" or (layer.type == "InnerProduct" and all(size)):
            weights = next(
                (stored.blobs[0] for stored in model.net.layer if stored.name == layer.name and stored.blobs), None
            )
            shape = list(legacy_shape(weights) or weights.shape.dim) if weights is not None else []
            if layer.type == "Convolution" and len(shape) == 4:
                channels = shape[1] * layer.convolution_param.group
            elif layer.type == "InnerProduct" and len(shape) >= 2:
                inputs = shape[-2] if layer.inner_product_param.transpose else shape[-1]
                area = (size[0] or 1) * (size[1] or 1)
                channels = inputs // area if inputs % area == 0 else None
        elif layer.type in _SAME_CHANNELS and layer.top:
            pooled_size = [None, None] if layer.type == "Pooling" else size
            channels = _channels_by_weights(flow, Top(reader.layer, 0), model, pooled_size)
        elif layer.type == "Slice" and layer.slice_param.axis == 1 and layer.slice_param.slice_dim == 1:
            parts = [
                _channels_by_weights(flow, Top(reader.layer, place), model, size) for place in range(len(layer.top))
            ]
            channels = sum(part or 0 for part in parts) if all(parts) else None
        if channels:
            return channels
    return None
