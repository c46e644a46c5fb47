"""The context of one layer's conversion: its parameters, bottoms and learned blobs, and the builder to add nodes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import NetworkError
from inferkit.network.caffe.dims import BatchDim, Shape, show, static
from inferkit.network.caffe.files.fillers import UNSTATED
from inferkit.network.caffe.files.schema import FillerParameter, LayerParameter
from inferkit.network.caffe.files.weights import BlobSpec
from inferkit.network.caffe.onnx_builder import OnnxBuilder, Tensor

TakeBlobs = Callable[[LayerParameter, Sequence[BlobSpec]], list[NDArray[np.float32]]]


@dataclass(frozen=True)
class ImportSettings:
    """What is the same for all layers of a conversion.

    `file` is named in errors; `train` is whether layers without a phase of their own are in TRAIN; `explicit_batch` is
    the number that a Reshape's first dimension may state for the batch (None: it is taken literally).
    """

    file: str
    train: bool = False
    explicit_batch: int | None = None


@dataclass(frozen=True)
class LayerContext:
    """One layer to convert. `bottoms` have the shapes of Caffe's blobs; `in_place` says that top 0 is bottom 0."""

    param: LayerParameter
    bottoms: tuple[Tensor, ...]
    builder: OnnxBuilder
    settings: ImportSettings
    take_blobs: TakeBlobs
    in_place: bool
    notes: list[str]

    @property
    def name(self) -> str:
        """The layer's name, or its type where it has none."""
        return self.param.name or self.param.type

    @property
    def bottom(self) -> Tensor:
        """The first bottom."""
        return self.bottoms[0]

    @property
    def top_count(self) -> int:
        """How many tops the prototxt names."""
        return len(self.param.top)

    @property
    def train(self) -> bool:
        """Whether the layer runs in TRAIN phase: its own phase, else the net's."""
        return self.param.phase == 0 if self.param.HasField("phase") else self.settings.train

    def refuse(self, reason: str) -> NoReturn:
        """Raise the NetworkError that names file, layer, type and reason."""
        raise NetworkError(f"{self.settings.file}, layer {self.param.name!r} ({self.param.type}): {reason}")

    def check(self, holds: bool, reason: str) -> None:
        """Refuse unless `holds`, as Caffe's CHECK aborts."""
        if not holds:
            self.refuse(reason)

    def axis(self, index: int) -> int:
        """The axis of bottom 0 that `index` (negative: from the end) means, as Caffe's CanonicalAxisIndex."""
        shape = self.bottom.shape
        if not -len(shape) <= index < len(shape):
            self.refuse(f"axis {index} is out of range for a {len(shape)}-D blob of shape {show(shape)}")
        return index % len(shape)

    def legacy_shape(self, layer_type: str) -> Shape:
        """Bottom 0 as num, channels, height, width: missing axes are 1, more than four are refused."""
        shape = self.bottom.shape
        self.check(len(shape) <= 4, f"{layer_type} needs a blob of at most 4 axes, not {show(shape)}")
        return shape + (1,) * (4 - len(shape))

    def blobs(self, *specs: BlobSpec) -> list[NDArray[np.float32]]:
        """The layer's learned blobs, in the shapes of `specs`."""
        return self.take_blobs(self.param, specs)

    # Building blocks: each adds nodes and returns the resulting tensor.

    def node(self, op: str, *inputs: Tensor, shape: Shape, dtype: str = "float32", **attributes: Any) -> Tensor:
        """Add a node with one output."""
        return self.builder.node(op, self.name, inputs, [(shape, dtype)], attributes)[0]

    def nodes(self, op: str, *inputs: Tensor, outputs: Sequence[tuple[Shape, str]], **attributes: Any) -> list[Tensor]:
        """Add a node with several outputs, given as (shape, dtype)."""
        return self.builder.node(op, self.name, inputs, outputs, attributes)

    def constant(self, value: NDArray[Any], name: str) -> Tensor:
        """A constant, named `name` behind the layer's own name."""
        return self.builder.constant(value, f"{self.name}/{name}")

    def scalar(self, value: float, name: str) -> Tensor:
        """A float32 constant without axes."""
        return self.constant(np.array(value, np.float32), name)

    def integers(self, values: Sequence[int], name: str) -> Tensor:
        """An int64 constant with one axis."""
        return self.constant(np.array(values, np.int64), name)

    def like(self, op: str, tensor: Tensor, *operands: Tensor, **attributes: Any) -> Tensor:
        """A node whose output has the shape of `tensor`, its first input."""
        return self.node(op, tensor, *operands, shape=tensor.shape, **attributes)

    def reshape(self, tensor: Tensor, shape: Shape) -> Tensor:
        """The same elements in `shape`; nothing is added where it is the shape already."""
        return reshaped(self.builder, tensor, shape, self.name)

    def cast(self, tensor: Tensor, dtype: str) -> Tensor:
        """The same values as another type."""
        code = {"float32": 1, "int64": 7}[dtype]
        return self.node("Cast", tensor, shape=tensor.shape, dtype=dtype, to=code)

    def scaled(self, tensor: Tensor, factor: float) -> Tensor:
        """tensor * factor; nothing is added for 1."""
        return tensor if factor == 1 else self.like("Mul", tensor, self.scalar(factor, "factor"))

    def shifted(self, tensor: Tensor, offset: float) -> Tensor:
        """tensor + offset; nothing is added for 0."""
        return tensor if offset == 0 else self.like("Add", tensor, self.scalar(offset, "offset"))


def reshaped(builder: OnnxBuilder, tensor: Tensor, shape: Shape, prefix: str) -> Tensor:
    """The same elements in `shape`, by a Reshape named after `prefix` where it is needed."""
    if tensor.shape == shape:
        return tensor
    target = builder.constant(np.array(reshape_target(tensor.shape, shape), np.int64), f"{prefix}/shape")
    return builder.node("Reshape", prefix, [tensor, target], [(shape, tensor.dtype)], {})[0]


def reshape_target(source: Shape, target: Shape) -> list[int]:
    """ONNX Reshape's shape input: 0 copies the axis at the same place, -1 is the one that is inferred.

    Raises MixedBatch where more than one dimension would have to be inferred; computing the shape in the graph would
    cost every run of such a net.
    """
    numbers: list[int] = []
    inferred = False
    for place, dim in enumerate(target):
        if isinstance(dim, BatchDim):
            if place < len(source) and source[place] == dim:
                numbers.append(0)
            elif not inferred:
                numbers.append(-1)
                inferred = True
            else:
                static(dim, "more than one new axis")
        else:
            numbers.append(dim)
    return numbers


def stated(settings: Any, filler: str) -> FillerParameter:
    """The filler of a layer's weights if the prototxt states one, else UNSTATED, which is refused when used."""
    parameter: FillerParameter = getattr(settings, filler) if settings.HasField(filler) else UNSTATED
    return parameter


def constant_filler(value: float) -> FillerParameter:
    """The filler that layers without one fall back to."""
    return FillerParameter(type="constant", value=value)
