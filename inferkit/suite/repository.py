"""What is asked of git: the repository of a folder, its commits, any other command; also from within a hook."""

from __future__ import annotations

import os
import subprocess
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


def git_environment() -> dict[str, str]:
    """This environment without what ties git to one repository: in a hook it would write into the caller's index."""
    return {name: value for name, value in os.environ.items() if name not in _LOCAL}


def git_run(folder: Path, *arguments: str, start_new_session: bool = False) -> subprocess.CompletedProcess[str]:
    """Run git in `folder`; whether it succeeded is for the caller to see. OSError where there is no git."""
    return subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=git_environment(),
        capture_output=True,
        text=True,
        start_new_session=start_new_session,
    )


def git(folder: Path, *arguments: str, what: str) -> str:
    """What git says in `folder`. UsageError, beginning with `what`, where it fails or is not there."""
    try:
        done = git_run(folder, *arguments)
    except OSError as error:
        raise UsageError(f"git cannot be run: {error}") from error
    if done.returncode != 0:
        message = done.stderr.strip()
        raise UsageError(f"{what}{': ' + message if message else ''}")
    return done.stdout.strip()
