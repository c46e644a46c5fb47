"""What would be released: a wheel and an sdist, the same from every build, that install where there is nothing else."""

from __future__ import annotations

import email
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

from inferkit import __version__

ROOT = Path(__file__).resolve().parents[1]
NAME = f"pytest_inferkit-{__version__}"
WHEEL, SDIST = f"{NAME}-py3-none-any.whl", f"{NAME}.tar.gz"
LEFT_OUT = ("docs/measured/*.json", "docs/measured/*.txt")  # only pages cite them, and they are a megabyte

pytest.importorskip("hatchling", reason="hatchling is not installed: pip install hatchling")


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """The files of the repository, without those that were deleted and not committed yet."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a clone: git says which files belong to the project")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in names.split("\0") if name and (ROOT / name).is_file()]


def built(source: Path, into: Path, zone: str = "UTC") -> Path:
    """The folder `into` with the wheel and the sdist built from `source`."""
    code = "import hatchling.build as b, sys; b.build_wheel(sys.argv[1]); b.build_sdist(sys.argv[1])"
    into.mkdir()
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "TZ": zone}
    command = [sys.executable, "-c", code, str(into)]
    subprocess.run(command, cwd=source, env=environment, check=True, stdout=subprocess.DEVNULL)
    return into


def copied(tracked: list[str], into: Path, seconds: int) -> Path:
    """The folder `into` with a copy of the tracked files, all of them as old as `seconds`."""
    for name in tracked:
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, into / name)
        os.utime(into / name, (seconds, seconds))
    return into


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def released(tracked: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("released")
    return built(copied(tracked, folder / "source", 10**9), folder / "dist")


def test_two_builds_are_the_same_bytes(released: Path, tracked: list[str], tmp_path: Path) -> None:
    again = built(copied(tracked, tmp_path / "source", 12 * 10**8), tmp_path / "dist", "Asia/Tokyo")
    assert digests(again) == digests(released)
    assert set(digests(released)) == {WHEEL, SDIST}


def test_the_wheel_holds_the_package_with_all_its_data_and_nothing_else(released: Path, tracked: list[str]) -> None:
    with zipfile.ZipFile(released / WHEEL) as wheel:
        about = email.message_from_bytes(wheel.read(f"{NAME}.dist-info/METADATA"))
        entries = wheel.read(f"{NAME}.dist-info/entry_points.txt").decode()
        held = {name for name in wheel.namelist() if not name.startswith(f"{NAME}.dist-info/")}
        licences = {name.rpartition("/")[2] for name in wheel.namelist() if "/licenses/" in name}
    assert held == {name for name in tracked if name.startswith("inferkit/")}
    assert any(name.endswith(".caffemodel") or "/trained/" in name for name in held)
    assert (about["Name"], about["Version"]) == ("pytest-inferkit", __version__)
    assert about["Description-Content-Type"] == "text/markdown"
    assert licences == {"LICENSE", "NOTICE"}
    assert "[pytest11]\ninferkit.pytest_plugin = inferkit.pytest_plugin\n" in entries


def test_the_sdist_holds_what_the_fast_tests_need_and_builds_the_same_wheel(
    released: Path, tracked: list[str], tmp_path: Path
) -> None:
    shutil.unpack_archive(released / SDIST, tmp_path)
    source = tmp_path / NAME
    held = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    assert held - {"PKG-INFO"} == {n for n in tracked if not any(fnmatch(n, pattern) for pattern in LEFT_OUT)}
    assert digests(built(source, tmp_path / "dist"))[WHEEL] == digests(released)[WHEEL]


@pytest.fixture(scope="module")
def twine() -> list[str]:
    """What runs twine: `tox -e package` has it, and with it the tests that install from the registry."""
    pytest.importorskip("twine", reason="twine is not installed: tox -e package runs this")
    return [sys.executable, "-m", "twine"]


@pytest.mark.slow
def test_twine_finds_nothing_to_complain_about(twine: list[str], released: Path) -> None:
    files = [str(path) for path in released.iterdir()]
    done = subprocess.run([*twine, "check", "--strict", *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2


MATRIX = """\
[suite]
replicates = 2
min_time = 0.01
reference = false

[[networks]]
name = "lenet"
dataset = "fashion_mnist"
batch_sizes = [1]
"""
TEST = "def test_latency(inferkit_latency):\n    inferkit_latency.check()\n"


@pytest.mark.slow
@pytest.mark.usefixtures("twine")
@pytest.mark.parametrize("file", [WHEEL, SDIST])
def test_it_installs_in_an_empty_environment_and_a_suite_runs(file: str, released: Path, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST_", "VIRTUAL"))}
    kept["INFERKIT_CACHE"] = str(tmp_path / "cache")

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout

    run(sys.executable, "-m", "venv", "venv")
    kept["PATH"] = f"{tmp_path / 'venv' / 'bin'}:{kept['PATH']}"
    run("pip", "install", str(released / file))
    assert run("inferkit", "--version") == f"inferkit {__version__}\n"
    assert "the default suite can run" in run("inferkit", "doctor")
    (tmp_path / "matrix.toml").write_text(MATRIX)
    (tmp_path / "test_latency.py").write_text(TEST)
    listed = run("pytest", "--version", "--version")
    assert f"pytest-inferkit-{__version__} at {tmp_path}/venv/" in listed
    assert "test_latency[lenet-fp32-b1-onnxruntime]" in run("pytest", "--collect-only", "-q", "test_latency.py")
    shown = run("pytest", "test_latency.py")
    assert "lenet-fp32-b1-onnxruntime" in shown
    assert "NO_BASELINE" in shown
