"""Which commit a stored baseline stands for, and whether base needs an environment of its own: real repositories."""

from __future__ import annotations

import pytest

from inferkit.errors import UsageError
from inferkit.gate.run import Origin
from inferkit.suite.interleaved.base_commit import base_commits, environment_of_base, own_source_changed
from tests.git_folder import git


@pytest.fixture
def repository(tmp_path):
    """Two commits: a network, then its baseline."""
    folder = tmp_path / "repository"
    (folder / "baselines").mkdir(parents=True)
    git(folder, "init", "-q")
    commit(folder, "net.onnx", "network")
    commit(folder, "baselines/cpu.json", "{}")
    return folder


def commit(folder, name, text):
    (folder / name).write_text(text)
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", name)
    return git(folder, "rev-parse", "HEAD")


def test_the_commit_of_a_clean_run_is_the_base_and_no_other(repository):
    first = git(repository, "rev-parse", "HEAD~1")
    assert base_commits(repository, repository / "baselines" / "cpu.json", Origin(commit=first)) == [first]


def test_a_commit_that_is_gone_leaves_the_one_that_brought_the_file(repository):
    path, gone = repository / "baselines" / "cpu.json", "0" * 40
    assert base_commits(repository, path, Origin(commit=gone)) == [git(repository, "rev-parse", "HEAD")]


def test_of_a_run_with_uncommitted_changes_it_is_the_one_that_brought_the_file(repository):
    first, second = git(repository, "rev-parse", "HEAD~1"), git(repository, "rev-parse", "HEAD")
    assert base_commits(repository, repository / "baselines" / "cpu.json", Origin(commit=first, dirty=True)) == [
        second,
        first,
    ]


@pytest.mark.parametrize("unknown", ["", "unknown", "unversioned"])
def test_without_a_known_commit_the_file_has_one(repository, unknown):
    assert base_commits(repository, repository / "baselines" / "cpu.json", Origin(commit=unknown)) == [
        git(repository, "rev-parse", "HEAD")
    ]


def test_a_file_that_was_edited_since_is_of_no_commit(repository):
    path = repository / "baselines" / "cpu.json"
    path.write_text("{ }")
    first = git(repository, "rev-parse", "HEAD~1")
    assert base_commits(repository, path, Origin(commit=first)) == [first]
    with pytest.raises(UsageError, match=r"cpu\.json is not committed"):
        base_commits(repository, path, Origin())


def test_a_file_that_git_ignores_is_of_no_commit(repository):
    commit(repository, ".gitignore", "ignored/\n")
    (repository / "ignored").mkdir()
    (repository / "ignored" / "cpu.json").write_text("{}")
    with pytest.raises(UsageError, match="not committed"):
        base_commits(repository, repository / "ignored" / "cpu.json", Origin())


def test_a_shallow_clone_says_how_to_get_the_commit(repository, tmp_path):
    first = git(repository, "rev-parse", "HEAD~1")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", "clone")
    path = tmp_path / "clone" / "baselines" / "cpu.json"
    path.write_text("{ }")
    git(tmp_path / "clone", "checkout", "-q", ".")
    with pytest.raises(UsageError, match=rf"{first[:12]}, is not in this repository: this clone is shallow.*unshallow"):
        base_commits(tmp_path / "clone", path, Origin(commit=first))
    with pytest.raises(UsageError, match=r"no commit is known that .*shallow"):
        base_commits(tmp_path / "clone", path, Origin())


def test_of_a_file_outside_of_the_repository_only_its_run_names_a_commit(repository, tmp_path):
    first = git(repository, "rev-parse", "HEAD~1")
    assert base_commits(repository, tmp_path / "cpu.json", Origin(commit=first)) == [first]
    with pytest.raises(UsageError, match="not committed, and no commit is known that"):
        base_commits(repository, tmp_path / "cpu.json", Origin())


def test_only_a_repository_of_inferkit_itself_has_its_source(repository):
    first = git(repository, "rev-parse", "HEAD")
    assert not own_source_changed(repository, first)
    (repository / "inferkit").mkdir()
    first = commit(repository, "inferkit/pytest_plugin.py", "")
    assert not own_source_changed(repository, first)
    (repository / "inferkit" / "pytest_plugin.py").write_text("1")
    assert own_source_changed(repository, first)


PYPROJECT = '[project]\nname = "p"\nversion = "1"\ndependencies = [{}]\n[tool.ruff]\nline-length = {}\n'


def test_the_same_dependencies_need_no_environment(tmp_path):
    for name, length in (("base", 100), ("head", 120)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyproject.toml").write_text(PYPROJECT.format('"numpy"', length))
        (tmp_path / name / "requirements.txt").write_text(f"numpy  # of {name}\n")
    assert environment_of_base(tmp_path / "base", tmp_path / "head") is None


def test_what_cannot_be_read_declares_nothing(tmp_path):
    for name in ("base", "head"):
        (tmp_path / name).mkdir()
    (tmp_path / "base" / "poetry.lock").symlink_to("/nowhere")
    (tmp_path / "head" / "uv.lock").mkdir()
    assert environment_of_base(tmp_path / "base", tmp_path / "head") is None


@pytest.mark.slow
def test_other_dependencies_do_and_pips_last_words_are_told(tmp_path):
    for name in ("base", "head"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyproject.toml").write_text(PYPROJECT.format("", 100))
    (tmp_path / "base" / "requirements.txt").write_text("numpy<1\n")
    (tmp_path / "base" / "pyproject.toml").write_text("[project]\nname = 3\n")
    with pytest.raises(UsageError, match="cannot be installed"):
        environment_of_base(tmp_path / "base", tmp_path / "head")
