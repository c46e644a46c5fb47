"""Imports a Caffe model as a Network: reads its definition (definition.py) and converts it (convert.py)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from inferkit.errors import UsageError
from inferkit.network.caffe.convert import convert
from inferkit.network.caffe.files.schema import TEST, TRAIN
from inferkit.network.caffe.prototxt.definition import define
from inferkit.network.network import CaffeSource, Network

PathLike = str | os.PathLike[str]

_PHASES = {"TEST": TEST, "TRAIN": TRAIN}


def import_caffe(
    prototxt: PathLike,
    caffemodel: PathLike | None = None,
    *,
    name: str | None = None,
    phase: str = "TEST",
    level: int = 0,
    stages: Sequence[str] = (),
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
) -> Network:
    """The network of a Caffe model, as inferkit.load describes it. Raises NetworkError, UsageError for a phase."""
    if phase.upper() not in _PHASES:
        raise UsageError(f"unknown phase {phase!r}; Caffe has TEST and TRAIN")
    definition = define(
        prototxt, caffemodel, phase=_PHASES[phase.upper()], level=level, stages=stages, input_shapes=input_shape
    )
    title = name or definition.net.name or Path(prototxt).stem
    model, notes = convert(definition.flow, definition.weights, title)
    weights = Path(caffemodel) if caffemodel is not None else None
    source = CaffeSource(Path(prototxt), weights, phase.upper(), level, tuple(stages))
    network = Network.from_model(model, title, source=source)
    return network.with_model(model, source=source, notes=(*definition.notes, *notes))
