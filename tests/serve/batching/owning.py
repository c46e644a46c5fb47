"""A session that runs batches from memory of its own, as one on a GPU does: what it is given elsewhere it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.backends.base import Feeds, Session, Trace
from inferkit.errors import BackendError


class OwningSession(Session):
    """ONNX Runtime behind; `loaded` holds the rows of every batch. With `strict`, only its own memory is taken."""

    prepares_each_size = True

    def __init__(self, engine: Any, *, strict: bool) -> None:
        self._inner = engine.session(threads=1)
        self.inputs, self.outputs = self._inner.inputs, self._inner.outputs
        self.strict = strict
        self.memories: list[dict[str, NDArray[Any]]] = []
        self.loaded: list[int] = []

    def host_memory(self, rows: int) -> dict[str, NDArray[Any]]:
        memory = {info.name: np.zeros((rows, *map(int, info.shape[1:])), info.dtype) for info in self.inputs}  # type: ignore[arg-type]
        self.memories.append(memory)
        return memory

    def load(self, images: Feeds) -> None:
        assert isinstance(images, Mapping)
        is_own = any(all(a.ctypes.data == memory[n].ctypes.data for n, a in images.items()) for memory in self.memories)
        if self.strict and not is_own:
            raise BackendError("this batch lies elsewhere")
        self.loaded.append(len(next(iter(images.values()))))
        self._inner.load(images)

    def execute(self) -> Trace:
        return self._inner.execute()

    def fetch(self) -> dict[str, NDArray[Any]]:
        return self._inner.fetch()

    def close(self) -> None:
        self._inner.close()
