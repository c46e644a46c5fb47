"""What is released and what CI installs: the same bytes from every build; dependencies listed, pinned, hashed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools.lock import LOCK, LOCK_TENSORRT, wanted
from tools.third_party import main as third_party

ROOT = Path(__file__).resolve().parents[1]
_PINNED = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}\n", re.MULTILINE)


def lock() -> str:
    return LOCK.read_text() + LOCK_TENSORRT.read_text()


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def pinned() -> dict[str, str]:
    """The version of each package in the lock, by name; only those that have a hash."""
    return {normal(name): version for name, version in _PINNED.findall(lock())}


def test_what_is_pinned_fits_the_ranges_that_users_get(pinned: dict[str, str]) -> None:
    asked = [Requirement(text) for text in wanted()]
    assert len(pinned.keys() & {normal(one.name) for one in asked}) > 20
    outside = [
        str(one)
        for one in asked
        if normal(one.name) in pinned and not one.specifier.contains(pinned[normal(one.name)], prereleases=True)
    ]
    assert not outside, "run python -m tools.lock"


def test_every_line_of_the_lock_is_a_version_with_hashes_and_names_no_place() -> None:
    text = lock()
    left = _PINNED.sub("", text)
    assert [line for line in left.splitlines() if line and not line.startswith("#")] == []
    assert "://" not in text


def test_every_dependency_is_listed_with_its_licence() -> None:
    assert third_party(["--check"]) == 0


def built(folder: Path, seconds: int, zone: str) -> dict[str, str]:
    """Digests of wheel and sdist built from a copy of the tracked files, all of them as old as `seconds`."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "source" / name)
            os.utime(folder / "source" / name, (seconds, seconds))
    code = "import hatchling.build as b, sys; b.build_wheel(sys.argv[1]); b.build_sdist(sys.argv[1])"
    (folder / "out").mkdir()
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "TZ": zone}
    subprocess.run(
        [sys.executable, "-c", code, str(folder / "out")],
        cwd=folder / "source",
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "out").iterdir()}


@pytest.mark.skipif(not find_spec("hatchling"), reason="hatchling is not installed: pip install hatchling")
def test_two_builds_are_the_same_bytes(tmp_path: Path) -> None:
    first, second = (
        built(tmp_path / name, seconds, zone)
        for name, seconds, zone in (("a", 10**9, "UTC"), ("b", 12 * 10**8, "Asia/Tokyo"))
    )
    assert first == second
    assert len(first) == 2
