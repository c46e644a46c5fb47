"""Parts of training networks as prototxt text, and what their definitions consist of."""

from __future__ import annotations

from pathlib import Path

from inferkit.network.caffe.files.schema import NetParameter
from inferkit.network.caffe.prototxt.definition import Definition, define

DATA = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN } data_param { batch_size: 64 } }
layer {
  name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 8 mean_value: [104, 117, 123] }
  data_param { source: "test_lmdb" batch_size: 10 backend: LMDB }
}
"""
FC = 'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 4 } }\n'
LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }\n'


def defined(text: str, folder: Path, model: NetParameter | None = None, **options: object) -> Definition:
    path = folder / "net.prototxt"
    path.write_text(text, encoding="utf-8")
    weights = None
    if model is not None:
        weights = folder / "net.caffemodel"
        weights.write_bytes(model.SerializeToString())
    return define(path, weights, **options)  # type: ignore[arg-type]


def layers_of(definition: Definition) -> list[tuple[str, str, list[str], list[str]]]:
    return [(layer.name, layer.type, list(layer.bottom), list(layer.top)) for layer in definition.net.layer]


def outputs_of(definition: Definition) -> list[str]:
    return [definition.flow.name(top) for top in definition.flow.unread()]


def inputs_of(definition: Definition) -> dict[str, list[int]]:
    return {
        name: list(shape.dim)
        for layer in definition.net.layer
        if layer.type == "Input"
        for name, shape in zip(layer.top, layer.input_param.shape, strict=True)
    }
