"""Small caches that may be lost at any time: layer timings (`tensorrt`) and kernels compiled at run time (RTX)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from inferkit.backends.tensorrt.flavour import Flavour
from inferkit.cache import cache_dir
from inferkit.files import write_atomically

_JIT_SCHEMA = 2  # raise it when kernels would be chosen differently for the same plan
_LOG = logging.getLogger("inferkit.tensorrt")


class BlobCache:
    """One file that may be lost at any time: a digest, then the content. Damage and absence read as None."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> bytes | None:
        try:
            stored = self.path.read_bytes()
        except OSError:
            return None
        digest, content = stored[:32], stored[32:]
        return content if hashlib.sha256(content).digest() == digest else None

    def write(self, content: bytes | None) -> None:
        """Best effort: a cache that cannot be written costs time, not correctness. None writes nothing."""
        if content is None:
            return
        try:
            write_atomically(self.path, hashlib.sha256(content).digest() + content)
        except OSError as error:
            _LOG.warning("%s cannot be written (%s): the next process compiles again", self.path, error)

    def locked(self) -> contextlib.AbstractContextManager[Any]:
        """Hold while reading, changing and writing."""
        return FileLock(f"{self.path}.lock").acquire()


def timing_cache(flavour: Flavour, gpu: Mapping[str, Any] | None) -> BlobCache:
    """The timing cache of this flavour, version and GPU."""
    owner = f"{gpu['name']}-{gpu['compute_capability']}" if gpu else "any"
    return BlobCache(cache_dir("timing") / f"{flavour.name}-{flavour.version}-{_slug(owner)}.cache")


def jit_cache(plan_digest: str, flavour: Flavour, gpu: Mapping[str, Any], batch: int, specialization: str) -> BlobCache:
    """The kernels compiled for one plan and batch on one kind of GPU and driver."""
    driver = str(gpu.get("driver") or "unknown")
    key = hashlib.sha256(
        json.dumps([_JIT_SCHEMA, plan_digest, flavour.version, gpu["name"], gpu["compute_capability"], driver]).encode()
    ).hexdigest()
    return BlobCache(cache_dir("jit", key[:2]) / f"{key[:24]}-b{batch}-{specialization}.cache")


def _slug(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in text)
