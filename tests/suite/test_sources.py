"""Files that are not in git: kept in the store by `promote`, restored in a checkout of the baseline's commit."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from inferkit.content_store import ContentStore, StoreError, open_store
from inferkit.errors import BaselineError
from inferkit.gate.files.baseline import read_baseline
from inferkit.gate.files.checked_json import Place
from inferkit.gate.files.data import read_files
from inferkit.gate.files.run_file import read_run
from inferkit.gate.run import CaseRun, Origin, Run
from inferkit.suite.interleaved.worktree import checkout
from inferkit.suite.matrix.definition import NetworkDefinition
from inferkit.suite.matrix.network_files import network_files
from inferkit.suite.repository import commit_of
from inferkit.suite.sources import keep, missing_in_git, restore
from tests.cli.called import exit_code
from tests.git_folder import git
from tests.suite.tiny_project import MATRIX, Project, tiny_model

STORED = MATRIX.replace("[suite]\n", '[suite]\nstore = "../engines"\n').replace("[1, 4]", "[1]")


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def commit(folder: Path) -> str:
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "state")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def ignored(project: Project) -> Project:
    """The project as a repository whose model and dataset git ignores."""
    project.matrix(STORED)
    git(project.folder, "init", "-q")
    (project.folder / ".gitignore").write_text("*.onnx\n*.npz\nengines/\nrun*\njunit.xml\n__pycache__/\n")
    commit(project.folder)
    return project


def promote(project: Project, monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
    monkeypatch.chdir(project.folder)
    return exit_code(["baseline", "promote", "run.json", *more])


def test_a_model_that_git_ignores_comes_back_as_the_baseline_measured_it(
    ignored: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = ignored.folder / "bench"
    model = (bench / "tiny.onnx").read_bytes()
    run = ignored.run("--benchmark-json=run.json", "-k", "test_latency")
    assert run.code == 0, run.text
    assert promote(ignored, monkeypatch) == 0
    assert "stored in" in capsys.readouterr().out
    (path,) = (ignored.folder / "baselines").glob("*.json")
    baseline = read_baseline(path)
    (case,) = baseline.cases.values()
    assert case.files == {"tiny.onnx": sha(model), "images.npz": sha((bench / "images.npz").read_bytes())}
    (bench / "tiny.onnx").write_bytes(b"another network")
    store = open_store(str(ignored.folder / "engines"))
    with checkout(ignored.folder, commit_of(ignored.folder, baseline.origin.commit)) as folder:
        assert not (folder / "bench" / "tiny.onnx").exists()
        assert sorted(restore(baseline, folder, Path("bench"), store)) == ["images.npz", "tiny.onnx"]
        assert (folder / "bench" / "tiny.onnx").read_bytes() == model
        assert restore(baseline, folder, Path("bench"), store) == []
    assert (bench / "tiny.onnx").read_bytes() == b"another network"


@pytest.mark.slow
def test_without_a_store_promoting_says_what_cannot_be_confirmed_and_how_to_change_that(
    ignored: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ignored.matrix(STORED.replace('store = "../engines"\n', ""))
    commit(ignored.folder)
    ignored.run("--benchmark-json=run.json", "-k", "test_latency")
    assert promote(ignored, monkeypatch) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "confirmed" in line]
    assert "tiny-fp32-b1-onnxruntime cannot be confirmed against their commit" in line
    assert "store =" in line
    assert "INFERKIT_STORE" in line


@pytest.mark.slow
def test_a_file_that_has_changed_since_it_was_measured_is_refused_and_no_baseline_written(
    ignored: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ignored.run("--benchmark-json=run.json", "-k", "test_latency")
    (ignored.folder / "bench" / "tiny.onnx").write_bytes(b"another network")
    assert promote(ignored, monkeypatch, "--dry-run") == 0
    assert "would be stored in" in capsys.readouterr().out
    assert promote(ignored, monkeypatch) == 2
    assert "tiny.onnx: has changed since it was measured" in capsys.readouterr().err
    assert not (ignored.folder / "baselines").exists()
    assert not (ignored.folder / "engines").exists()


# What follows needs no measurement: runs of one case whose files are known.


def run_of(folder: Path, commit: str, files: dict[str, bytes | str], name: str = "a") -> Run:
    digests = {path: each if isinstance(each, str) else sha(each) for path, each in files.items()}
    case = CaseRun(case=name, fingerprint="m", data={"log_medians": (-9.0,)}, files=digests)
    return Run(name="run.json", cases={name: case}, origin=Origin(commit=commit))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "repository")
    return tmp_path / "repository"


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def test_a_git_lfs_pointer_counts_as_not_in_git_and_is_replaced(repository: Path, tmp_path: Path) -> None:
    model, store = repository / "model.onnx", open_store(str(tmp_path / "store"))
    model.write_bytes(POINTER)
    (repository / "plain.onnx").write_bytes(b"in git")
    run = run_of(repository, commit(repository), {"model.onnx": b"real", "plain.onnx": b"in git"})
    model.write_bytes(b"real")  # as git-lfs leaves it in the working tree
    sources = missing_in_git(run, repository)
    assert sources.files == {"model.onnx": sha(b"real")}
    assert keep(sources, repository, store) == ["model.onnx"]
    assert keep(sources, repository, store) == []
    model.write_bytes(POINTER)
    assert restore(run, repository, Path(), store) == ["model.onnx"]
    assert model.read_bytes() == b"real"
    assert (repository / "plain.onnx").read_bytes() == b"in git"


def test_a_model_above_the_matrix_is_restored_inside_the_checkout_only(repository: Path, tmp_path: Path) -> None:
    (repository / "bench").mkdir()
    (repository / "models").mkdir()
    (repository / "bench" / "matrix.toml").write_text("")
    model = repository / "models" / "a.onnx"
    run = run_of(repository, commit(repository), {"../models/a.onnx": b"above"})
    model.write_bytes(b"above")
    store = open_store(str(tmp_path / "store"))
    keep(missing_in_git(run, repository / "bench"), repository / "bench", store)
    model.unlink()
    assert restore(run, repository, Path("bench"), store) == ["../models/a.onnx"]
    assert model.read_bytes() == b"above"
    outside = run_of(repository, "0" * 40, {"../../a.onnx": b"above"})
    with pytest.raises(StoreError, match="leads out of the checkout"):
        restore(outside, repository, Path("bench"), store)
    assert not (repository.parent / "a.onnx").exists()


def test_a_link_out_of_the_checkout_is_not_written_through(repository: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    (tmp_path / "a.onnx").write_bytes(b"content")
    store.put(tmp_path / "a.onnx")
    (tmp_path / "elsewhere").mkdir()
    (repository / "models").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="leads out of the checkout"):
        restore(run_of(repository, "0" * 40, {"models/a.onnx": b"content"}), repository, Path(), store)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_file_outside_of_the_repository_must_be_as_it_was(repository: Path, tmp_path: Path) -> None:
    model = tmp_path / "elsewhere.onnx"
    model.write_bytes(b"first")
    run = run_of(repository, "0" * 40, {str(model): b"first"})
    assert restore(run, repository, Path(), None) == []
    model.write_bytes(b"second")
    with pytest.raises(StoreError, match="outside of the repository"):
        restore(run, repository, Path(), open_store(str(tmp_path / "store")))


def test_a_checkout_that_lacks_a_file_needs_a_store(repository: Path) -> None:
    with pytest.raises(StoreError, match="INFERKIT_STORE"):
        restore(run_of(repository, "0" * 40, {"a.onnx": b"x"}), repository, Path(), None)


def test_cases_of_different_files_are_restored_by_themselves(repository: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    for content in (b"old", b"new"):
        (tmp_path / "file").write_bytes(content)
        store.put(tmp_path / "file")
    first, second = (run_of(repository, "0" * 40, {"a.onnx": c}, n) for n, c in (("a", b"old"), ("b", b"new")))
    both = replace(first, cases={**first.cases, **second.cases})
    with pytest.raises(StoreError, match=r"a and b were measured with different files a\.onnx"):
        restore(both, repository, Path(), store)
    assert restore(both, repository, Path(), store, cases=["b"]) == ["a.onnx"]
    assert (repository / "a.onnx").read_bytes() == b"new"


def test_a_run_of_no_commit_has_nothing_to_keep(tmp_path: Path) -> None:
    assert missing_in_git(run_of(tmp_path, "unversioned", {"a.onnx": b"x"}), tmp_path).files == {}


def test_the_files_of_a_network_are_its_model_its_data_and_what_prepares_its_images(repository: Path) -> None:
    model = tiny_model()
    onnx.save_model(
        model, str(repository / "big.onnx"), save_as_external_data=True, location="big.data", size_threshold=0
    )
    folder = repository / "images"
    folder.mkdir()
    for name in ("0.png", "1.png"):
        (folder / name).write_bytes(name.encode())
    np.save(repository / "mean.npy", np.zeros(3))
    network = NetworkDefinition(
        "big", str(repository / "big.onnx"), dataset=str(folder), preprocessing={"mean": str(repository / "mean.npy")}
    )
    zoo = NetworkDefinition("lenet", "lenet", dataset="fashion_mnist")
    files = network_files([network, zoo], repository)
    assert set(files["big"]) == {"big.onnx", "big.data", "mean.npy", "images/0.png", "images/1.png"}
    assert files["big"]["images/0.png"] == sha(b"0.png")
    assert files["lenet"] == {}
    for number in range(100):
        (folder / f"more{number}.png").write_bytes(b"x")
    assert set(network_files([network], repository)["big"]) == {"big.onnx", "big.data", "mean.npy"}
    shutil.rmtree(folder)
    assert set(network_files([network], repository)["big"]) == {"big.onnx", "big.data", "mean.npy"}


@pytest.mark.slow
def test_damaged_hashes_in_files_are_refused_with_their_place(ignored: Project, tmp_path: Path) -> None:
    run = ignored.run("--benchmark-json=run.json", "-k", "test_latency")
    assert run.code == 0, run.text
    (case,) = read_run(ignored.folder / "run.json").cases.values()
    text = (ignored.folder / "run.json").read_text().replace(case.files["tiny.onnx"], "9f86")
    (tmp_path / "damaged.json").write_text(text)
    with pytest.raises(Exception, match=r"files/tiny\.onnx: is no SHA-256"):
        read_run(tmp_path / "damaged.json")


@pytest.fixture
def stored(repository: Path, tmp_path: Path) -> ContentStore:
    """A store with b"content"."""
    (tmp_path / "content").write_bytes(b"content")
    store = open_store(str(tmp_path / "store"))
    store.put(tmp_path / "content")
    return store


@pytest.mark.parametrize("below", ["bench", "bench/deeper"])
def test_a_matrix_folder_that_a_commit_has_as_a_link_is_not_written_through(
    repository: Path, tmp_path: Path, stored: ContentStore, below: str
) -> None:
    users = tmp_path / "users"
    (users / "deeper" / ".git").mkdir(parents=True)  # looks like the top of a repository
    files = [users / "a.onnx", users / "deeper" / "a.onnx"]
    for file in files:
        file.write_bytes(b"the user's")
    (repository / "bench").symlink_to(users)
    with pytest.raises(StoreError, match="leads out of the checkout"):
        restore(run_of(repository, "0" * 40, {"a.onnx": b"content"}), repository, Path(below), stored)
    assert [file.read_bytes() for file in files] == [b"the user's"] * 2


@pytest.mark.parametrize("path", ["../.git", "../.git/config", "../.GIT/config", "link"])
def test_nothing_of_git_is_replaced(repository: Path, stored: ContentStore, path: str) -> None:
    (repository / "bench").mkdir()
    (repository / "bench" / "link").symlink_to("../.git/config")
    config = (repository / ".git" / "config").read_bytes()
    with pytest.raises(StoreError, match="git's own"):
        restore(run_of(repository, "0" * 40, {path: b"content"}), repository, Path("bench"), stored)
    assert (repository / ".git" / "config").read_bytes() == config


@pytest.mark.parametrize("path", ["a\0b", "x" * 300, "/\0", "a\udc00\ud800b"])
def test_a_path_that_no_file_can_have_is_an_error_of_the_store(
    repository: Path, stored: ContentStore, path: str
) -> None:
    with pytest.raises(StoreError, match="cannot be restored"):
        restore(run_of(repository, "0" * 40, {path: b"content"}), repository, Path(), stored)


@pytest.mark.parametrize("path", ["a\0b", "", "models/", "..", "x" * 300, "a/" * 2100 + "b", "\ud800"])
def test_a_path_that_no_file_can_have_is_refused_where_it_is_read(path: str) -> None:
    with pytest.raises(BaselineError, match=r"baseline\.json: case/files: .* cannot be the path of a file"):
        read_files(Place({"files": {path: "0" * 64}}, "baseline.json", "case"))


@pytest.mark.parametrize("path", ["a.onnx", "../models/a.onnx", "/data/a.onnx", "x" * 255, "networks/ä.onnx", "..."])
def test_the_path_of_a_file_is_read(path: str) -> None:
    assert read_files(Place({"files": {path: "0" * 64}}, "baseline.json")) == {path: "0" * 64}
