"""Installing real PyCaffe: what is there is kept, what is half there is removed, and failures leave nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from inferkit.backends.caffe import install
from inferkit.backends.caffe.root import COMPLETE, CaffeRoot, default_root, find_root, probe

TOOL = Path(__file__).resolve().parents[3] / "tools" / "install_pycaffe.py"


@pytest.fixture
def debootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A debootstrap that fails as one without a network does: what the real one does then, without the wait."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "debootstrap"
    script.write_text('#!/bin/sh\necho "E: Failed getting release file" >&2\nexit 1\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return script


def test_a_failing_download_leaves_nothing_and_is_told_in_its_words(
    tmp_path: Path, debootstrap: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "cache" / "caffe"
    assert install.main([str(folder)]) == 1
    assert "Failed getting release file" in capsys.readouterr().err
    assert [path.name for path in folder.parent.iterdir()] == ["caffe.lock"]


def test_what_a_killed_run_left_is_removed(
    tmp_path: Path, debootstrap: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    debootstrap.write_text("#!/bin/sh\nmkdir -p $5/usr/bin && echo here && exec sleep 60\n")
    folder = tmp_path / "caffe"
    with subprocess.Popen([sys.executable, TOOL, folder], stdout=subprocess.PIPE, start_new_session=True) as run:
        while not (tmp_path / "caffe.partial" / "download").exists():
            assert run.poll() is None
        os.killpg(run.pid, 9)
    assert (tmp_path / "caffe.partial").exists()
    assert not folder.exists()
    debootstrap.write_text("#!/bin/sh\nexit 1\n")
    assert install.main([str(folder)]) == 1
    assert "left by a run that was ended; removed" in capsys.readouterr().out
    assert not (tmp_path / "caffe.partial").exists()


def test_a_folder_with_something_else_in_it_is_not_touched(
    tmp_path: Path, debootstrap: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to-mother.txt").write_text("Dear")
    assert install.main([str(tmp_path / "letters")]) == 1
    assert "holds no Caffe" in capsys.readouterr().err
    assert (tmp_path / "letters" / "to-mother.txt").read_text() == "Dear"


def test_a_damaged_installation_is_told_and_not_taken_for_a_whole_one(
    tmp_path: Path, debootstrap: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("usr/lib/python3/dist-packages/caffe/_caffe.so", "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"):
        (tmp_path / "caffe" / name).parent.mkdir(parents=True)
        (tmp_path / "caffe" / name).touch()
    assert install.main([str(tmp_path / "caffe")]) == 1
    assert "is damaged" in capsys.readouterr().err


def test_a_folder_that_a_library_path_cannot_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert install.main(["/tmp/a:b"]) == 1
    assert "colon" in capsys.readouterr().err


def test_check_says_that_nothing_is_installed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert install.main([str(tmp_path / "nowhere"), "--check"]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_without_debootstrap_and_root_it_tells_what_to_ask_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(install, "_which", lambda program: None)
    assert install.main([str(tmp_path / "caffe")]) == 1
    assert "sudo apt-get install debootstrap fakeroot" in capsys.readouterr().err
    assert not (tmp_path / "caffe.partial").exists()


def test_a_full_disk_is_told_before_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, debootstrap: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install, "NEEDED_BYTES", 1 << 60)
    assert install.main([str(tmp_path / "caffe")]) == 1
    assert "GB are needed" in capsys.readouterr().err


def test_the_folder_is_the_one_that_the_backend_looks_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("INFERKIT_CAFFE_ROOT", raising=False)
    assert install.target_folder(None) == default_root()
    monkeypatch.setenv("INFERKIT_CAFFE_ROOT", str(tmp_path))
    assert install.target_folder(None) == tmp_path
    assert install.target_folder(tmp_path / "named") == tmp_path / "named"


def test_any_python_runs_the_tool_without_a_package_installed() -> None:
    code = textwrap.dedent(
        """
        import runpy, sys
        sys.argv = [sys.argv[1], "--help"]
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        finally:
            print(sorted({"numpy", "psutil", "onnx"} & set(sys.modules)))
        """
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, TOOL], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.pycaffe
def test_what_is_installed_is_found_and_nothing_is_done(
    caffe_root: CaffeRoot, debootstrap: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if caffe_root.kind != "debian":
        pytest.skip("the Caffe to test with is not an installed folder")
    assert install.main([str(caffe_root.path)]) == 0  # the failing debootstrap is not asked
    assert "already installed (Caffe 1.0" in capsys.readouterr().out
    assert install.main([str(caffe_root.path), "--check"]) == 0


@pytest.mark.slow
@pytest.mark.skipif("INFERKIT_TEST_INSTALL" not in os.environ, reason="downloads 220 MB; set INFERKIT_TEST_INSTALL=1")
def test_a_real_installation_runs_caffe(tmp_path: Path) -> None:
    folder = tmp_path / "with space" / "caffe"
    subprocess.run([sys.executable, "-I", "-S", TOOL, folder], check=True)
    assert (folder / COMPLETE).exists()
    root = find_root(folder)
    assert root is not None
    assert root.run(["caffe", "--version"]).stdout.startswith("caffe version 1.0")
    assert probe(root).version.startswith("1.0")
