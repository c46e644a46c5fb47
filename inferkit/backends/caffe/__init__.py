"""The `caffe` backend: real PyCaffe 1.0, in this process or in a worker process.

`BACKEND` is loaded when it is first asked for, so that root.py and install.py run with the standard library alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inferkit.backends.caffe.session import BACKEND as BACKEND


def __getattr__(name: str) -> Any:
    if name != "BACKEND":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from inferkit.backends.caffe.session import BACKEND

    return BACKEND
