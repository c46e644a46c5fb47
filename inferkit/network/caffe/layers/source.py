"""Layers without bottoms that stay in a deployed net: Parameter and constant DummyData."""

from __future__ import annotations

from inferkit.network.caffe.fillers import RandomFiller, fill
from inferkit.network.caffe.layer import BlobSpec, Layer, Tensor, constant_filler
from inferkit.network.caffe.schema import FillerParameter


def parameter(layer: Layer) -> list[Tensor]:
    """Caffe's Parameter: a learned blob as a top."""
    shape = tuple(layer.param.parameter_param.shape.dim)
    layer.check(all(dim > 0 for dim in shape), f"the shape {list(shape)} is empty")
    (blob,) = layer.blobs(BlobSpec(shape, constant_filler(0.0)))
    return [layer.constant(blob, "value")]


def dummy_data(layer: Layer) -> list[Tensor]:
    """Caffe's DummyData with deterministic fillers: constants."""
    settings, count = layer.param.dummy_data_param, layer.top_count
    fillers = list(settings.data_filler) or [FillerParameter(type="constant", value=0)]
    layer.check(len(fillers) in (1, count), f"{len(fillers)} fillers for {count} tops")
    sizes = [list(field) for field in (settings.num, settings.channels, settings.height, settings.width)]
    if any(sizes):
        layer.check(not settings.shape, "gives both shape and num, channels, height, width")
        layer.check(
            all(len(size) in (1, count) for size in sizes), "needs num, channels, height and width once, or once a top"
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
