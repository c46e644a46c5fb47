"""The commit that a stored baseline stands for, and what of its environment is another than today's."""

from __future__ import annotations

import contextlib
import tomllib
from pathlib import Path

from inferkit.errors import UsageError
from inferkit.gate.run import Origin
from inferkit.suite.interleaved.worktree import installed
from inferkit.suite.repository import commit_of, git, git_run

# Files that say what a project needs; of a pyproject.toml only these tables of [project].
_REQUIREMENTS = ("requirements*.txt", "*.lock", "environment*.y*ml", "setup.cfg", "setup.py")
_DECLARED = ("dependencies", "optional-dependencies")
_UNKNOWN = ("", "unknown", "unversioned")


def base_commits(repository: Path, baseline: Path, origin: Origin) -> list[str]:
    """The commits that may be the base of a baseline file, the likeliest first. UsageError, which says why, for none.

    Where the run that was promoted had no uncommitted changes, its commit is the base, and no other. Else it is the
    commit that brought the baseline, since a network and its baseline are mostly committed together.
    """
    if not origin.dirty and origin.commit not in _UNKNOWN and (clean := _there(repository, origin.commit)):
        return clean
    commits: list[str] = []
    shallow = git(repository, "rev-parse", "--is-shallow-repository", what="git rev-parse") == "true"
    if (
        _is_committed(repository, baseline) and not shallow
    ):  # its history ends at a commit that seems to bring every file
        commits += _there(
            repository, git(repository, "log", "-1", "--format=%H", "--", str(baseline.resolve()), what="git log")
        )
    if origin.dirty and origin.commit not in _UNKNOWN:
        commits += _there(repository, origin.commit)
    if commits:
        return list(dict.fromkeys(commits))
    hint = ": this clone is shallow (git fetch --unshallow, or fetch-depth: 0 in CI)" if shallow else ""
    if origin.commit in _UNKNOWN or origin.dirty:
        unknown = f"no commit is known that {baseline.name} was measured at"
        raise UsageError(f"{unknown}{hint}" if shallow else f"{baseline.name} is not committed, and {unknown}")
    raise UsageError(f"the commit of {baseline.name}, {origin.commit[:12]}, is not in this repository{hint}")


def own_source_changed(repository: Path, commit: str) -> bool:
    """Whether the repository holds inferkit itself, and it is another than at this commit."""
    if not (repository / "inferkit" / "pytest_plugin.py").is_file():
        return False
    return git_run(repository, "diff", "--quiet", commit, "--", "inferkit").returncode != 0


def environment_of_base(base: Path, head: Path) -> str | None:
    """The Python of a new environment with what base needs, beside its folder; None where head needs the same.

    UsageError, with pip's last words, where it cannot be made.
    """
    if _dependencies(base) == _dependencies(head):
        return None
    return installed(base, base.parent / "venv")


def _there(repository: Path, ref: str) -> list[str]:
    try:
        return [commit_of(repository, ref)] if ref else []
    except UsageError:
        return []


def _is_committed(repository: Path, file: Path) -> bool:
    """Whether git has the file as it is."""
    if not file.resolve().is_relative_to(repository.resolve()):
        return False
    return not git(repository, "status", "--porcelain", "--ignored", "--", str(file.resolve()), what="git status")


def _dependencies(folder: Path) -> dict[str, object]:
    """What the files of a project say that it needs, without comments."""
    declared: dict[str, object] = {}
    for pattern in _REQUIREMENTS:
        for path in folder.glob(pattern):
            with contextlib.suppress(OSError):  # a link to nowhere, a folder: as below
                lines = (line.partition("#")[0].strip() for line in path.read_text(errors="replace").splitlines())
                declared[path.name] = [line for line in lines if line]
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text()).get("project", {})
        declared["pyproject.toml"] = {key: project.get(key) for key in _DECLARED}
    except (OSError, ValueError, AttributeError):
        pass  # a file that cannot be read declares nothing
    return declared
