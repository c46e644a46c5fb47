"""The engine cache: one process builds, the others wait; what is damaged is built again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from inferkit.backends.tensorrt.building.builder import BuildOptions
from inferkit.backends.tensorrt.flavour import Flavour
from inferkit.backends.tensorrt.plan import Plan, read_plan, write_plan
from inferkit.cache import cache_dir
from inferkit.errors import EngineError
from inferkit.files import remove_leftovers
from inferkit.network.network import Network

_LOG = logging.getLogger("inferkit.tensorrt")
_KEY_SCHEMA = 4  # raise it when the same key would mean another engine


def engine_key(network: Network, flavour: Flavour, options: BuildOptions, gpu: Mapping[str, Any] | None) -> str:
    """What an engine depends on, as a digest: graph, precision, profile, flavour, version, GPU or target."""
    content = {
        "schema": _KEY_SCHEMA,
        "network": network.digest,
        "precision": network.precision,
        "profile": options.profile.as_list(),
        "static": options.profile.static,
        "flavour": flavour.name,
        "version": flavour.version,
        "targets": list(options.targets),
        "workspace": options.workspace,
        "caveats": list(flavour.caveats(network.precision)),
        "gpu": None if flavour.builds_without_gpu or gpu is None else [gpu["name"], gpu["compute_capability"]],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def cached_plan(key: str, name: str, build: Callable[[], Plan]) -> tuple[Plan, Path, bool]:
    """The plan of this key, where it lies, and whether it was there already; `build` makes it where it was not.

    Of several processes one builds and the others wait for it. A damaged entry is built again. Raises EngineError
    where the cache cannot be written, and what `build` raises (nothing is left behind then).
    """
    try:
        path = cache_dir("engines", key[:2]) / f"{name}-{key[:24]}.plan"
    except OSError as error:
        raise EngineError(f"the cache folder cannot be made ({error}); set INFERKIT_CACHE") from error
    found = _intact(path)
    if found is not None:
        return found, path, True
    with _locked(path):
        found = _intact(path)
        if found is not None:
            return found, path, True
        remove_leftovers(path)
        plan = build()
        write_plan(path, plan)
    return plan, path, False


def _intact(path: Path) -> Plan | None:
    if not path.exists():
        return None
    try:
        return read_plan(path)
    except EngineError as error:
        _LOG.info("cached engine is built again: %s", error)
        return None


def _locked(path: Path) -> contextlib.AbstractContextManager[Any]:
    try:
        return FileLock(f"{path}.lock").acquire()
    except OSError as error:
        raise EngineError(
            f"{path}: the engine cache cannot be locked ({error.strerror or error}); set INFERKIT_CACHE to a "
            "folder that can be written"
        ) from error
