"""What an engine computed, small enough to keep: the SHA-256 of each output, and some of its values.

{"inputs": "60303a…", "precision": "fp16",
 "outputs": {"prob": {"shape": [8, 1000], "type": "float32", "sha256": "9f86d0…", "sample": "base64 of float32"}}}
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.content_store import is_sha256

# Values kept of an output: 5 kB of text. A change that no thousand evenly spaced values show is in the hash.
MOST_VALUES = 1024


@dataclass(frozen=True, eq=False)
class KeptOutput:
    """One output: its shape and type, the SHA-256 of its bytes, and evenly spaced values of it, float32 [n]."""

    shape: tuple[int, ...]
    type: str
    sha256: str
    sample: NDArray[np.float32]

    @classmethod
    def of(cls, array: NDArray[Any]) -> KeptOutput:
        """What is kept of an output."""
        flat = np.ascontiguousarray(array).reshape(-1)
        chosen = flat[np.linspace(0, max(flat.size - 1, 0), min(flat.size, MOST_VALUES)).astype(np.int64)]
        with np.errstate(over="ignore"):  # what float32 does not hold becomes an infinity
            sample = chosen.astype(np.float32)
        return cls(array.shape, str(array.dtype), hashlib.sha256(flat.tobytes()).hexdigest(), sample)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        sample = base64.b64encode(self.sample.astype("<f4").tobytes()).decode()
        return {"shape": list(self.shape), "type": self.type, "sha256": self.sha256, "sample": sample}

    @classmethod
    def from_dict(cls, values: Any) -> KeptOutput:
        """The inverse of `as_dict`. ValueError for what is none."""
        try:
            shape, dtype, digest = tuple(values["shape"]), values["type"], values["sha256"]
            sample = np.frombuffer(base64.b64decode(values["sample"], validate=True), "<f4").astype(np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"is no kept output: {error}") from error
        if not all(type(size) is int and size >= 0 for size in shape) or not isinstance(dtype, str):
            raise ValueError("is no kept output: its shape or type is damaged")
        if not is_sha256(digest) or len(sample) != min(math.prod(shape), MOST_VALUES):
            raise ValueError("is no kept output: its values do not fit its shape, or it has no SHA-256")
        return cls(shape, dtype, digest, sample)


@dataclass(frozen=True, eq=False)
class KeptOutputs:
    """All outputs of one batch by name; `inputs` is the SHA-256 of what was computed on, `precision` the engine's."""

    inputs: str
    precision: str
    outputs: Mapping[str, KeptOutput]

    @classmethod
    def of(cls, outputs: Mapping[str, NDArray[Any]], feeds: Mapping[str, NDArray[Any]], precision: str) -> KeptOutputs:
        """What is kept of a batch's `outputs`, computed from `feeds`."""
        content = hashlib.sha256()
        for name, array in sorted(feeds.items()):
            content.update(repr((name, str(array.dtype), array.shape)).encode())
            content.update(np.ascontiguousarray(array).tobytes())
        kept = {name: KeptOutput.of(array) for name, array in sorted(outputs.items())}
        return cls(content.hexdigest(), precision, kept)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        outputs = {name: output.as_dict() for name, output in self.outputs.items()}
        return {"inputs": self.inputs, "precision": self.precision, "outputs": outputs}

    @classmethod
    def from_dict(cls, values: Any) -> KeptOutputs:
        """The inverse of `as_dict`. ValueError for what is none."""
        try:
            outputs = {str(name): KeptOutput.from_dict(value) for name, value in values["outputs"].items()}
            return cls(str(values["inputs"]), str(values["precision"]), outputs)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"are no kept outputs: {error}") from error
