"""The files of another commit: a git worktree in a temporary folder, removed whatever happens."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from inferkit.errors import UsageError
from inferkit.suite.repository import git, git_run


@contextlib.contextmanager
def checkout(repository: Path, commit: str) -> Iterator[Path]:
    """A folder with the files of a commit, while the context lasts. The repository's own files are not touched."""
    outer = Path(tempfile.mkdtemp(prefix="inferkit-ab-")).resolve()
    folder = outer / commit[:12]
    try:
        git(repository, "worktree", "add", "--detach", str(folder), commit, what=f"{commit} cannot be checked out")
        yield folder
    finally:
        # In a session of its own, so that a second Ctrl-C does not stop the cleaning.
        for command in (["worktree", "remove", "--force", str(folder)], ["worktree", "prune"]):
            git_run(repository, *command, start_new_session=True)
        shutil.rmtree(outer, ignore_errors=True)


def installed(source: Path, folder: Path, extras: str = "") -> str:
    """Install `source` (with these extras) into a new environment in `folder`; returns its Python.

    Of a project that is no package, what its requirements.txt lists. UsageError with pip's last words where that fails.
    """
    _run([sys.executable, "-m", "venv", str(folder)], f"{folder}: cannot create an environment")
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    is_package = any((source / name).is_file() for name in ("pyproject.toml", "setup.py", "setup.cfg"))
    wanted = f"{source}[{extras}]" if extras else str(source)
    arguments = [wanted] if is_package else ["--requirement", str(source / "requirements.txt")]
    _run([str(python), "-m", "pip", "install", "--quiet", *arguments], f"{wanted}: cannot be installed")
    return str(python)


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UsageError(f"{what}: {last}")
