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

# What `git rev-parse --local-env-vars` lists.
_LOCAL = frozenset(
    f"GIT_{name}"
    for name in (
        *("ALTERNATE_OBJECT_DIRECTORIES", "CONFIG", "CONFIG_PARAMETERS", "CONFIG_COUNT", "OBJECT_DIRECTORY", "DIR"),
        *("WORK_TREE", "IMPLICIT_WORK_TREE", "GRAFT_FILE", "INDEX_FILE", "NO_REPLACE_OBJECTS", "REPLACE_REF_BASE"),
        *("PREFIX", "SHALLOW_FILE", "COMMON_DIR", "INTERNAL_SUPER_PREFIX"),
    )
)


def repository_of(folder: Path) -> Path:
    """The top folder of the git repository that `folder` is in. UsageError where it is not in one."""
    return Path(git(folder, "rev-parse", "--show-toplevel", what=f"{folder} is not in a git repository"))


def commit_of(repository: Path, ref: str) -> str:
    """The full id of a commit. UsageError where there is no such ref."""
    said = f"{ref!r} is neither a file nor a commit of {repository}"
    if ref.startswith("-"):
        raise UsageError(said)
    return git(repository, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", what=said)


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
            subprocess.run(
                ["git", *command], cwd=repository, env=git_environment(), capture_output=True, start_new_session=True
            )
        shutil.rmtree(outer, ignore_errors=True)


def git_environment() -> dict[str, str]:
    """This environment without what ties git to one repository: in a hook it would write into the caller's index."""
    return {name: value for name, value in os.environ.items() if name not in _LOCAL}


def git(folder: Path, *arguments: str, what: str) -> str:
    """What git says in `folder`. UsageError, beginning with `what`, where it fails or is not there."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, env=git_environment(), capture_output=True, text=True)
    except OSError as error:
        raise UsageError(f"git cannot be run: {error}") from error
    if done.returncode != 0:
        message = done.stderr.strip()
        raise UsageError(f"{what}{': ' + message if message else ''}")
    return done.stdout.strip()


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
