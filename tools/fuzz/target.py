"""What is fuzzed: a parser that takes bytes, examples of what it reads, and the errors that it may end with."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from inferkit.errors import InferkitError


@dataclass(frozen=True)
class Target:
    """`run` takes any bytes and returns, or raises an InferkitError; whatever else comes out of it is a finding.

    `seeds` gives files that are read without an error, `words` what the format is made of, `most_bytes` how long an
    input may become.
    """

    name: str
    run: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]]
    words: tuple[bytes, ...] = ()
    most_bytes: int = 4096


FAMILIES = ("caffe_models", "images", "calibrations", "records", "suites", "onnx_models", "requests")


def targets() -> dict[str, Target]:
    """Every target by its name, family by family."""
    found = (target for family in FAMILIES for target in import_module(f"tools.fuzz.{family}").TARGETS)
    return {target.name: target for target in found}


def survive(target: Target, content: bytes) -> bool:
    """Run one input: True where it was read, False where it was refused. What is a finding is raised."""
    try:
        target.run(content)
    except InferkitError:
        return False
    return True


@contextlib.contextmanager
def a_file(content: bytes, name: str) -> Iterator[Path]:
    """`content` as a file of this name, alone in a folder that is gone afterwards; in memory where that is possible."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="inferkit-fuzz-", dir=memory if memory.is_dir() else None) as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        yield path
