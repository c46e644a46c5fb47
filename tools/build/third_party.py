"""Writes THIRD_PARTY.md: what is bundled and what is depended on, with licences, from the installed packages' metadata.

python -m tools.build.third_party            # in an environment that has every extra
python -m tools.build.third_party --check    # exit code 1 where the file lacks a dependency, writing nothing
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, metadata

from tools import ROOT

TARGET = ROOT / "THIRD_PARTY.md"

_HEAD = """# Third parties

Made by `python -m tools.build.third_party`. Licences are as each package's own metadata states them.

## In this repository

| what | where | licence |
| --- | --- | --- |
| Fashion-MNIST: test images and labels | `inferkit/data/embedded` | MIT, 2017 Zalando SE (the text is beside them) |
| networks trained on Fashion-MNIST | `inferkit/network/zoo/trained` | Apache-2.0, trained by this project |
| names and numbers of Caffe's fields | `inferkit/network/caffe/caffe.proto` | Apache-2.0; Caffe is BSD-2-Clause |

Real Caffe, TensorRT and TensorRT-RTX are neither bundled nor needed. `tools/install_pycaffe.py` unpacks Debian's
packages of Caffe (BSD-2-Clause; the packages it needs have licences of their own) into a folder of the user's.

"""

# Not installed on a machine without a GPU, or silent in their metadata; from their own pages.
_STATED = {
    "cuda-python": "NVIDIA's software licence (proprietary)",
    "mlcommons-loadgen": "Apache-2.0",
    "pycuda": "MIT",
    "tensorrt": "NVIDIA's software licence (proprietary)",
    "tensorrt-rtx-cu13": "NVIDIA's software licence (proprietary)",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 where a dependency is not listed")
    args = parser.parse_args(argv)
    if args.check:
        missing = [name for names in dependencies().values() for name in names if f"| {name} |" not in listed()]
        for name in missing:
            print(
                f"third_party: {name} is not in {TARGET.name}; run python -m tools.build.third_party", file=sys.stderr
            )
        return 1 if missing else 0
    parts = [_HEAD]
    for group, names in dependencies().items():
        rows = "".join(f"| {name} | {licence(name)} |\n" for name in names)
        parts.append(f"## {group}\n\n| package | licence |\n| --- | --- |\n{rows}\n")
    TARGET.write_text("".join(parts).rstrip() + "\n", encoding="utf-8")
    return 0


def listed() -> str:
    """The file as it is."""
    return TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""


def dependencies() -> dict[str, list[str]]:
    """Names of what pyproject.toml asks for, group by group."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = {"Needed": project["dependencies"]}
    groups |= {f"Extra `{name}`": words for name, words in sorted(project["optional-dependencies"].items())}
    return {group: sorted({_name(word) for word in words}) for group, words in groups.items()}


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower()


def licence(name: str) -> str:
    """What the package says of itself: its expression, its classifiers, or the first line of its licence."""
    if name in _STATED:
        return _STATED[name]
    try:
        found = metadata(name)
    except PackageNotFoundError:
        return "see its page: not installed where this list was made"
    if "License-Expression" in found:
        return found["License-Expression"]
    classified = [
        value.rpartition(" :: ")[2] for value in found.get_all("Classifier") or () if value.startswith("License ::")
    ]
    stated = (found.get_all("License") or [""])[0].strip().splitlines()
    return ", ".join(classified) or (stated[0][:80] if stated else "not stated in its metadata")


if __name__ == "__main__":
    sys.exit(main())
