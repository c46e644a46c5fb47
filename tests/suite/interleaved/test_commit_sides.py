"""A commit of a repository that holds inferkit itself is measured by its own inferkit, also one of long ago."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from inferkit.measure.engine.engine_file import EngineSpec
from inferkit.measure.engine.prepared_network import Recipe
from inferkit.measure.jobs.launch import prepare_network, run_replicate
from inferkit.measure.jobs.older import is_older
from inferkit.measure.latency.replicate import ReplicateSpec
from inferkit.suite.interleaved.commits import commit_side
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
