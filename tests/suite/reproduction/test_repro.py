"""A reproduction, written here, unpacked elsewhere, and measured there by its script with another home."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from inferkit.errors import BaselineError, UsageError
from inferkit.suite.reproduction.contents import Contents
from inferkit.suite.reproduction.environment import VARIABLES, differences, environment
from tests.cli.called import exit_code
from tests.suite.tiny_project import MATRIX, Project, make_project

ROOT = Path(__file__).resolve().parents[3]
CASE = "tiny-int8-b4-onnxruntime"
INT8 = MATRIX.replace(
    "batch_sizes = [1, 4]", 'batch_sizes = [4]\nprecisions = ["fp32", "int8"]\ncalibration_images = 50'
)
SECRET = "AKIA-not-to-be-seen"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, tiny_files: Path) -> Project:
    """A project with a baseline and a run that was compared with it."""
    project = make_project(tmp_path_factory.mktemp("repro") / "project", tiny_files)
    project.matrix(INT8)
    assert project.run("--benchmark-json=base.json", "-k", "test_latency").code == 0
    home = Path.cwd()
    os.chdir(project.folder)
    try:
        assert exit_code(["baseline", "promote", "base.json", "--accept-regression", "for a test"]) == 0
    finally:
        os.chdir(home)
    project.run("--benchmark-json=run.json", "-k", "test_latency")
    return project


def repro(project: Project, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.chdir(project.folder)
    return exit_code(["repro", CASE, *arguments])


def run_script(folder: Path, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As on another machine: another home, an empty cache, and nothing of the project's folder."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    kept = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(folder / "repro.py"), "--processes", "2", *arguments]
    return subprocess.run(command, cwd=home, env=kept, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def archive(measured: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of the run, written with a secret in the environment."""
    out = tmp_path_factory.mktemp("archive") / "case.tar.gz"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("OMP_NUM_THREADS", "1")
        assert repro(measured, patch, "--run", "run.json", "--out", str(out)) == 0
    return out


@pytest.fixture
def unpacked(archive: Path, tmp_path: Path) -> Path:
    shutil.unpack_archive(archive, tmp_path / "elsewhere", filter="data")
    return tmp_path / "elsewhere" / "case"


