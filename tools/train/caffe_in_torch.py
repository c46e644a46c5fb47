"""The zoo's layers as torch modules, so that a network is trained in the very form that Caffe will run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from inferkit.network.zoo.builder import NetBuilder, ZooLayer


class Scale(nn.Module):
    """Caffe's Scale with a bias: one factor and one summand for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias[:, None, None], x, self.weight[:, None, None])


class Sum(nn.Module):
    """Caffe's Eltwise SUM."""

    def forward(self, *inputs: Tensor) -> Tensor:
        return sum(inputs[1:], inputs[0])


class CaffeNet(nn.Module):
    """Runs a builder's layers in order, up to the Softmax: [N, C, H, W] in, logits [N, classes] out."""

    def __init__(self, net: NetBuilder) -> None:
        super().__init__()
        self.layers = [layer for layer in net.layers if layer.type != "Softmax"]
        self.parts = nn.ModuleList(_module(layer) for layer in self.layers)

    def forward(self, data: Tensor) -> Tensor:
        blobs = {"data": data}
        for layer, part in zip(self.layers, self.parts, strict=True):
            blobs[layer.tops[0]] = part(*(blobs[bottom] for bottom in layer.bottoms))
        return blobs[self.layers[-1].tops[0]]

    def initialize(self) -> None:
        """He's initialization, zero biases (Caffe's msra filler): torch's own starts plain stacks too small."""
        for part in self.parts.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(part.weight)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)

    def load(self, blobs: Mapping[str, Sequence[np.ndarray]]) -> None:
        """Take parameters as Caffe stores them; BatchNorm's statistics are divided by their scale factor."""
        for layer, part in zip(self.layers, self.parts, strict=True):
            arrays = list(blobs[layer.name]) if layer.blobs else []
            if layer.type == "BatchNorm":
                arrays = [array / arrays[2] for array in arrays[:2]] + [np.ones(1, np.float32)]
            for value, array in zip(_values(part), arrays, strict=True):
                value.data.copy_(torch.from_numpy(array))

    def blobs(self) -> dict[str, list[np.ndarray]]:
        """Every layer's parameters as Caffe stores them, float32; BatchNorm's scale factor is 1."""
        return {
            layer.name: [value.detach().cpu().float().numpy() for value in _values(part)]
            for layer, part in zip(self.layers, self.parts, strict=True)
            if layer.blobs
        }


def _module(layer: ZooLayer) -> nn.Module:
    settings: dict[str, Any] = next(iter(layer.settings.values()), {})
    match layer.type:
        case "Convolution":
            outputs, channels, *kernel = layer.blobs[0]
            group, stride, pad = (
                settings.get(key, default) for key, default in (("group", 1), ("stride", 1), ("pad", 0))
            )
            return nn.Conv2d(channels * group, outputs, kernel, stride, pad, groups=group, bias=len(layer.blobs) == 2)
        case "InnerProduct":
            outputs, inputs = layer.blobs[0]
            return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs))
        case "BatchNorm":
            return nn.BatchNorm2d(layer.blobs[0][0], eps=settings.get("eps", 1e-5), affine=False)
        case "Scale":
            return Scale(layer.blobs[0][0])
        case "ReLU":
            return nn.ReLU()
        case "Dropout":
            return nn.Dropout(settings["dropout_ratio"])
        case "Eltwise":
            return Sum()
        case "Pooling" if settings.get("global_pooling"):
            return nn.AdaptiveAvgPool2d(1)
        case "Pooling" if settings["pool"] == "MAX":
            return nn.MaxPool2d(settings["kernel_size"], settings["stride"], settings.get("pad", 0), ceil_mode=True)
    raise ValueError(f"layer {layer.name}: no torch module for type {layer.type}")


def _values(part: nn.Module) -> list[Tensor]:
    if isinstance(part, nn.BatchNorm2d):
        assert part.running_mean is not None
        assert part.running_var is not None
        return [part.running_mean, part.running_var, torch.ones(1)]
    return list(part.parameters())


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy with 5 % label smoothing, which keeps the logits small."""
    return functional.cross_entropy(logits, labels, label_smoothing=0.05)
