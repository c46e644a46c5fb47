"""The environment of a measurement, for someone who has another: versions, CPU, kernel, and variables by name.

Variables are on a list: anything else in an environment may be a secret.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inferkit.backends.nvml import gpu_parts
from inferkit.measure.machine.host import HostState, cpu_model, usable_cpus
from inferkit.suite.repository import git_run
from inferkit.version import __version__

# Variables that change how fast or how exactly something is computed.
VARIABLES = (
    *("OMP_NUM_THREADS", "OMP_PROC_BIND", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    *("GOMP_CPU_AFFINITY", "KMP_AFFINITY", "KMP_BLOCKTIME", "MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_"),
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_MODULE_LOADING", "CUDA_LAUNCH_BLOCKING"),
    *("NVIDIA_TF32_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG", "INFERKIT_GPU", "INFERKIT_TENSORRT"),
)
# Distributions that compute, or that make what is computed.
PACKAGES = (
    *("lmdb", "ml-dtypes", "numpy", "onnx", "opencv-python-headless", "protobuf", "pytest", "pytest-benchmark"),
    *("onnxruntime", "onnxruntime-gpu", "scipy", "psutil"),
    *("tensorrt", "tensorrt-cu12", "tensorrt-cu13", "tensorrt-rtx-cu13", "pycuda", "cuda-python", "nvidia-ml-py"),
)


def environment() -> dict[str, Any]:
    """What is known of this machine and this Python, JSON-able; the GPU is the one that is used, empty without."""
    return {
        "inferkit": {"version": __version__, "commit": _own_commit()},
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()).strip(),
        "cpu": cpu_model(),
        "cpus": usable_cpus(),
        "governor": HostState.now().governor,
        "gpu": gpu_parts(),
        "packages": _packages(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def differences(base: Mapping[str, Any], head: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What differs between two environments, a line each: `packages numpy: 2.1.0 -> 2.2.0`."""
    lines = []
    for key in dict.fromkeys((*base, *head)):
        first, second = base.get(key), head.get(key)
        if isinstance(first, Mapping) and isinstance(second, Mapping):
            lines += differences(first, second, f"{prefix}{key} ")
        elif first != second:
            lines.append(f"{prefix}{key}: {_shown(first)} -> {_shown(second)}")
    return lines


def _shown(value: object) -> str:
    return "none" if value is None or value == "" else str(value)


def _packages() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _own_commit() -> str | None:
    """The commit of inferkit itself, where it runs from a checkout."""
    home = Path(__file__).resolve().parents[3]
    if not (home / ".git").exists():
        return None
    try:
        done = git_run(home, "rev-parse", "HEAD")
    except OSError:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
