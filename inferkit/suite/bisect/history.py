"""What git tells of the commits between two: read only, neither the files of the user nor his own bisection change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inferkit.errors import UsageError
from inferkit.suite.repository import git, git_run


@dataclass(frozen=True)
class CommitFacts:
    """What is shown of a commit. `date` is the author's, ISO 8601."""

    commit: str
    subject: str
    date: str
    parents: tuple[str, ...]

    @property
    def short(self) -> str:
        """The beginning of its id, as long as git shows it."""
        return self.commit[:10]


@dataclass(frozen=True)
class GitHistory:
    """The commits of a repository; with `first_parent`, a merged branch is one step: its merge."""

    repository: Path
    first_parent: bool = False

    def between(self, good: Sequence[str], bad: str) -> list[str]:
        """The commits that `bad` has and none of `good`, by how well they halve them (`git rev-list --bisect-all`)."""
        options = ["--first-parent"] if self.first_parent else []
        excluded = [f"^{commit}" for commit in good]
        lines = git(
            self.repository, "rev-list", "--bisect-all", *options, bad, *excluded, what="git cannot list the commits"
        )
        return [line.split()[0] for line in lines.splitlines()]

    def is_ancestor(self, earlier: str, later: str) -> bool:
        """Whether `later` has the commit `earlier`."""
        return git_run(self.repository, "merge-base", "--is-ancestor", earlier, later).returncode == 0

    def check(self, good: str, bad: str) -> None:
        """UsageError where GOOD is not an ancestor of BAD: nothing lies between them."""
        if good == bad:
            raise UsageError(f"GOOD and BAD are the same commit, {good[:10]}")
        if self.is_ancestor(good, bad):
            return
        said = f"GOOD ({good[:10]}) is no ancestor of BAD ({bad[:10]})"
        if self.is_ancestor(bad, good):
            raise UsageError(f"{said}, but the other way round: inferkit bisect {bad[:10]} {good[:10]}")
        base = git(self.repository, "merge-base", good, bad, what=f"{said}, and they have no common one")
        raise UsageError(f"{said}: search from their common ancestor, inferkit bisect {base[:10]} {bad[:10]}")

    def facts(self, commit: str) -> CommitFacts:
        """Subject, author date and parents of a commit."""
        said = f"{commit}: no such commit"
        shown = ("show", "--no-patch", "--format=%H%n%aI%n%P%n%s", "--end-of-options", commit)
        lines = git(self.repository, *shown, what=said).split("\n")
        full, date, parents, subject = lines[:4]
        return CommitFacts(full, subject, date, tuple(parents.split()))


def git_folder(repository: Path) -> Path:
    """The folder in which git keeps what it knows of this work tree."""
    return Path(git(repository, "rev-parse", "--absolute-git-dir", what=f"{repository} is not a git repository"))
