"""Writes ci/requirements*.txt: every package that CI's tox environments install, pinned, with the hash of its file.

    python -m tools.lock            # the newest releases in the ranges, for this Python and this platform

What is asked for is read from pyproject.toml (dependencies, and the extras that tox.ini names) and tox.ini (deps);
pip resolves it and reports which files it would take. Where the files stand in for tox's `deps`
(`tox run -x testenv:test.deps="-r ci/requirements.txt"`), pip takes exactly these versions and refuses a file whose
hash is another. They name no index: each machine takes packages from the one that it is set up for. TensorRT-RTX,
which only the long tests want, has a file of its own. Users get the ranges in pyproject.toml, not these files.
"""

from __future__ import annotations

import configparser
import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK, LOCK_TENSORRT = ROOT / "ci" / "requirements.txt", ROOT / "ci" / "requirements-tensorrt.txt"
ENVIRONMENTS = ("testenv:test", "testenv:long", "testenv:lint")
_HEADER = "# Made by `python -m tools.lock`: what CI installs (Python 3.11, Linux). For users: pyproject.toml.\n"


def wanted() -> list[str]:
    """Every requirement that CI's environments ask for, as written, without repetitions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    found = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    for name in ENVIRONMENTS:
        section = tox[name]
        for extra in filter(None, (word.strip() for word in section.get("extras", "").split(","))):
            found += extras[extra]
        lines = (line.strip() for line in section.get("deps", "").splitlines())
        found += [line for line in lines if line and not line.startswith("{")]
    return list(dict.fromkeys(found))


def resolved() -> list[tuple[str, str, str]]:
    """Name, version and SHA-256 of every file that pip would install into an empty environment, by name."""
    options = ["--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    done = subprocess.run([sys.executable, "-m", "pip", "install", *options, *wanted()], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"lock: pip cannot resolve this: {done.stderr.strip()}")
    found = []
    for entry in json.loads(done.stdout)["install"]:
        about = entry["metadata"]
        digest = entry["download_info"]["archive_info"]["hashes"]["sha256"]
        found.append((about["name"].lower(), about["version"], digest))
    return sorted(found)


def main() -> int:
    """Write both files."""
    lines = {LOCK: [_HEADER], LOCK_TENSORRT: [_HEADER]}
    for name, version, digest in resolved():
        target = LOCK_TENSORRT if name.startswith("tensorrt") else LOCK
        lines[target].append(f"{name}=={version} \\\n    --hash=sha256:{digest}\n")
    for path, content in lines.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(content))
    return 0


if __name__ == "__main__":
    sys.exit(main())
