"""What is released and what CI installs: the same bytes from every build; every dependency listed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tools.third_party import main as third_party

ROOT = Path(__file__).resolve().parents[1]


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
