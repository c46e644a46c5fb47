"""What `inspect`, `diff` and `top` read of an engine file: its metadata, the batches it takes and its layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from inferkit.errors import InferkitError
from inferkit.files import is_engine_file

if TYPE_CHECKING:
    from inferkit.backends.layer_table import LayerTable


def batch_for(wanted: int | None, *engines: Mapping[str, Any]) -> int:
    """The batch size wanted, else the smallest that all these engines (`engine_info`) may take; 1 without any."""
    return wanted or max((info["profile"][0] for info in engines), default=1)


def engine_info(path: str) -> dict[str, Any] | None:
    """The metadata beside an engine file, checked against it; None for no engine, EngineError for a damaged one."""
    from inferkit.backends import engine_backend

    if not is_engine_file(path):
        return None
    return {"engine": path, **engine_backend(path).read_info(path, verify=True)}


def engine_table(path: str, batch: int) -> LayerTable | str:
    """The engine's layers, as this machine runs them; the reason where it does not."""
    from inferkit.measure.layers.profile import profile_engine

    try:
        return profile_engine(path, batch=batch)
    except InferkitError as error:
        return str(error)


def tensors_text(tensors: Iterable[Mapping[str, Any]]) -> str:
    """Name, shape and type of inputs or outputs as JSON has them: `data N×3×224×224 float32`."""
    return ", ".join(f"{each['name']} {_shape_text(each)} {each['dtype']}" for each in tensors)


def _shape_text(tensor: Mapping[str, Any]) -> str:
    """Open dimensions by their names; the batch is N."""
    names = dict(enumerate(tensor.get("axes", ())))
    batch = tensor.get("batch_axis", 0)
    words = [
        str(size) if size is not None else "N" if axis == batch else names.get(axis) or "?"
        for axis, size in enumerate(tensor["shape"])
    ]
    return "×".join(words) or "scalar"
