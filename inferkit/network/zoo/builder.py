"""Builds a Caffe network layer by layer: its prototxt text, and the shape of every blob."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

Shape = tuple[int, ...]  # of one image, without the batch dimension: (C, H, W), or (C,) after an InnerProduct


@dataclass(frozen=True)
class ZooLayer:
    """One layer: its prototxt entry, the shapes of its parameter blobs, and its multiply-accumulates.

    `gain` is a hint for made-up weights: the spread that this layer's output should have (1 for most).
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    blobs: tuple[Shape, ...] = ()
    macs: int = 0
    gain: float = 1.0

    @property
    def parameters(self) -> int:
        """How many learned parameters it has (BatchNorm's running statistics do not count)."""
        return 0 if self.type == "BatchNorm" else sum(prod(shape) for shape in self.blobs)

    def prototxt(self) -> str:
        """The layer in protobuf's text form."""
        names = [("name", self.name), ("type", self.type)]
        names += [("bottom", bottom) for bottom in self.bottoms] + [("top", top) for top in self.tops]
        lines = [f'  {key}: "{value}"' for key, value in names]
        return "\n".join(["layer {", *lines, *_render(self.settings, "  "), "}"]) + "\n"


class NetBuilder:
    """Adds layers one after another; each reads the blob made last unless `bottom` names another.

    >>> net = NetBuilder("tiny", (1, 28, 28))
    >>> _ = net.conv("conv1", 8, 5, stride=2), net.relu("relu1"), net.max_pool("pool1", 2, 2), net.fc("ip", 10)
    >>> net.shapes["pool1"], net.softmax("prob")
    ((8, 6, 6), 'prob')
    >>> net.prototxt(batch=4).splitlines()[:6]
    ['name: "tiny"', 'layer {', '  name: "data"', '  type: "Input"', '  top: "data"', '  input_param {']

    Every method returns the name of the blob that it wrote. Shapes follow Caffe's rules: convolutions round down,
    pooling rounds up and drops a last window that would start in the padding.
    """

    def __init__(self, name: str, input_shape: Shape) -> None:
        self.name = name
        self.layers: list[ZooLayer] = []
        self.shapes: dict[str, Shape] = {"data": input_shape}
        self.top = "data"

    @property
    def parameters(self) -> int:
        """Learned parameters of the whole network."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions and inner products for one image."""
        return sum(layer.macs for layer in self.layers)

    def prototxt(self, batch: int = 1) -> str:
        """The whole network in protobuf's text form, its `data` input [batch, C, H, W]."""
        shape = {"shape": {"dim": [batch, *self.shapes["data"]]}}
        data = ZooLayer("data", "Input", (), ("data",), {"input_param": shape})
        return f'name: "{self.name}"\n' + "".join(layer.prototxt() for layer in [data, *self.layers])

    # Layers with weights.

    def conv(
        self,
        name: str,
        outputs: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        pad: int | tuple[int, int] = 0,
        group: int = 1,
        bias: bool = True,
        bottom: str | None = None,
    ) -> str:
        """Convolution; a pair as kernel or pad is (height, width)."""
        channels, *size = self._shape(bottom)
        kernels, pads = _pair(kernel), _pair(pad)
        spatial = [(s + 2 * p - k) // stride + 1 for s, k, p in zip(size, kernels, pads, strict=True)]
        weights = (outputs, channels // group, *kernels)
        settings: dict[str, Any] = {"num_output": outputs}
        settings |= {} if bias else {"bias_term": False}
        settings |= {} if pads == (0, 0) else _size("pad", pad)
        settings |= _size("kernel", kernel)
        settings |= {"group": group} if group > 1 else {}
        settings |= {"stride": stride} if stride > 1 else {}
        return self._add(
            ZooLayer(
                name,
                "Convolution",
                self._bottoms(bottom),
                (name,),
                {"convolution_param": settings},
                (weights, (outputs,)) if bias else (weights,),
                prod(weights) * prod(spatial),
            ),
            (outputs, *spatial),
        )

    def fc(self, name: str, outputs: int) -> str:
        """InnerProduct over the flattened image."""
        weights = (outputs, prod(self.shapes[self.top]))
        settings = {"inner_product_param": {"num_output": outputs}}
        return self._add(
            ZooLayer(name, "InnerProduct", (self.top,), (name,), settings, (weights, (outputs,)), prod(weights)),
            (outputs,),
        )

    def batch_norm(
        self,
        name: str,
        scale: str,
        *,
        eps: float = 1e-5,
        top: str | None = None,
        gain: float = 1.0,
    ) -> str:
        """BatchNorm by running statistics, then Scale (called `scale`) with a bias; in place unless `top` is given."""
        source, shape = self.top, self.shapes[self.top]
        channels = shape[:1]
        top = top or source
        # Caffe's default is 1e-5, and published prototxts leave it out.
        settings: dict[str, Any] = {"use_global_stats": True} | ({} if eps == 1e-5 else {"eps": eps})
        statistics = (channels, channels, (1,))
        self._add(ZooLayer(name, "BatchNorm", (source,), (top,), {"batch_norm_param": settings}, statistics), shape)
        affine = {"scale_param": {"bias_term": True}}
        return self._add(ZooLayer(scale, "Scale", (top,), (top,), affine, (channels, channels), gain=gain), shape)

    # Layers without weights.

    def relu(self, name: str) -> str:
        """ReLU in place."""
        return self._in_place(name, "ReLU", {})

    def dropout(self, name: str, ratio: float = 0.5) -> str:
        """Dropout in place: nothing at inference."""
        return self._in_place(name, "Dropout", {"dropout_param": {"dropout_ratio": ratio}})

    def lrn(self, name: str) -> str:
        """Local response normalization across 5 channels with AlexNet's alpha and beta."""
        settings = {"lrn_param": {"local_size": 5, "alpha": 1e-4, "beta": 0.75}}
        return self._add(ZooLayer(name, "LRN", (self.top,), (name,), settings), self.shapes[self.top])

    def max_pool(self, name: str, kernel: int, stride: int, *, pad: int = 0, bottom: str | None = None) -> str:
        """Maximum over square windows."""
        return self._pool(name, "MAX", kernel, stride, pad, bottom)

    def ave_pool(self, name: str, kernel: int, stride: int, *, pad: int = 0, bottom: str | None = None) -> str:
        """Mean over square windows, padding counted as Caffe counts it."""
        return self._pool(name, "AVE", kernel, stride, pad, bottom)

    def global_pool(self, name: str) -> str:
        """Mean over the whole plane."""
        settings = {"pooling_param": {"pool": "AVE", "global_pooling": True}}
        shape = (self.shapes[self.top][0], 1, 1)
        return self._add(ZooLayer(name, "Pooling", (self.top,), (name,), settings), shape)

    def concat(self, name: str, bottoms: Sequence[str]) -> str:
        """Concatenation along the channels."""
        shapes = [self.shapes[bottom] for bottom in bottoms]
        if len({shape[1:] for shape in shapes}) != 1:
            raise ValueError(f"layer {name}: blobs of different plane sizes cannot be concatenated: {shapes}")
        return self._add(ZooLayer(name, "Concat", tuple(bottoms), (name,)), (sum(s[0] for s in shapes), *shapes[0][1:]))

    def add(self, name: str, bottoms: Sequence[str]) -> str:
        """Elementwise sum."""
        shapes = [self.shapes[bottom] for bottom in bottoms]
        if len(set(shapes)) != 1:
            raise ValueError(f"layer {name}: blobs of different shapes cannot be added: {shapes}")
        return self._add(ZooLayer(name, "Eltwise", tuple(bottoms), (name,)), shapes[0])

    def softmax(self, name: str = "prob") -> str:
        """Softmax over the channels."""
        return self._add(ZooLayer(name, "Softmax", (self.top,), (name,)), self.shapes[self.top])

    # Helpers of the methods above.

    def _pool(self, name: str, method: str, kernel: int, stride: int, pad: int, bottom: str | None) -> str:
        channels, *size = self._shape(bottom)
        settings: dict[str, Any] = {"pool": method, "kernel_size": kernel, "stride": stride}
        settings |= {"pad": pad} if pad else {}
        shape = (channels, *(_pooled(s, kernel, stride, pad) for s in size))
        return self._add(ZooLayer(name, "Pooling", self._bottoms(bottom), (name,), {"pooling_param": settings}), shape)

    def _in_place(self, name: str, kind: str, settings: Mapping[str, Any]) -> str:
        return self._add(ZooLayer(name, kind, (self.top,), (self.top,), settings), self.shapes[self.top])

    def _shape(self, bottom: str | None) -> Shape:
        return self.shapes[bottom or self.top]

    def _bottoms(self, bottom: str | None) -> tuple[str]:
        return (bottom or self.top,)

    def _add(self, layer: ZooLayer, shape: Shape) -> str:
        self.layers.append(layer)
        self.top = layer.tops[0]
        self.shapes[self.top] = shape
        return self.top


def _pooled(size: int, kernel: int, stride: int, pad: int) -> int:
    windows = -(-(size + 2 * pad - kernel) // stride) + 1
    return windows - 1 if pad and (windows - 1) * stride >= size + pad else windows


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _size(field: str, value: int | tuple[int, int]) -> dict[str, int]:
    if isinstance(value, tuple):
        return {f"{field}_h": value[0], f"{field}_w": value[1]}
    return {"kernel_size" if field == "kernel" else field: value}


def _render(message: Mapping[str, Any], indent: str) -> Iterator[str]:
    """The lines of a message in protobuf's text form; a string here is the name of an enum's value."""
    for key, value in message.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping):
                yield f"{indent}{key} {{"
                yield from _render(item, indent + "  ")
                yield f"{indent}}}"
            else:
                yield f"{indent}{key}: {str(item).lower() if isinstance(item, bool) else item}"
