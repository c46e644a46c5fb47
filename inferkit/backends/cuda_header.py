"""CUDA's header cuda.h, without which pip cannot compile PyCUDA: where it is, or the package that has it."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

NAME = "cuda.h"
PACKAGES = (
    "Debian, Ubuntu: apt install nvidia-cuda-toolkit; conda: conda install -c conda-forge pycuda (compiled already); "
    "NVIDIA's own packages: cuda-toolkit"
)


def cuda_header() -> Path | None:
    """The first cuda.h that there is: of the compiler, of CUDA's folder, of conda, of NVIDIA's Python packages."""
    return next((folder / NAME for folder in _folders() if (folder / NAME).is_file()), None)


def pycuda_hint() -> str:
    """The command that installs PyCUDA here; where cuda.h is missing, first the packages that have it."""
    header = cuda_header()
    if header is None:
        return f"first install {NAME}, with which it is compiled ({PACKAGES}); then pip install pycuda"
    root = header.parent.parent
    if header.parent == Path("/usr/include") or shutil.which("nvcc"):
        return "pip install pycuda"
    if (root / "bin" / "nvcc").is_file():
        return f"PATH={root / 'bin'}:$PATH pip install pycuda"
    return f"CPATH={header.parent} pip install pycuda"


def _folders() -> Iterator[Path]:
    yield from (Path(each) for each in os.environ.get("CPATH", "").split(os.pathsep) if each)
    nvcc = shutil.which("nvcc")
    if nvcc:
        yield Path(nvcc).resolve().parent.parent / "include"
    for name in ("CUDA_ROOT", "CUDA_HOME", "CUDA_PATH"):
        if os.environ.get(name):
            yield Path(os.environ[name], "include")
    yield Path("/usr/include")
    yield from sorted(Path("/usr/local").glob("cuda*/include"))
    conda = os.environ.get("CONDA_PREFIX")
    if conda:
        yield Path(conda, "include")
        yield from sorted(Path(conda, "targets").glob("*/include"))
    yield from sorted(Path(sysconfig.get_paths()["purelib"], "nvidia").glob("*/include"))
