"""The `onnxruntime` backend: ONNX Runtime on the CPU, the default. The library is imported when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inferkit.backends.onnxruntime.backend import BACKEND as BACKEND


def __getattr__(name: str) -> Any:
    if name != "BACKEND":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from inferkit.backends.onnxruntime.backend import BACKEND

    return BACKEND