@pytest.mark.slow
def test_the_script_measures_elsewhere_and_shows_both_sides_and_the_outputs(unpacked: Path, tmp_path: Path) -> None:
    done = run_script(unpacked, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (latency,) = [line for line in done.stdout.splitlines() if line.startswith("latency ")]
    assert len([word for word in latency.split() if word in ("ns", "µs", "ms", "s")]) == 3  # base, head, here
    # One engine on one machine, threads and all: nothing else would be the same to the bit.
    assert "outputs against head: identical to the bit" in done.stdout
    assert "outputs against base: identical to the bit" in done.stdout
    assert "head: run.json" in done.stdout
    assert "base: baseline " in done.stdout


def test_it_needs_neither_the_project_nor_its_dataset(archive: Path, unpacked: Path, tmp_path: Path) -> None:
    names = sorted(path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file())
    assert names == [
        "README.md", "calibration.json", "case.json", "network/images.npz", "network/network.json",
        "network/network.onnx", "repro.py",
    ]  # fmt: skip
    with np.load(unpacked / "network" / "images.npz", allow_pickle=False) as inputs:
        assert inputs["data"].shape == (4, 1, 8, 8)
    scales = json.loads((unpacked / "calibration.json").read_text())["scales"]
    assert scales
    assert all(scale > 0 for scale in scales.values())
    onnx.checker.check_model(onnx.load(str(unpacked / "network" / "network.onnx")))
    with tarfile.open(archive) as content:
        assert {(entry.uname, entry.gname, entry.uid) for entry in content} == {("", "", 0)}


def test_figures_settings_and_environment_are_in_it_and_no_secret_is(measured: Project, unpacked: Path) -> None:
    contents = Contents.read(unpacked)
    recorded = json.loads((measured.folder / "run.json").read_text())["inferkit"]["cases"][CASE]
    assert list(contents.head.measured.log_medians) == recorded["log_medians"]
    assert contents.base is not None
    assert len(contents.base.measured.log_medians) >= 2
    assert contents.head.measured.outputs is not None
    assert contents.head.fingerprint["backend"] == "onnxruntime"
    assert any(line.startswith(f"{CASE} latency: ") for line in contents.head.verdicts)
    assert contents.environment["packages"]["onnx"] == onnx.__version__
    assert contents.environment["variables"]["OMP_NUM_THREADS"] == "1"
    for path in unpacked.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


def test_another_answer_elsewhere_is_exit_code_3(unpacked: Path, tmp_path: Path) -> None:
    case = json.loads((unpacked / "case.json").read_text())
    kept = case["head"]["outputs"]["outputs"]["prob"]
    flipped = Contents.read(unpacked).head.measured.outputs.outputs["prob"].sample[::-1]
    kept["sample"] = base64.b64encode(flipped.astype("<f4").tobytes()).decode()
    kept["sha256"] = "0" * 64
    (unpacked / "case.json").write_text(json.dumps(case))
    done = run_script(unpacked, tmp_path, "--json")
    assert done.returncode == 3, done.stdout + done.stderr
    assert json.loads(done.stdout)["outputs"]["head"]["reason"].startswith("outputs changed")


def test_without_the_network_its_hash_is_there_and_the_file_is_asked_for_and_checked(
    measured: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unpacked: Path
) -> None:
    out = tmp_path / "small.zip"
    assert repro(measured, monkeypatch, "--run", "run.json", "--no-network", "--out", str(out)) == 0
    with zipfile.ZipFile(out) as content:
        content.extractall(tmp_path / "small")
    folder = tmp_path / "small" / "small"
    assert not (folder / "network" / "network.onnx").exists()
    (digest,) = Contents.read(folder).files.values()
    assert digest in (folder / "README.md").read_text()
    done = run_script(folder, tmp_path)
    assert done.returncode == 2
    assert digest in done.stderr
    assert "--network" in done.stderr
    assert "Traceback" not in done.stderr
    other = tmp_path / "other"
    other.mkdir()
    (other / "network.onnx").write_bytes(b"another network")
    assert "is not the network that was measured" in run_script(folder, tmp_path, "--network", str(other)).stderr
    done = run_script(folder, tmp_path, "--network", str(unpacked / "network"))
    assert done.returncode == 0, done.stderr


def test_a_case_without_a_run_is_measured_now(
    measured: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert repro(measured, monkeypatch, "--out", str(tmp_path / "now.zip"), "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert len(content["head"]["data"]["log_medians"]) == 3
    assert content["head"]["from"] == "measured for this archive"
    assert content["base"]["from"].startswith("baseline ")


def test_a_caffe_network_takes_its_own_files_along(
    measured: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(measured.folder)
    matrix = tmp_path / "matrix.toml"
    matrix.write_text('[suite]\nmin_time = 0.01\n[[networks]]\nname = "lenet"\n')
    out = tmp_path / "lenet.tgz"
    assert exit_code(["repro", "lenet-fp32-b1-onnxruntime", "--matrix", str(matrix), "--out", str(out)]) == 0
    shutil.unpack_archive(out, tmp_path, format="gztar", filter="data")
    contents = Contents.read(tmp_path / "lenet")
    assert set(contents.files) == {"network.onnx", "caffe-lenet.prototxt", "caffe-lenet.caffemodel"}
    facts = json.loads((tmp_path / "lenet" / "network" / "network.json").read_text())
    assert facts["source"]["prototxt"] == "caffe-lenet.prototxt"  # no path of the machine that wrote it
    done = run_script(tmp_path / "lenet", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "base: none" in done.stdout


def test_a_network_that_is_not_the_runs_any_more_is_refused(
    measured: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project(tmp_path / "copy")
    shutil.copytree(measured.folder, project.folder)
    path = project.folder / "bench" / "tiny.onnx"
    path.write_bytes(path.read_bytes() + b"\x9a\x06\x00")
    assert repro(project, monkeypatch, "--run", "run.json") == 2
    assert "was measured with another tiny.onnx" in capsys.readouterr().err
    assert not list(project.folder.glob("repro-*"))


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["tiny-int8-b5-onnxruntime"], "did you mean tiny-int8-b4-onnxruntime"),
        ([CASE, "--out", "case.rar"], ".tar.gz"),
        ([CASE, "--run", "nowhere.json"], "nowhere.json: cannot be read"),
    ],
)
def test_mistakes_are_one_line(
    measured: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(measured.folder)
    assert exit_code(["repro", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_damaged_archive_is_named_with_its_place(unpacked: Path) -> None:
    case = json.loads((unpacked / "case.json").read_text())
    case["head"]["data"]["log_medians"] = []
    (unpacked / "case.json").write_text(json.dumps(case))
    with pytest.raises(BaselineError, match=r"case\.json: head/data/log_medians: holds no replicate"):
        Contents.read(unpacked)


def test_the_archive_cannot_name_a_file_outside_of_it(unpacked: Path) -> None:
    from inferkit.suite.reproduction.rerun import rerun

    case = json.loads((unpacked / "case.json").read_text())
    case["network"]["files"] = {"../../network.onnx": "0" * 64}
    (unpacked / "case.json").write_text(json.dumps(case))
    with pytest.raises(UsageError, match="outside"):
        rerun(unpacked)


@pytest.mark.parametrize(
    "of, key, value",
    [
        ("build", "warm_start", "written"),
        ("build", "more", {"folders": ["/tmp/written"]}),
        ("session", "profile", "..\\written"),
        ("session", "profile", "~"),
    ],
)
def test_an_archive_whose_settings_name_a_folder_is_refused_and_nothing_is_written(
    unpacked: Path, of: str, key: str, value: object
) -> None:
    case = json.loads((unpacked / "case.json").read_text())
    case["engine"][of][key] = value
    (unpacked / "case.json").write_text(json.dumps(case))
    with pytest.raises(BaselineError, match=rf"case\.json: engine/{of}/{key}: names a file or folder"):
        Contents.read(unpacked)


def test_the_script_does_not_write_where_the_archive_says(unpacked: Path, tmp_path: Path) -> None:
    case = json.loads((unpacked / "case.json").read_text())
    case["engine"]["build"]["warm_start"] = str(tmp_path / "written")
    (unpacked / "case.json").write_text(json.dumps(case))
    done = run_script(unpacked, tmp_path)
    assert done.returncode == 2, done.stderr
    assert "engine/build/warm_start" in done.stderr
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("key", ["prototxt", "caffemodel"])
def test_the_archive_cannot_name_a_source_outside_of_it(unpacked: Path, key: str) -> None:
    from inferkit.suite.reproduction.rerun import rerun

    file = unpacked / "network" / "network.json"
    facts = json.loads(file.read_text())
    facts["source"] = {"prototxt": "a", "caffemodel": "b", "phase": "TEST", "level": 0, "stages": [], key: "/etc/hosts"}
    file.write_text(json.dumps(facts))
    with pytest.raises(UsageError, match="outside of it, /etc/hosts"):
        rerun(unpacked)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"source": 5}', '{"source": {"prototxt": 5}}', '{"source": {"prototxt": "\\u0000"}}']
)
def test_damaged_facts_of_the_network_are_named(unpacked: Path, content: str) -> None:
    from inferkit.suite.reproduction.rerun import rerun

    (unpacked / "network" / "network.json").write_text(content)
    with pytest.raises((BaselineError, UsageError), match=r"network\.json|outside of it"):
        rerun(unpacked)


def test_an_archive_without_its_network_says_so(unpacked: Path) -> None:
    from inferkit.suite.reproduction.rerun import rerun

    shutil.rmtree(unpacked / "network")
    with pytest.raises(UsageError, match="unpack the archive again"):
        rerun(unpacked)


def test_no_path_of_the_machine_that_wrote_it_is_in_an_archive(
    measured: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a dataset outside of the project's folder, and a folder among the settings."""
    outside = tmp_path / "of the user"
    outside.mkdir()
    shutil.copyfile(measured.folder / "bench" / "images.npz", outside / "images.npz")
    shutil.copyfile(measured.folder / "bench" / "tiny.onnx", outside / "tiny.onnx")
    project = Project(tmp_path / "project")
    (project.folder / "bench").mkdir(parents=True)
    settings = f'\n[backends.onnxruntime]\nbuild = {{ warm_start = "{outside}/warm", optimization = "basic" }}\n'
    project.matrix(
        INT8.replace('= "tiny.onnx"', f'= "{outside}/tiny.onnx"').replace('"images', f'"{outside}/images') + settings
    )
    assert repro(project, monkeypatch, "--out", str(tmp_path / "case.zip")) == 0
    with zipfile.ZipFile(tmp_path / "case.zip") as content:
        content.extractall(tmp_path / "elsewhere")
    files = [path for path in (tmp_path / "elsewhere").rglob("*") if path.is_file()]
    assert len(files) == 7
    assert [path.name for path in files if str(tmp_path).encode() in path.read_bytes()] == []
    contents = json.loads((tmp_path / "elsewhere" / "case" / "case.json").read_text())
    assert contents["engine"]["build"] == {"optimization": "basic"}
    assert set(contents["network"]["made_of"]) == {"tiny.onnx", "images.npz"}
    facts = json.loads((tmp_path / "elsewhere" / "case" / "network" / "network.json").read_text())
    assert facts["images_from"] == "images.npz"


def test_variables_are_those_of_the_list_and_none_of_it_is_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = environment()
    assert found["variables"]["OMP_NUM_THREADS"] == "3"
    assert SECRET not in json.dumps(found)
    assert not [name for name in VARIABLES if any(word in name for word in ("TOKEN", "KEY", "SECRET", "PASS", "STORE"))]


def test_what_differs_between_environments_is_named() -> None:
    base = {"kernel": "6.1", "packages": {"numpy": "2.1", "onnx": "1.20"}}
    head = {"kernel": "6.1", "packages": {"numpy": "2.2"}}
    assert differences(base, head) == ["packages numpy: 2.1 -> 2.2", "packages onnx: 1.20 -> none"]
