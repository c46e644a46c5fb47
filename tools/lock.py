"""Writes ci/requirements*.txt: every package that CI's tox environments install, pinned, with its files' hashes.

    pip install pip-tools && python -m tools.lock            # resolve anew, keeping what still fits
    python -m tools.lock --upgrade                           # to the newest releases in pyproject.toml's ranges

What is asked for is read from pyproject.toml (dependencies, and the extras that tox.ini names) and tox.ini (deps). The
files take the place of tox's `deps` in .ci/run: pip then takes exactly these versions and refuses a file whose hash is
another. They name no index: each machine takes packages from the one that it is set up for. TensorRT-RTX, which only
the long tests want, has a file of its own. Users get the ranges in pyproject.toml, not these files.
"""

from __future__ import annotations

import argparse
import configparser
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK, LOCK_TENSORRT = ROOT / "ci" / "requirements.txt", ROOT / "ci" / "requirements-tensorrt.txt"
ENVIRONMENTS = ("testenv:test", "testenv:long", "testenv:lint")
# For .ci/run itself, and the build backend, which pip installs into an environment of its own.
_TOOLS = ("tox>=4",)
_HEADER = "# Made by `python -m tools.lock`: what CI installs (Python 3.11, Linux). For users: pyproject.toml.\n"


def wanted() -> list[str]:
    """Every requirement that CI's environments ask for, as written, without repetitions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    found = [*project["project"]["dependencies"], *project["build-system"]["requires"], *_TOOLS]
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    for name in ENVIRONMENTS:
        section = tox[name]
        for extra in filter(None, (word.strip() for word in section.get("extras", "").split(","))):
            found += extras[extra]
        lines = (line.strip() for line in section.get("deps", "").splitlines())
        found += [line for line in lines if line and not line.startswith("{")]
    return list(dict.fromkeys(found))


def main(argv: Sequence[str] | None = None) -> int:
    """Write the file; the exit code of pip-compile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upgrade", action="store_true", help="take the newest releases that fit")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="inferkit-lock-") as name:
        source, target = Path(name, "ci.in"), Path(name, "ci.txt")
        source.write_text("\n".join(wanted()) + "\n")
        target.write_text("".join(path.read_text() for path in (LOCK, LOCK_TENSORRT) if path.exists()))
        options = ["--generate-hashes", "--allow-unsafe", "--strip-extras", "--no-header", "--no-annotate", "--quiet"]
        options += ["--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host", "--no-emit-options"]
        options += ["--upgrade"] if args.upgrade else []
        command = [sys.executable, "-m", "piptools", "compile", *options, "-o", str(target), str(source)]
        code = subprocess.run(command).returncode
        if code == 0:
            LOCK.parent.mkdir(exist_ok=True)
            entries = re.findall(r"^\S.*\n(?: +.*\n)*", target.read_text(), re.MULTILINE)
            pinned = [entry for entry in entries if not entry.startswith("#")]
            for path, wants in ((LOCK, False), (LOCK_TENSORRT, True)):
                chosen = [entry for entry in pinned if entry.startswith("tensorrt") is wants]
                path.write_text(_HEADER + "".join(chosen))
    return code


if __name__ == "__main__":
    sys.exit(main())
