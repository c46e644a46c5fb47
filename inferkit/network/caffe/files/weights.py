"""Assigns learned blobs to layers, as Caffe's Net::CopyTrainedLayersFrom and its parameter sharing do.

Caffe's rules: a layer of the caffemodel goes to the first layer of the network with its name, and is ignored where
there is none; number and shapes of the blobs must agree (the old four-number shapes are aligned at the end);
parameters with one name are one blob, owned by the first layer that names it, and the values copied last are used by
all. One rule differs: Caffe fills blobs that the caffemodel lacks, also with random numbers; those are refused here
(fillers.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import NetworkError
from inferkit.network.caffe.files.fillers import UNSTATED, RandomFiller, WrongFiller, check_filler, fill
from inferkit.network.caffe.files.read import CaffeModel
from inferkit.network.caffe.files.schema import BlobProto, FillerParameter, LayerParameter, NetParameter, ParamSpec
from inferkit.network.caffe.files.wire import blob_values, foreign_fields

Slot = tuple[int, int]  # a blob of the network: index of its layer, index within the layer
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class BlobSpec:
    """A learned blob as the network expects it: its shape, and the filler where no weights are given (None: zeros)."""

    shape: tuple[int, ...]
    filler: FillerParameter | None = None


class Weights:
    """The learned blobs of one network: `net` (upgraded and filtered) with the values of `model` (upgraded).

    `source` is the prototxt's name in errors. Ask for the layers in their order: sharing is checked against the owner.
    """

    def __init__(self, net: NetParameter, model: CaffeModel | None, source: object) -> None:
        self.net = net
        self.model = model
        self.source = source
        self._first: dict[str, int] = {}
        self._members: dict[str, list[Slot]] = {}
        for index, layer in enumerate(net.layer):
            self._first.setdefault(layer.name, index)
            for position, spec in enumerate(layer.param):
                if spec.name:
                    self._members.setdefault(spec.name, []).append((index, position))
        # Layers of the caffemodel in its order, each with the layer of the network that gets its blobs.
        self._copies: list[tuple[LayerParameter, int]] = []
        if model is not None:
            for layer in model.net.layer:
                target = self._first.get(layer.name)
                if target is not None:
                    self._copies.append((layer, target))
        self._shapes: dict[Slot, tuple[int, ...]] = {}
        self._initial: dict[Slot, Floats] = {}

    def blobs(self, index: int, expected: Sequence[BlobSpec]) -> list[Floats]:
        """The blobs of layer `index` of the network, float32, each in the shape that `expected` states.

        Layers that share a blob get the same memory. Raises NetworkError where number, shapes or counts disagree, a
        blob would be random, or sharing layers expect different shapes.
        """
        layer = self.net.layer[index]
        if len(layer.param) > len(expected):
            raise self._error(index, f"{len(layer.param)} param entries for {len(expected)} learned blobs")
        if not layer.blobs:
            self._check_fillers(index, expected)
        for copied, target in self._copies:
            if target == index:
                self._check_copy(index, copied, expected)
        result = []
        for position, spec in enumerate(expected):
            slot = (index, position)
            self._shapes[slot] = spec.shape
            owner = self._owner(slot)
            if owner != slot:
                self._check_sharing(slot, owner)
            values = self._last_copied(owner)
            if values is None:
                values = self._initially(owner, expected if owner[0] == index else None)
            if values.size != prod(spec.shape):
                raise self._error(
                    index,
                    f"blob {position} is shared and has {values.size} elements, but the layer expects the shape "
                    f"{list(spec.shape)}",
                )
            result.append(values.reshape(spec.shape))
        return result

    def _owner(self, slot: Slot) -> Slot:
        params = self.net.layer[slot[0]].param
        name = params[slot[1]].name if slot[1] < len(params) else ""
        return self._members[name][0] if name else slot

    def _sharing(self, owner: Slot) -> list[Slot]:
        params = self.net.layer[owner[0]].param
        name = params[owner[1]].name if owner[1] < len(params) else ""
        return self._members[name] if name else [owner]

    def _last_copied(self, owner: Slot) -> Floats | None:
        """The values that are in a blob after every layer was copied: the last ones, of whichever layer shares it."""
        slots = self._sharing(owner)
        for copied, target in reversed(self._copies):
            positions = [position for index, position in slots if index == target and position < len(copied.blobs)]
            if positions:
                assert self.model is not None
                return self.model.values(copied.blobs[max(positions)])
        return None

    def _initially(self, owner: Slot, expected: Sequence[BlobSpec] | None) -> Floats:
        """What is in a blob that nothing was copied to: values written in the prototxt, else the owner's filler."""
        if owner in self._initial:
            return self._initial[owner]
        index, position = owner
        written = self.net.layer[index].blobs
        if expected is None:
            raise self._error(index, f"blob {position} is shared, but its owner has not been converted yet")
        spec = expected[position]
        if len(written) > 0:
            self._check_blobs(index, self.source, written, expected)
            values = blob_values(written[position])
        else:
            try:
                values = fill(spec.shape, spec.filler)
            except RandomFiller as error:
                raise self._error(
                    index, f"blob {position} has no weights: {self._missing_reason(index)}; {error}"
                ) from None
        self._initial[owner] = values
        return values

    def _check_fillers(self, index: int, expected: Sequence[BlobSpec]) -> None:
        """Caffe fills every blob before it copies weights, so a filler that cannot is an abort either way."""
        for position, spec in enumerate(expected):
            if spec.filler is not None and spec.filler is not UNSTATED:
                try:
                    check_filler(spec.filler, spec.shape)
                except WrongFiller as error:
                    raise self._error(index, f"blob {position}: {error}") from None

    def _missing_reason(self, index: int) -> str:
        if self.model is None:
            return "no caffemodel was given"
        if self._first[self.net.layer[index].name] != index:
            return "an earlier layer has the same name, and Caffe copies the caffemodel's blobs to that layer only"
        return f"{self.model.path} has no layer of that name"

    def _check_copy(self, index: int, copied: LayerParameter, expected: Sequence[BlobSpec]) -> None:
        assert self.model is not None
        foreign = foreign_fields(copied) if expected and not copied.blobs else ""
        if foreign:
            raise self._error(index, f"has no blobs; {_by_fork(foreign)}", self.model.path)
        self._check_blobs(index, self.model.path, copied.blobs, expected)

    def _check_blobs(
        self, index: int, source: object, blobs: Sequence[BlobProto], expected: Sequence[BlobSpec]
    ) -> None:
        if len(blobs) != len(expected):
            raise self._error(index, f"has {len(blobs)} blobs, the network expects {len(expected)}", source)
        for position, (blob, spec) in enumerate(zip(blobs, expected, strict=True)):
            if not shapes_agree(spec.shape, blob):
                raise self._error(
                    index,
                    f"blob {position} has the shape {_written_shape(blob)}, the network expects {list(spec.shape)}",
                    source,
                )
            stored = self.model.stored if self.model is not None else ()
            count = blob_values(blob, stored).size
            if count != prod(spec.shape):
                foreign = foreign_fields(blob) if count == 0 else ""
                raise self._error(
                    index,
                    f"blob {position} has {count} elements for its shape {_written_shape(blob)}; "
                    + (_by_fork(foreign) if foreign else "the file is damaged, download it again"),
                    source,
                )

    def _check_sharing(self, slot: Slot, owner: Slot) -> None:
        """Sharing layers must expect one shape, or with share_mode PERMISSIVE at least one count."""
        wanted, owned = self._shapes[slot], self._shapes.get(owner)
        if owned is None:
            return
        spec = self.net.layer[slot[0]].param[slot[1]]
        permissive = spec.share_mode == ParamSpec.PERMISSIVE
        if wanted != owned and not (permissive and prod(wanted) == prod(owned)):
            owner_name = self.net.layer[owner[0]].name
            raise self._error(
                slot[0],
                f"blob {slot[1]} must have the shape {list(wanted)}, but shares parameter {spec.name!r} with layer "
                f"{owner_name!r}, which has {list(owned)}"
                + ("" if permissive or prod(wanted) != prod(owned) else " (share_mode: PERMISSIVE would allow it)"),
            )

    def _error(self, index: int, reason: str, source: object | None = None) -> NetworkError:
        layer = self.net.layer[index]
        return NetworkError(f"{source or self.source}, layer {layer.name!r} ({layer.type}): {reason}")


def shapes_agree(wanted: Sequence[int], blob: BlobProto) -> bool:
    """Whether a blob of a file has the shape that the network expects (Caffe's Blob::ShapeEquals).

    The old form (num, channels, height, width) is compared with `wanted` filled up by leading ones to four axes.
    """
    legacy = legacy_shape(blob)
    if legacy is None:
        return list(wanted) == list(blob.shape.dim)
    return len(wanted) <= 4 and [1] * (4 - len(wanted)) + list(wanted) == list(legacy)


def legacy_shape(blob: BlobProto) -> tuple[int, int, int, int] | None:
    """The old four-number shape, if the blob has any of the four; it then counts even where `shape` is given too."""
    if any(blob.HasField(name) for name in ("num", "channels", "height", "width")):
        return blob.num, blob.channels, blob.height, blob.width
    return None


def _by_fork(foreign: str) -> str:
    return f"it has {foreign}, which Caffe 1.0 lacks: a fork wrote the file; save it with the numbers in `data`"


def _written_shape(blob: BlobProto) -> str:
    return str(list(legacy_shape(blob) or blob.shape.dim))
