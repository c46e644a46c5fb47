"""Writes ci/requirements*.txt: every package that CI's tests are run with, pinned, with the hash of its file.

    python -m tools.build.lock              # the newest releases in the ranges, for this Python and this platform
    python -m tools.build.lock --fits       # exit code 1, and a line that says so, where the lock is for another Python
    python -m tools.build.lock --installed requirements.txt …   # exit code 1 where this environment has anything else

What is asked for is read from pyproject.toml (dependencies, and the extras that tox.ini names) and tox.ini (deps);
pip resolves it and reports which files it would take. `tox run -e test-locked` and `long-locked` install exactly these
files: pip refuses one whose hash is another. They name no index: each machine takes packages from the one that it is
set up for. What only the long tests want has a file of its own. Users get the ranges in pyproject.toml.
"""

from __future__ import annotations

import argparse
import configparser
import json
import platform
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from importlib.metadata import distributions
from pathlib import Path

from tools import ROOT

LOCK, LOCK_LONG = ROOT / "ci" / "requirements.txt", ROOT / "ci" / "requirements-long.txt"
ENVIRONMENTS = ("testenv:test", "testenv:lint", "testenv:long")
LINE = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+) \\\n    --hash=sha256:([0-9a-f]{64})\n", re.MULTILINE)
_HEADER = "# Made by `python -m tools.build.lock`: what CI installs. For users: pyproject.toml.\n"
_EDITABLE = "editables>=0.5"  # what hatchling installs itself editable with; it is no requirement that a file states
_PROJECT = "pytest-inferkit"  # what is installed besides, and has no pin
_SEEDED = {"pip", "setuptools", "wheel"}  # what an empty environment may hold


def wanted(environments: Iterable[str] = ENVIRONMENTS) -> list[str]:
    """Every requirement that these tox environments ask for, as written, without repetitions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    found = [*project["project"]["dependencies"], *project["build-system"]["requires"], _EDITABLE]
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    for name in environments:
        section = tox[name]
        for extra in filter(None, (word.strip() for word in section.get("extras", "").split(","))):
            found += extras[extra]
        lines = (line.strip() for line in section.get("deps", "").splitlines())
        found += [line for line in lines if line and not line.startswith("{")]
    return list(dict.fromkeys(found))


def resolved(requirements: Sequence[str], pins: Iterable[tuple[str, str, str]] = ()) -> list[tuple[str, str, str]]:
    """Name, version and SHA-256 of every file that pip would install into an empty environment, by name.

    Where a package is among `pins`, it is that version.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.writelines(f"{name}=={version}\n" for name, version, _ in pins)
        constraints.flush()
        options = ["--dry-run", "--ignore-installed", "--quiet", "--report", "-", "--constraint", constraints.name]
        command = [sys.executable, "-m", "pip", "install", *options, *requirements]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"lock: pip cannot resolve this: {done.stderr.strip()}")
    found = []
    for entry in json.loads(done.stdout)["install"]:
        about = entry["metadata"]
        digest = entry["download_info"]["archive_info"]["hashes"]["sha256"]
        found.append((about["name"].lower(), about["version"], digest))
    return sorted(found)


def write() -> None:
    """Write both files: what the fast tests and lint need, and what the long tests need besides."""
    everything = resolved(wanted())
    fast = set(resolved(wanted(ENVIRONMENTS[:2]), pins=everything))
    for path, chosen in (
        (LOCK, [entry for entry in everything if entry in fast]),
        (LOCK_LONG, [entry for entry in everything if entry not in fast]),
    ):
        lines = (f"{name}=={version} \\\n    --hash=sha256:{digest}\n" for name, version, digest in chosen)
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join([_HEADER, f"{_made_for()}\n", *lines]))


def _made_for() -> str:
    return f"# For Python {sys.version_info.major}.{sys.version_info.minor}, {platform.system()} {platform.machine()}."


def fits() -> bool:
    """Whether the lock is for this Python and this platform; says so where it is not."""
    made_for = LOCK.read_text().splitlines()[1]
    if made_for == _made_for():
        return True
    print(f"lock: {LOCK.name} is {made_for[2:].rstrip('.').lower()}, this is {_made_for()[6:]}", file=sys.stderr)
    return False


def differences(paths: Sequence[Path]) -> list[str]:
    """What this environment has otherwise than the lock files say; the project itself and pip do not count."""
    locked = {normal(name): version for path in paths for name, version, _ in LINE.findall(path.read_text())}
    here = {normal(found.metadata["Name"]): found.version for found in distributions()}
    for name in (*_SEEDED - locked.keys(), _PROJECT):
        here.pop(name, None)
    return [
        f"{name}: locked is {locked.get(name, 'nothing')}, installed is {here.get(name, 'nothing')}"
        for name in sorted(locked.keys() | here.keys())
        if locked.get(name) != here.get(name)
    ]


def normal(name: str) -> str:
    """A package's name as it is compared: `Foo_Bar` is `foo-bar`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main(argv: Sequence[str] | None = None) -> int:
    """Write the files, or look at them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fits", action="store_true", help="write nothing; 1 where the lock is for another Python")
    parser.add_argument("--installed", nargs="+", type=Path, metavar="FILE", help="compare this environment with these")
    args = parser.parse_args(argv)
    if args.fits:
        return 0 if fits() else 1
    if args.installed:
        found = differences(args.installed)
        print("".join(f"lock: {line}\n" for line in found), end="", file=sys.stderr)
        return 1 if found else 0
    write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
