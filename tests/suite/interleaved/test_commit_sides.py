"""A commit of a repository that holds inferkit itself is measured by its own inferkit, also one of long ago."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from inferkit.errors import UsageError
from inferkit.measure.engine.engine_file import EngineSpec
from inferkit.measure.engine.prepared_network import Recipe
from inferkit.measure.jobs.launch import prepare_network, run_replicate
from inferkit.measure.jobs.older import is_older
from inferkit.measure.latency.replicate import ReplicateSpec
from inferkit.suite.campaign.artifacts import Artifacts
from inferkit.suite.interleaved.commits import commit_side
from inferkit.suite.interleaved.sides import Bench, Side
from inferkit.suite.matrix.read import load_matrix
from tests.git_folder import git
from tests.suite.tiny_project import MATRIX, write_files

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of a commit, without its inferkit."""
    folder = tmp_path / "commit"
    folder.mkdir()
    write_files(folder)
    (folder / "matrix.toml").write_text(MATRIX)
    return folder


@pytest.fixture(scope="module")
def older() -> bytes:
    """inferkit before the package was divided, as an archive: out of this repository's own history."""
    moved = _git("log", "-1", "--format=%H", "--", "inferkit/measure/process.py").decode().strip()
    if not moved:
        pytest.skip("this checkout has no history that old")
    return _git("archive", f"{moved}^", "inferkit")


def _git(*arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True)
    if done.returncode != 0:
        pytest.skip(f"no history to read: {done.stderr.decode().strip()}")
    return done.stdout


def test_a_commit_without_inferkit_is_measured_by_this_one(folder: Path) -> None:
    by = commit_side("BASE", folder, folder / "matrix.toml", folder).by
    assert by is not None
    assert by.home is None


def test_a_commit_with_inferkit_is_measured_by_its_own(folder: Path) -> None:
    shutil.copytree(ROOT / "inferkit", folder / "inferkit", ignore=shutil.ignore_patterns("trained", "__pycache__"))
    by = commit_side("BASE", folder, folder / "matrix.toml", folder).by
    assert by is not None
    assert by.home == str(folder)
    by.check()
    assert not is_older(by)


def test_a_commit_from_before_the_package_was_divided_takes_its_jobs_its_own_way(
    folder: Path, older: bytes, tmp_path: Path
) -> None:
    (tmp_path / "older.tar").write_bytes(older)
    shutil.unpack_archive(tmp_path / "older.tar", folder)
    by = commit_side("BASE", folder, folder / "matrix.toml", folder).by
    assert by is not None
    by.check()
    assert is_older(by)
    prepared = tmp_path / "prepared"
    prepare_network(Recipe("tiny", str(folder / "tiny.onnx"), "fp32", images=4), prepared, by=by)
    spec = ReplicateSpec(EngineSpec(str(prepared), "onnxruntime", 4), min_time=0.01, max_iterations=7, warmup_limit=0)
    assert len(run_replicate(spec, "tiny", by=by).walls) <= 7


def test_a_commit_without_the_matrix_is_no_side(folder: Path) -> None:
    """The file of the working tree would name the networks of that tree."""
    repository = folder.parent / "repository"
    (repository / "bench").mkdir(parents=True)
    (repository / "bench" / "matrix.toml").write_text(MATRIX)
    with pytest.raises(UsageError, match=r"it has no bench/matrix\.toml"):
        commit_side("BASE", folder, repository / "bench" / "matrix.toml", repository)
    outside = folder.parent / "outside.toml"
    outside.write_text(MATRIX.replace("tiny.onnx", str(folder / "tiny.onnx")))
    assert commit_side("BASE", folder, outside, repository).matrix.networks[0].model == str(folder / "tiny.onnx")


def test_a_backend_of_the_repository_is_the_commits_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a project with a backend of its own is installed editable: its module lies in the working tree."""
    repository = folder.parent / "repository"
    (repository / "source").mkdir(parents=True)
    (repository / "source" / "my_backend.py").write_text(
        "from inferkit.backends.onnxruntime.backend import OnnxRuntimeBackend\n\n\n"
        "class Mine(OnnxRuntimeBackend):\n    name = 'mine'\n\n\nMINE = Mine()\n"
    )
    metadata = repository / "source" / "mine-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[inferkit.backends]\nmine = my_backend:MINE\n")
    code = (
        "import sys; from pathlib import Path; from inferkit.suite.interleaved.commits import commit_side\n"
        "folder, repository = map(Path, sys.argv[1:])\n"
        "print(commit_side('BASE', folder, folder / 'matrix.toml', repository).by.environment.get('PYTHONPATH', ''))"
    )
    (folder / "matrix.toml").write_text(MATRIX)
    monkeypatch.setenv("PYTHONPATH", f"{repository / 'source'}:{ROOT}")
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(repository)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split(":")[0] == str(folder / "source")


def test_only_engines_of_the_same_by_the_same_are_one(folder: Path) -> None:
    """A builder that chooses by timing makes another one each time, which is no change of the software."""
    matrix = load_matrix(folder / "matrix.toml")
    case = next(iter(matrix.cases()))

    def step(what: str) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    base, head = Bench(Side("BASE", matrix), step, 0.01), Bench(Side("HEAD", matrix), step, 0.01)
    other = Bench(Side("HEAD", matrix, build={"threads": 1}), step, 0.01)
    with contextlib.closing(base), contextlib.closing(head), contextlib.closing(other):
        assert base._made_of(case) == head._made_of(case)
        assert base._made_of(case) != other._made_of(case)


def test_an_engine_that_another_made_is_taken(tmp_path: Path) -> None:
    artifacts = Artifacts(lambda what: contextlib.nullcontext())
    engine = tmp_path / "made.plan"
    artifacts.adopt_engine(tmp_path, "tensorrt", 4, {"workspace": 1}, engine)
    assert artifacts.engine(tmp_path, "tensorrt", "fp16", 4, {"workspace": 1}, "case").file == str(engine)


def test_a_hook_in_a_linked_worktree_keeps_the_users_index(tmp_path: Path) -> None:
    """Git sets GIT_DIR and GIT_INDEX_FILE there, and a checkout must not write base's files into that index."""
    repository, linked = tmp_path / "repository", tmp_path / "linked"
    repository.mkdir()
    git(repository, "init", "-q")
    (repository / "old.txt").write_text("old")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "old")
    git(repository, "worktree", "add", "-q", "-b", "work", str(linked))
    (linked / "kept.txt").write_text("kept")
    git(linked, "add", ".")
    git(linked, "commit", "-q", "-m", "kept")
    hook = repository / ".git" / "hooks" / "pre-commit"
    hook.write_text(
        f"#!{sys.executable}\nimport sys; sys.path.insert(0, {str(ROOT)!r})\nfrom pathlib import Path\n"
        "from inferkit.suite.interleaved.worktree import checkout\n"
        "from inferkit.suite.repository import commit_of, repository_of\n"
        "top = repository_of(Path.cwd() / 'sub')\n"
        "with checkout(top, commit_of(top, 'HEAD~1')) as folder:\n    assert (folder / 'old.txt').is_file()\n"
        "print(top, file=sys.stderr)\n"
    )
    hook.chmod(0o755)
    (linked / "sub").mkdir()
    (linked / "sub" / "new.txt").write_text("new")
    git(linked, "add", ".")
    git(linked, "commit", "-q", "-m", "new")
    assert git(linked, "show", "--name-status", "--format=", "HEAD") == "A\tsub/new.txt"
    assert git(linked, "status", "--porcelain") == ""
