"""What CI installs: dependencies listed, pinned, hashed."""

from __future__ import annotations

from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools.build.lock import LINE, LOCK, LOCK_LONG, differences, fits, normal, wanted
from tools.build.third_party import main as third_party


def lock() -> str:
    return LOCK.read_text() + LOCK_LONG.read_text()


@pytest.fixture(scope="module")
def pinned() -> dict[str, str]:
    """The version of each package in the lock, by name; only those that have a hash."""
    return {normal(name): version for name, version, _ in LINE.findall(lock())}


def test_the_lock_has_all_that_is_asked_for_in_the_ranges_that_users_get(pinned: dict[str, str]) -> None:
    asked = [one for one in map(Requirement, wanted()) if one.marker is None or one.marker.evaluate()]
    assert {str(one) for one in asked if normal(one.name) not in pinned} == set(), "run python -m tools.build.lock"
    outside = {str(one) for one in asked if not one.specifier.contains(pinned[normal(one.name)], prereleases=True)}
    assert outside == set(), "run python -m tools.build.lock"


def test_an_environment_that_is_not_the_locked_one_is_told_package_by_package(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(f"no_such_package==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    found = differences([path])
    assert "no-such-package: locked is 1.0, installed is nothing" in found
    assert f"pytest: locked is nothing, installed is {pytest.__version__}" in found
    every = "".join(
        f"{one.metadata['Name']}=={one.version} \\\n    --hash=sha256:{'0' * 64}\n" for one in distributions()
    )
    path.write_text(every)
    assert [line for line in differences([path]) if not line.startswith(("inferkit:", "pytest-inferkit:"))] == []


def test_a_lock_for_another_python_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text("# Made\n# For Python 2.7, Linux x86_64.\n")
    monkeypatch.setattr("tools.build.lock.LOCK", path)
    assert not fits()
    assert "requirements.txt is for python 2.7, linux x86_64, this is Python 3." in capsys.readouterr().err


def test_every_line_of_the_lock_is_a_version_with_hashes_and_names_no_place() -> None:
    text = lock()
    left = LINE.sub("", text)
    assert [line for line in left.splitlines() if line and not line.startswith("#")] == []
    assert "://" not in text


def test_every_dependency_is_listed_with_its_licence() -> None:
    assert third_party(["--check"]) == 0
