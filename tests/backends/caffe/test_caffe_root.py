"""Real Caffe is found, described and run without chroot, or a hint is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from inferkit.backends.caffe.root import (
    ENVIRONMENT_VARIABLE,
    INSTALL_COMMAND,
    PROBED,
    CaffeRoot,
    Probe,
    default_root,
    find_root,
    handed_over,
    openblas_coretype,
    probe,
    require_root,
)
from inferkit.errors import BackendError, BackendUnavailable


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_nothing_installed_is_none_and_the_error_names_the_installing_command(nothing_installed: Path) -> None:
    assert find_root() is None
    with pytest.raises(BackendUnavailable, match=INSTALL_COMMAND):
        require_root()


def test_a_half_installed_default_folder_is_not_used(nothing_installed: Path) -> None:
    module = default_root() / "usr/lib/python3/dist-packages/caffe/_caffe.so"
    module.parent.mkdir(parents=True)
    module.touch()
    loader = default_root() / "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    loader.parent.mkdir(parents=True)
    loader.touch()
    assert find_root() is None
    (default_root() / ".inferkit-complete").touch()
    assert find_root() == CaffeRoot(default_root(), "debian")


@pytest.mark.parametrize("named", ["missing", "empty"])
def test_a_named_folder_without_caffe_is_an_error_not_a_silent_fallback(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    (nothing_installed / "empty").mkdir()
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(nothing_installed / named))
    with pytest.raises(BackendUnavailable, match=named):
        find_root()


def test_a_source_tree_that_was_not_built_says_so(tmp_path: Path) -> None:
    (tmp_path / "python" / "caffe").mkdir(parents=True)
    with pytest.raises(BackendUnavailable, match="build it first"):
        find_root(tmp_path)


def test_a_built_source_tree_runs_its_own_tools(tmp_path: Path) -> None:
    (tmp_path / "python" / "caffe").mkdir(parents=True)
    (tmp_path / "python" / "caffe" / "_caffe.so").touch()
    tool = tmp_path / "build" / "tools" / "caffe"
    tool.parent.mkdir(parents=True)
    tool.write_text('#!/bin/sh\necho "$@"\n')
    tool.chmod(0o755)
    root = find_root(tmp_path)
    assert root == CaffeRoot(tmp_path, "source")
    assert root.run(["caffe", "time", "-model"]).stdout.split() == ["time", "-model"]
    assert root.command(["python3"])[1]["PYTHONPATH"] == str(tmp_path / "python")


def test_an_interpreter_without_caffe_is_unavailable_with_its_own_words() -> None:
    root = find_root(sys.executable)
    assert root is not None
    assert root.kind == "interpreter"
    with pytest.raises(BackendUnavailable, match="caffe"):
        probe(root)


def test_what_the_parent_found_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = CaffeRoot(tmp_path / "python", "interpreter")
    found = {"version": "1.0.0", "python": "3.9.2", "file": "caffe.py"}
    monkeypatch.setenv(PROBED, json.dumps([str(nowhere.path), "interpreter", found]))
    assert probe(nowhere) == Probe(**found)


@pytest.mark.parametrize(
    "handed",
    ['["/elsewhere", "interpreter", {"version": "1", "python": "3", "file": ""}]', "{", "[]", "null", "[1, 2, 3]"],
)
def test_what_was_found_of_another_caffe_or_is_damaged_is_not(
    handed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROBED, handed)
    with pytest.raises(BackendUnavailable, match="cannot be started"):
        probe(CaffeRoot(tmp_path / "python", "interpreter"))


def test_the_callers_python_and_loader_settings_do_not_reach_the_debian_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYTHONPATH", "LD_LIBRARY_PATH", "LD_PRELOAD"):
        monkeypatch.setenv(name, "/somewhere")
    python = tmp_path / "usr/bin/python3.9"
    loader = tmp_path / "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    for file in (python, loader):
        file.parent.mkdir(parents=True)
        file.touch()
    command, environment = CaffeRoot(tmp_path, "debian").command(["python3", "x.py"])
    assert command[0] == str(loader)
    assert command[-2:] == [str(python), "x.py"]
    assert environment["PYTHONHOME"] == str(tmp_path / "usr")
    assert not {"PYTHONPATH", "LD_LIBRARY_PATH", "LD_PRELOAD"} & set(environment)


def test_openblas_gets_the_newest_kernels_that_it_knows_and_the_cpu_runs() -> None:
    assert openblas_coretype(["avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl", "avx2", "fma"]) == "SkylakeX"
    assert openblas_coretype(["avx512f", "avx2", "fma"]) == "Haswell"
    assert openblas_coretype(["sse4_2"]) is None


def test_a_users_own_openblas_kernels_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Zen")
    assert CaffeRoot(Path(sys.executable), "interpreter").command(["python3"])[1]["OPENBLAS_CORETYPE"] == "Zen"


@pytest.mark.pycaffe
def test_real_caffe_imports_and_tells_its_version(caffe_root: CaffeRoot) -> None:
    assert probe(caffe_root).version.startswith("1.0")


@pytest.mark.pycaffe
def test_a_process_that_was_told_does_not_import_caffe_to_find_out(caffe_root: CaffeRoot) -> None:
    code = (
        "from inferkit.backends import backend\n"
        "from inferkit.backends.caffe import root\n"
        "root.CaffeRoot.run = None\n"
        "print(backend('caffe').availability().version)\n"
    )
    environment = {**os.environ, ENVIRONMENT_VARIABLE: str(caffe_root.path), **handed_over(caffe_root)}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == probe(caffe_root).version


@pytest.mark.pycaffe
def test_a_failing_program_raises_with_the_end_of_what_it_printed(caffe_root: CaffeRoot) -> None:
    with pytest.raises(BackendError, match="INPUT_DB"):
        caffe_root.run(["compute_image_mean"])


@pytest.mark.pycaffe
def test_an_unknown_program_is_named(caffe_root: CaffeRoot) -> None:
    with pytest.raises(BackendError, match="no_such_tool"):
        caffe_root.command([os.fspath("no_such_tool")])
