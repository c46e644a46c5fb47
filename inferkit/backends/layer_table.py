"""The layer table: one row per layer of an engine that really ran, with the network's layers that it computes.

A backend fills it (Session.layer_times); it is stored with a run and beside a baseline, so that a changed latency can
be put down to layers (gate/layer_diff.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# The precision of a layer of float32 tensors whose kernel does not say how it multiplies them.
FP32_OR_TF32 = "fp32 or tf32"
_TEXTS = ("kind", "precision", "kernel", "format")


@dataclass(frozen=True)
class LayerRow:
    """One layer as it ran. `seconds` per batch, None where it was not timed; texts are empty where not known.

    `origins` are the names of the network's layers that it computes: a fusion has several, a copy that the backend
    added has none. `kernel` is TensorRT's tactic, or ONNX Runtime's operator. `precision` is the type that the layer
    computes in, as inferkit calls it. `multiplies`: it is known to do the work of a convolution, a product of matrices
    or a recurrent layer; files do not keep this.
    """

    name: str
    kind: str = ""
    precision: str = ""
    kernel: str = ""
    format: str = ""
    seconds: float | None = None
    origins: tuple[str, ...] = ()
    multiplies: bool = field(default=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, sparse: nothing that is empty; `us` are microseconds to four digits, `of` the origins."""
        values: dict[str, Any] = {"name": self.name}
        values |= {key: getattr(self, key) for key in _TEXTS if getattr(self, key)}
        if self.seconds is not None:
            values["us"] = float(f"{self.seconds * 1e6:.4g}")
        if self.origins != (self.name,):
            values["of"] = list(self.origins)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LayerRow:
        """The inverse of `as_dict`. ValueError for what is none."""
        name, micros, origins = values.get("name"), values.get("us"), values.get("of", [values.get("name")])
        texts = {key: values.get(key, "") for key in _TEXTS}
        if not all(isinstance(text, str) for text in (name, *texts.values())):
            raise ValueError(f"a layer's texts are no texts: {dict(values)!r}")
        if not isinstance(origins, list) or not all(isinstance(text, str) for text in origins):
            raise ValueError(f"the layers that {name!r} computes are no list of names")
        if micros is not None and (
            isinstance(micros, bool) or not isinstance(micros, (int, float)) or not 0 <= micros < 1e12
        ):
            raise ValueError(f"the time of {name!r} is {micros!r}")
        return cls(str(name), **texts, seconds=None if micros is None else micros / 1e6, origins=tuple(origins))


LayerTable = tuple[LayerRow, ...]
