"""Where inferkit keeps what it can make again: `$INFERKIT_CACHE`, else `inferkit` in the user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path

from inferkit.errors import InferkitError

VARIABLE = "INFERKIT_CACHE"


class CacheError(InferkitError, OSError):
    """The cache folder cannot be made. Both an InferkitError, for the user, and an OSError, for who has another way."""


def cache_root() -> Path:
    """The cache's folder, which may not exist yet: `$INFERKIT_CACHE`, else `$XDG_CACHE_HOME/inferkit` (~/.cache)."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base).absolute() / "inferkit"


def cache_dir(*parts: str) -> Path:
    """The folder `parts` inside the cache, made where it is missing. CacheError where that is not possible."""
    folder = cache_root().joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CacheError(
            f"the cache folder {folder} cannot be made: {error.strerror or error}; "
            f"name a folder that can be written to by {VARIABLE}"
        ) from error
    return folder
