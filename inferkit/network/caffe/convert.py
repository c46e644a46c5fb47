"""Converts a Caffe net to an ONNX model that computes the same for every batch size, or else for the prototxt's.

The batch is a symbol in shape inference. Readings that keep the batch free are tried first. Where none fits, the net
is imported with the prototxt's batch fixed, and a note says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import NetworkError
from inferkit.network.caffe.blobs import Blobs
from inferkit.network.caffe.dims import BatchDim, Dim, MixedBatch, batch, product, same
from inferkit.network.caffe.files.schema import TRAIN, LayerParameter, NetParameter
from inferkit.network.caffe.files.weights import BlobSpec, Weights
from inferkit.network.caffe.flow import Flow
from inferkit.network.caffe.layer import ImportSettings, LayerContext
from inferkit.network.caffe.layers import LAYERS
from inferkit.network.caffe.onnx_builder import OnnxBuilder, Tensor, check_count

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class _Reading:
    """One way to see the batch: the inputs whose first axis it is, and whether Reshape may state it as a number."""

    inputs: frozenset[str]
    explicit: int | None = None


def convert(flow: Flow, weights: Weights, name: str) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """The ONNX model of a net (upgraded and filtered, phase in its state), and notes on what the user should know.

    Inputs and outputs are named as Caffe's blobs, nodes as its layers. The model has passed onnx.checker with full
    shape inference. Raises NetworkError naming file, layer, type and reason for what Caffe would abort on and for what
    cannot be imported.
    """
    file = str(weights.source)
    for layer in flow.net.layer:
        _check_type(layer, file)
    inputs = inputs_of(flow.net, file)
    obstacles: list[MixedBatch] = []
    for reading in _readings(inputs):
        if reading.explicit and obstacles and not obstacles[-1].aborts:
            continue  # Caffe takes the number literally and computes something for other batches too
        run = _Run(flow, weights, file, inputs, reading)
        try:
            return run.model(name), (*_fixed_note(inputs, reading, obstacles), *run.notes)
        except MixedBatch as mixed:
            obstacles.append(mixed)
    raise AssertionError("the reading with a fixed batch mixes nothing")


def _readings(inputs: Mapping[str, tuple[int, ...]]) -> Iterator[_Reading]:
    """The ways to see the batch, best first: on all inputs of the image's batch, on those like it, on none."""
    image = next((shape for shape in inputs.values() if len(shape) == 4), None)
    shape = image or max(inputs.values(), key=len, default=())
    if shape:
        all_of_it = frozenset(key for key, candidate in inputs.items() if candidate[:1] == shape[:1])
        images = frozenset(key for key in all_of_it if len(inputs[key]) == len(shape))
        for chosen in dict.fromkeys((all_of_it, images)):
            yield _Reading(chosen)
            yield _Reading(chosen, explicit=shape[0])
    yield _Reading(frozenset())


def _fixed_note(inputs: Mapping[str, tuple[int, ...]], reading: _Reading, obstacles: list[MixedBatch]) -> list[str]:
    if reading.inputs or not obstacles:
        return []
    sizes = ", ".join(f"{name} {list(shape)}" for name, shape in inputs.items())
    return [f"imported with fixed shapes ({sizes}), because no other batch size fits: {obstacles[0].reason}"]


def inputs_of(net: NetParameter, file: str) -> dict[str, tuple[int, ...]]:
    """The tops of Input layers with their shapes, in order."""
    inputs: dict[str, tuple[int, ...]] = {}
    for layer in net.layer:
        if layer.type != "Input":
            continue
        stated = [tuple(shape.dim) for shape in layer.input_param.shape]
        where = f"{file}, layer {layer.name!r} (Input)"
        for position, top in enumerate(layer.top):
            if not stated:
                raise NetworkError(
                    f"{where}: {top!r} has no shape; write one into the prototxt or give it (input_shape, or "
                    "--input-shape)"
                )
            shape = stated[position % len(stated)]
            if any(dim <= 0 for dim in shape):
                raise NetworkError(f"{where}: {top!r} has the empty shape {list(shape)}; give an input shape")
            check_count(shape, f"{where}: {top!r}")
            inputs[top] = shape
    return inputs


def _check_type(layer: LayerParameter, file: str) -> None:
    """NetworkError for a layer type that Caffe lacks, and for a top that ONNX cannot name."""
    where = f"{file}, layer {layer.name!r} ({layer.type})"
    if "" in layer.top:
        raise NetworkError(f"{where}: a top has an empty name, which ONNX does not allow; give it a name")
    if layer.type != "Input" and layer.type not in LAYERS:
        raise NetworkError(f"{where}: Caffe 1.0 has no such layer; inferkit imports {', '.join(sorted(LAYERS))}")


