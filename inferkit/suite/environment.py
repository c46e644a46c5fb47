"""A commit installed into a Python environment of its own, with the versions that it declares."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from inferkit.errors import UsageError


def installed(source: Path, folder: Path, extras: str = "") -> str:
    """Install `source` (with these extras) into a new environment in `folder`; returns its Python.

    UsageError with pip's last words where that fails.
    """
    _run([sys.executable, "-m", "venv", str(folder)], f"{folder}: no environment could be made")
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    wanted = f"{source}[{extras}]" if extras else str(source)
    _run([str(python), "-m", "pip", "install", "--quiet", wanted], f"{wanted}: cannot be installed")
    return str(python)


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UsageError(f"{what}: {last}")
