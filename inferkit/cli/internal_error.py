"""What an internal error leaves: its traceback and what helps to mend it in a file, without anybody's secrets."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from inferkit.cache import cache_dir
from inferkit.version import __version__

_SECRET = re.compile(r"token|secret|passw|credential|api_?-?key|access_?-?key|private_?-?key", re.I)
_ADDRESS = re.compile(r"(\w+://)[^/\s@]+@")  # with a user's name and password
_MASK = "***"
_LONGEST = 300  # characters of the error that its line shows


def internal_error(program: str, arguments: Sequence[str], error: Exception) -> str:
    """The line of the error, which names the file with its details; they follow it where no file can be written."""
    facts = (
        f"inferkit {__version__}",
        f"Python {sys.version}",
        platform.platform(),
        time.strftime("%Y-%m-%d %H:%M:%S"),
    )
    command = shlex.join([program.split()[0], *arguments])
    secrets = _secrets(arguments)
    details = _masked("\n".join([*facts, command, "", *traceback.format_exception(error)]), secrets)
    line = _masked(" ".join(f"{type(error).__name__}: {error}".split()), secrets)[:_LONGEST]
    path = _written(f"{program.replace(' ', '-')}-", details)
    return f"internal error: {line}; " + (f"details were written to {path}" if path else f"details:\n{details}")


def _written(prefix: str, details: str) -> str | None:
    """The file, readable for this user alone: in the cache's folder, else in the temporary one."""
    for folder in (lambda: cache_dir("errors"), lambda: Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            handle, path = tempfile.mkstemp(prefix=prefix, suffix=".txt", dir=folder())
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(details)
            return path
    return None


def _secrets(arguments: Sequence[str]) -> list[str]:
    """The values of variables and options whose names say that nobody else is to see them, longest first."""
    values = {value for name, value in os.environ.items() if _SECRET.search(name)}
    for word, following in pairwise([*arguments, ""]):
        option, equals, value = word.partition("=")
        if option.startswith("-") and _SECRET.search(option) and not option.endswith("-file"):
            values.add(value if equals else following)
    return sorted((value for value in values if len(value) > 3), key=len, reverse=True)


def _masked(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, _MASK)
    return _ADDRESS.sub(rf"\1{_MASK}@", text)
