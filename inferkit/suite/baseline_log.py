"""The earlier versions of a baseline file, as git has them: since the last release, or all that it keeps."""

from __future__ import annotations

import contextlib
from pathlib import Path

from inferkit.errors import BaselineError, UsageError
from inferkit.gate.files.baseline import baseline_of
from inferkit.gate.files.checked_json import parse_json
from inferkit.gate.history.creep import BaselineLog
from inferkit.gate.run import Run
from inferkit.suite.repository import git

_MOST = 100  # versions that are read


def baseline_log(path: Path) -> BaselineLog | None:
    """The versions of this file from the last release on, the oldest first; None where git has none.

    Without a release, or where the file is younger, from the oldest of its last hundred versions on, under its date.
    Versions that cannot be read are passed over.
    """
    folder, name = path.absolute().parent, path.name
    if not folder.is_dir():
        return None
    try:
        lines = _git(folder, "log", f"-{_MOST}", "--format=%H %cs", "--", name)
    except UsageError:
        return None  # no repository, or no git
    commits = [tuple(line.split(" ", 1)) for line in reversed(lines.splitlines())]
    if not commits:
        return None
    since = commits[0][1]
    with contextlib.suppress(UsageError):
        tag = _git(folder, "describe", "--tags", "--abbrev=0")
        released = _git(folder, "log", "-1", "--format=%H", tag, "--", name)
        hashes = [commit for commit, _ in commits]
        if released in hashes:
            commits, since = commits[hashes.index(released) :], tag
    versions = [version for commit, _ in commits if (version := _version(folder, commit, name)) is not None]
    return BaselineLog(since, tuple(versions))


def _version(folder: Path, commit: str, name: str) -> Run | None:
    try:
        content = _git(folder, "show", f"{commit}:./{name}")
        return baseline_of(parse_json(content.encode(), f"{name} of {commit[:9]}"))
    except (UsageError, BaselineError):
        return None  # deleted then, or of an older form


def _git(folder: Path, *words: str) -> str:
    return git(folder, *words, what=f"git {words[0]}")
