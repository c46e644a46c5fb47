"""Pieces of prototxt in the style of 2013 to 2017.

Numbers of channels and sizes are reduced, not the structure.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EraNet:
    """A deploy prototxt, and mostly a training one, with data and loss layers.

    `outputs` maps the outputs of the training prototxt's inference part to the deploy prototxt's.
    """

    name: str
    deploy: str
    train: str = ""
    outputs: tuple[tuple[str, str], ...] = (("prob", "prob"),)


def layer(kind: str, name: str, bottoms: str, tops: str, more: str = "") -> str:
    ends = [f'bottom: "{bottom}"' for bottom in bottoms.split()] + [f'top: "{top}"' for top in tops.split()]
    return f'layer {{ name: "{name}" type: "{kind}" {" ".join(ends)} {more} }}\n'


def conv(name: str, bottom: str, outputs: int, kernel: int, more: str = "", relu: bool = True) -> str:
    rates = "param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }"
    filler = 'weight_filler { type: "gaussian" std: 0.01 } bias_filler { type: "constant" value: 0.2 }'
    text = layer(
        "Convolution",
        name,
        bottom,
        name,
        f"{rates} convolution_param {{ num_output: {outputs} kernel_size: {kernel} {more} {filler} }}",
    )
    return text + (layer("ReLU", f"relu_{name}", name, name) if relu else "")


def fc(name: str, bottom: str, outputs: int) -> str:
    more = f'inner_product_param {{ num_output: {outputs} weight_filler {{ type: "xavier" }} }}'
    return layer("InnerProduct", name, bottom, name, more)


def pool(name: str, bottom: str, more: str) -> str:
    return layer("Pooling", name, bottom, name, f"pooling_param {{ {more} }}")


def inputs(*shape: int, name: str = "data") -> str:
    return layer("Input", name, "", name, f"input_param {{ shape: {{ {' '.join(f'dim: {dim}' for dim in shape)} }} }}")


def train_data(crop: int, batch: int = 8, more: str = "") -> str:
    """The two Data layers of a train_val prototxt."""
    text = ""
    for phase, mirror, size in (("TRAIN", "true", 256), ("TEST", "false", batch)):
        text += f"""layer {{
  name: "data"
  type: "Data"
  top: "data"
  top: "label"
  include {{
    phase: {phase}
  }}
  transform_param {{
    mirror: {mirror}
    {f"crop_size: {crop}" if crop else ""}
    mean_file: "data/ilsvrc12/imagenet_mean.binaryproto"
    {more}
  }}
  data_param {{
    source: "examples/imagenet/ilsvrc12_{phase.lower()}_lmdb"
    batch_size: {size}
    backend: LMDB
  }}
}}
"""
    return text


def judges(logits: str, accuracy: str = "accuracy", loss: str = "loss", weight: str = "") -> str:
    return layer("Accuracy", accuracy, f"{logits} label", accuracy, "include { phase: TEST }") + layer(
        "SoftmaxWithLoss", loss, f"{logits} label", loss, weight
    )


def softmax(logits: str, top: str = "prob") -> str:
    return layer("Softmax", top, logits, top)