class _Run:
    """One conversion in one reading of the batch."""

    def __init__(
        self,
        flow: Flow,
        weights: Weights,
        file: str,
        inputs: Mapping[str, tuple[int, ...]],
        reading: _Reading,
    ) -> None:
        self.flow, self.net, self.weights, self.file = flow, flow.net, weights, file
        self.notes: list[str] = []
        self.builder = OnnxBuilder({blob for layer in self.net.layer for blob in layer.top})
        self.blobs = Blobs(self.builder)
        self.settings = ImportSettings(file, train=self.net.state.phase == TRAIN, explicit_batch=reading.explicit)
        self.inputs = {name: Tensor(name, _with_batch(name, shape, reading)) for name, shape in inputs.items()}

    def model(self, name: str) -> onnx.ModelProto:
        """Convert every layer. Raises MixedBatch where this reading of the batch does not fit."""
        for index, layer in enumerate(self.net.layer):
            if layer.type == "Input":
                self.weights.blobs(index, [])
                for top in layer.top:
                    self.blobs.write(top, self.inputs[top])
                continue
            try:
                self._convert(index, layer)
            except MixedBatch as mixed:
                where = f"layer {layer.name!r} ({layer.type})"
                raise MixedBatch(f"{where}: {mixed.reason}", mixed.aborts) from None
        outputs = self._outputs()
        self.builder.prune(tensor.name for tensor in outputs)
        return self.builder.model(name, list(self.inputs.values()), outputs)

    def _convert(self, index: int, param: LayerParameter) -> None:
        kind = LAYERS[param.type]
        # The flow has shown that a top named as the bottom at its place may overwrite it.
        in_place = [place < len(param.bottom) and param.bottom[place] == top for place, top in enumerate(param.top)]
        requested: list[object] = []

        def take(_: LayerParameter, specs: Sequence[BlobSpec]) -> list[NDArray[np.float32]]:
            requested.append(specs)
            return self.weights.blobs(index, specs)

        bottoms = tuple(self.blobs.read(bottom) for bottom in param.bottom)
        first = len(self.builder.nodes)
        layer = LayerContext(param, bottoms, self.builder, self.settings, take, any(in_place), self.notes)
        tops = kind.convert(layer)
        if any(in_place) and (tops[0] != bottoms[0] or len(bottoms) > 1):
            self._check_overwriting(layer, tops[0])
        if not requested:
            self.weights.blobs(index, [])
        for node in self.builder.nodes[first:]:
            if tops and tops[0].name in node.outputs:
                node.name = layer.name
        for top, tensor, overwrites in zip(param.top, tops, in_place, strict=True):
            if overwrites and not kind.shares(param):
                self.blobs.overwrite(top, tensor)
            elif not overwrites:
                shares = param.bottom[0] if kind.shares(param) else None
                self.blobs.write(top, tensor, shares, lasting=not param.bottom)

    def _check_overwriting(self, layer: LayerContext, top: Tensor) -> None:
        """Refuse a layer in place whose result in Caffe depends on a race or on the previous forward pass."""
        first, *further = layer.param.bottom
        same_size = same(product(top.shape), product(layer.bottom.shape))
        layer.check(same_size, f"changes the size of {first!r} in place; give the top another name")
        layer.check(
            not self.blobs.is_lasting(first),
            f"changes the constant {first!r} in each forward pass; give the top another name",
        )
        shared = [name for name in further if self.blobs.memory(name) == self.blobs.memory(first)]
        layer.check(
            not shared,
            f"overwrites {first!r}, which shares its memory with the bottom {shared[:1]}; give the top another name",
        )

    def _outputs(self) -> list[Tensor]:
        """The outputs, each under its blob's name. Other blobs name their tensors where these have no name yet."""
        final = {blob: self.blobs.read(blob) for blob in self.blobs}
        names: dict[str, str] = {}
        outputs = {}
        made = set(self.builder.tensors)
        for top in self.flow.unread():
            if self.flow.layer(top).type == "Input":
                continue  # no layer reads this input; Caffe counts it among the outputs
            blob = self.flow.name(top)
            tensor = final[blob]
            if tensor.name not in made or tensor.name in names or blob in self.inputs:
                tensor = self.builder.node("Identity", blob, [tensor], [(tensor.shape, tensor.dtype)], {})[0]
            outputs[blob] = tensor
            names[tensor.name] = blob
            if blob in self.inputs:
                names[tensor.name] = self.builder.unique(f"{blob}_out")
                self.notes.append(f"output '{blob}' overwrites the input of that name: it is '{names[tensor.name]}'")
        if not outputs:
            raise NetworkError(f"{self.file} computes nothing: no layer's top is left as an output")
        for blob, tensor in final.items():
            if tensor.name in made and tensor.name not in names and blob not in self.inputs and blob not in outputs:
                names[tensor.name] = blob
        self.builder.rename(names)
        self._note_odd_outputs(outputs)
        return [Tensor(names[tensor.name], tensor.shape, tensor.dtype) for tensor in outputs.values()]

    def _note_odd_outputs(self, outputs: Mapping[str, Tensor]) -> None:
        """Note outputs whose first axis is not the batch, where inputs have a free batch."""
        free: set[Any] = {
            dim for tensor in self.inputs.values() for dim in tensor.shape[:1] if isinstance(dim, BatchDim)
        }
        for blob, tensor in outputs.items():
            if free and not free.intersection(tensor.shape[:1]):
                shown = ", ".join(str(dim) for dim in tensor.shape)
                self.notes.append(f"output '{blob}' has the shape [{shown}] for a batch of N, as in Caffe")


def _with_batch(name: str, shape: tuple[int, ...], reading: _Reading) -> tuple[Dim, ...]:
    return (batch(shape[0]), *shape[1:]) if name in reading.inputs else shape
