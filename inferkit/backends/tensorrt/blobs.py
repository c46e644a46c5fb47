"""Small caches that may be lost at any time: layer timings (`tensorrt`) and kernels compiled at run time (RTX)."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from inferkit.backends.tensorrt.flavour import Flavour
from inferkit.cache import cache_dir, cache_root
from inferkit.files import remove_leftovers, write_atomically

TIMINGS = "INFERKIT_TIMINGS"
_JIT_SCHEMA = 2  # raise it when kernels would be chosen differently for the same plan
_LOCK_SECONDS = 60.0  # the lock is held for as long as two files take to be read and written
_LOG = logging.getLogger("inferkit.tensorrt")


class BlobCache:
    """One file that may be lost at any time: a digest, then the content. Damage and absence read as None.

    Nothing here fails for its file: what cannot be read or written is a warning that ends with `lost`, what it costs.
    """

    def __init__(self, path: Path, lost: str = "the next process compiles again") -> None:
        self.path = path
        self._lost = lost

    def read(self) -> bytes | None:
        """The content; None where there is none, and with a warning where it is damaged or cannot be read."""
        try:
            stored = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            _LOG.warning("%s cannot be read (%s): %s", self.path, error.strerror or error, self._lost)
            return None
        digest, content = stored[:32], stored[32:]
        if hashlib.sha256(content).digest() == digest:
            return content
        _LOG.warning("%s is damaged: %s", self.path, self._lost)
        return None

    def write(self, content: bytes | None) -> None:
        """Replace the content, whole or not at all. None writes nothing."""
        if content is None:
            return
        try:
            write_atomically(self.path, hashlib.sha256(content).digest() + content)
        except OSError as error:
            self._cannot_be_written(error)

    def update(self, change: Callable[[bytes | None], bytes | None]) -> None:
        """Replace the content by what `change` makes of it, with no other process between reading and writing."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock", timeout=_LOCK_SECONDS):
                remove_leftovers(self.path)
                stored = self.read()
                content = change(stored)
                if content != stored:
                    self.write(content)
        except OSError as error:  # a Timeout is one
            self._cannot_be_written(error)

    def _cannot_be_written(self, error: OSError) -> None:
        _LOG.warning("%s cannot be written (%s): %s", self.path, error.strerror or error, self._lost)


def timing_cache(flavour: Flavour, gpu: Mapping[str, Any]) -> BlobCache:
    """The timings of this flavour and version on this kind of GPU and CUDA version of the driver.

    It lies in $INFERKIT_TIMINGS, a folder that machines of one kind may share, else in inferkit's cache.
    """
    chosen = os.environ.get(TIMINGS)
    folder = Path(chosen).expanduser().absolute() if chosen else cache_root() / "timing"
    kind = f"{gpu['name']}-{gpu['compute_capability']}-cuda{gpu.get('driver') or 'unknown'}"
    path = folder / f"{flavour.name}-{flavour.version}-{_slug(kind)}.cache"
    return BlobCache(path, lost="a build times again what others have timed")


def jit_cache(plan_digest: str, flavour: Flavour, gpu: Mapping[str, Any], batch: int, specialization: str) -> BlobCache:
    """The kernels compiled for one plan and batch on one kind of GPU and driver."""
    driver = str(gpu.get("driver") or "unknown")
    key = hashlib.sha256(
        json.dumps([_JIT_SCHEMA, plan_digest, flavour.version, gpu["name"], gpu["compute_capability"], driver]).encode()
    ).hexdigest()
    return BlobCache(cache_dir("jit", key[:2]) / f"{key[:24]}-b{batch}-{specialization}.cache")


def _slug(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in text)
