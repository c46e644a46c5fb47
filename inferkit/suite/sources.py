"""What a commit needs beside git to be measured again: `promote` keeps it in the content store, a checkout gets it."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from inferkit.content_store import VARIABLE, ContentStore, StoreError, sha256_of
from inferkit.errors import some
from inferkit.gate.run import Run
from inferkit.suite.matrix.network_files import top_of
from inferkit.suite.repository import git_environment

_CHUNK = 1 << 20
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


@dataclass(frozen=True)
class Sources:
    """The files of a run that its commit does not have as they were measured, by path, and the cases that need them."""

    files: Mapping[str, str]
    cases: tuple[str, ...]

    @property
    def cannot_be_confirmed(self) -> str:
        """The line for a run without a store; empty where git has everything."""
        if not self.files:
            return ""
        return (
            f"{some(self.cases, what='cases')} cannot be confirmed against their commit, which does not have "
            f"{some(tuple(self.files), what='files')}: name a folder or URL to keep such files in, as "
            f'`store = "../engines"` under [suite] in the matrix, or by {VARIABLE}'
        )


def missing_in_git(run: Run, folder: Path) -> Sources:
    """Which files of a run's networks its commit lacks, or has with other content (a git-lfs pointer too).

    `folder` is that of the matrix. Nothing where the run knows no commit, or the folder is in no repository: then there
    is nothing to check out. Files outside of the repository are left out: no checkout holds them.
    """
    root = folder.resolve()
    top = top_of(root)
    if not _COMMIT.fullmatch(run.origin.commit) or not (top / ".git").exists():
        return Sources({}, ())
    wanted = _wanted(run)
    files = {
        path: digest
        for path, digest in wanted.items()
        if not os.path.isabs(path) and _digest_in(top, run.origin.commit, root / path) != digest
    }
    return Sources(files, tuple(name for name, case in run.cases.items() if not files.keys().isdisjoint(case.files)))


def keep(sources: Sources, folder: Path, store: ContentStore) -> list[str]:
    """Put these files of a matrix in `folder` into the store; returns the paths of those that it did not have yet.

    StoreError, and nothing more is stored, where a file has changed since it was measured.
    """
    lacking = {path: digest for path, digest in sources.files.items() if not store.has(digest)}
    for path, digest in lacking.items():
        file = folder / path
        if not file.is_file() or sha256_of(file) != digest:
            what = "has changed since it was measured" if file.is_file() else "is not there any more"
            raise StoreError(
                f"{file}: {what} (SHA-256 {digest[:12]}… in the run), so it cannot be stored for the baseline; put the "
                "measured file back, measure again, or name the folder of the run's matrix by --matrix"
            )
    for path in lacking:
        store.put(folder / path)
    return list(lacking)


def restore(
    run: Run, top: Path, below: Path, store: ContentStore | None, cases: Collection[str] | None = None
) -> list[str]:
    """Make a checkout's network files those that a run, or a baseline, was measured with; returns the paths restored.

    `top` is the checkout's top folder, `below` the matrix's, relative to it; `cases` are the ids of those whose files
    are wanted (None: all). Files that are there and have their hash stay; others, git-lfs pointers too, are replaced
    from the store. Only files of the checkout are: none behind a link, none of git's own. StoreError where a path
    leads elsewhere, where there is no store, where it lacks an object or has a damaged one, where a file cannot be
    written, and for a file outside of the checkout that is not as it was measured.
    """
    restored = []
    for path, digest in _wanted(run, cases).items():
        try:
            if _restored(path, digest, top, below, store):
                restored.append(path)
        except (OSError, ValueError) as error:
            raise StoreError(f"{path!r}: cannot be restored: {error}") from error
    return restored


def _restored(path: str, digest: str, top: Path, below: Path, store: ContentStore | None) -> bool:
    """Whether the file had to be fetched."""
    is_outside = os.path.isabs(path)
    target = Path(path) if is_outside else _in_checkout(path, top, below)
    if target.is_file() and sha256_of(target) == digest:
        return False
    if is_outside:
        raise StoreError(
            f"{path}: is not the file that the baseline was measured with, and lies outside of the repository, "
            "where it cannot be restored; put it into the repository's folder (git may ignore it)"
        )
    if store is None:
        raise StoreError(
            f"{path}: the commit does not have it as it was measured; name the store that the baseline was "
            f"promoted with, as `store` under [suite] in the matrix, or by {VARIABLE}"
        )
    store.get(digest, target)
    return True


def _in_checkout(path: str, top: Path, below: Path) -> Path:
    """The file of a checkout that `path`, relative to the folder `below`, names. StoreError where it is none of it."""
    root = Path(os.path.realpath(top))
    name = Path(os.path.normpath(below / path))
    target = Path(os.path.realpath(root / name))
    through_link = Path(os.path.realpath(root / name.parent)) != root / name.parent
    if name.is_absolute() or ".." in name.parts or through_link or not target.is_relative_to(root):
        raise StoreError(f"{path}: leads out of the checkout {root}; put the file into the repository")
    if any(part.lower() == ".git" for part in (*name.parts, *target.relative_to(root).parts)):
        raise StoreError(f"{path}: is one of git's own files, which no network is made of")
    return target


def _wanted(run: Run, cases: Collection[str] | None = None) -> dict[str, str]:
    """The files of these cases. StoreError where two cases were measured with different files of one path."""
    wanted: dict[str, str] = {}
    owners: dict[str, str] = {}
    for name, case in run.cases.items():
        if cases is not None and name not in cases:
            continue
        for path, digest in case.files.items():
            if wanted.setdefault(path, digest) != digest:
                raise StoreError(
                    f"{run.name}: {owners[path]} and {name} were measured with different files {path}; no commit has "
                    "both: measure and promote all cases together"
                )
            owners.setdefault(path, name)
    return wanted


def _digest_in(top: Path, commit: str, file: Path) -> str | None:
    """The SHA-256 of a file as a commit has it; None where it has none."""
    name = Path(os.path.relpath(os.path.realpath(file), top)).as_posix()
    command = ["git", "cat-file", "blob", f"{commit}:{name}"]
    try:
        with subprocess.Popen(
            command, cwd=top, env=git_environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            content = hashlib.sha256()
            while chunk := process.stdout.read(_CHUNK):
                content.update(chunk)
    except OSError:
        return None
    return content.hexdigest() if process.returncode == 0 else None
