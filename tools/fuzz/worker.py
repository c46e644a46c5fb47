"""One target in one process, guided by coverage: `python -m tools.fuzz.worker TARGET FILE [libFuzzer's options]`.

FILE holds the input that is being run: it is still there when the process was killed by a signal.

A process of its own for each target, since libFuzzer never returns. Memory is bounded twice: libFuzzer looks at what is
resident, and the address space is limited, so that memory which is asked for and never touched is found too.
"""

from __future__ import annotations

import mmap
import os
import pkgutil
import resource
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from tools.fuzz.target import Target, survive, targets

ADDRESS_SPACE = 6 << 30  # bytes; the libraries' own mappings are some 2 GiB of it
MODEL_LIMIT = 64 << 20  # bytes: networks that ask for more must be refused

# Rooms of which everything is imported, also what their parsers import late; the targets import what else they need.
_INSTRUMENTED = ("network", "data", "precision", "gate", "suite", "report", "serve")
_SIZE = 8  # bytes of FILE that hold 1 + the input's length; 0: there was none yet


def main() -> None:
    """Import everything instrumented, try the seeds, and fuzz."""
    import atheris

    name, last, *options = sys.argv[1:]
    os.environ["INFERKIT_MAX_MODEL_BYTES"] = str(MODEL_LIMIT)
    with atheris.instrument_imports(include=["inferkit", "tomllib", "zipfile", "google.protobuf.text_format"]):
        for package in _INSTRUMENTED:
            _import_all(f"inferkit.{package}")
        target = targets()[name]
    for seed in target.seeds():
        if not survive(target, seed):
            raise SystemExit(f"{name}: a seed is refused")
    fuzz(target, Path(last), options)


def fuzz(target: Target, last: Path, options: list[str]) -> None:
    """Fuzz until something is found or a limit among libFuzzer's `options` is met; raises SystemExit."""
    import atheris

    keep = keeper(last, target.most_bytes)

    def run(content: bytes) -> None:
        keep(content)
        survive(target, content)

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    atheris.Setup([sys.argv[0], *options], run)
    try:
        atheris.Fuzz()
    finally:
        # libFuzzer's timer for slow inputs (SIGALRM every 11 seconds) runs on while Python ends, and atheris has
        # registered a handler with Python, which puts back the default one when it ends: the process dies of SIGALRM
        # before libFuzzer, which comes last, has written down the input that raised. An ignored signal stays ignored.
        signal.signal(signal.SIGALRM, signal.SIG_IGN)


def keeper(path: Path, most_bytes: int) -> Callable[[bytes], None]:
    """Makes FILE, for inputs of up to `most_bytes`; what is returned puts one into it, without a system call."""
    path.write_bytes(bytes(_SIZE + most_bytes))
    with path.open("r+b") as file:
        room = mmap.mmap(file.fileno(), _SIZE + most_bytes)

    def keep(content: bytes) -> None:
        content = content[:most_bytes]
        room[_SIZE : _SIZE + len(content)] = content
        room[:_SIZE] = (1 + len(content)).to_bytes(_SIZE, "little")

    return keep


def last_input(path: Path) -> bytes | None:
    """What was put into FILE last; None where that was nothing."""
    stored = path.read_bytes() if path.exists() else b""
    size = int.from_bytes(stored[:_SIZE], "little")
    return stored[_SIZE : _SIZE + size - 1] if size else None


def _import_all(name: str) -> None:
    module = import_module(name)
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), f"{name}."):
        import_module(found.name)


if __name__ == "__main__":
    main()
