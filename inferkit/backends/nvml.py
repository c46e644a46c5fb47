"""What NVML says a GPU is: its settings and versions, which its latencies belong to; readings are measure/'s.

Everything is None where NVML (PyPI `nvidia-ml-py`) is not installed, finds no driver, or does not know the figure.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from inferkit.backends.gpus import find_gpu
from inferkit.errors import InferkitError


@cache
def nvml_module() -> Any:
    """The NVML module, initialized for this process; None where it is missing or there is no driver."""
    try:
        nvml = import_module("pynvml")
        nvml.nvmlInit()
    except Exception:  # not installed (ImportError), no driver (NVMLError), a driver that does not match
        return None
    atexit.register(quietly, nvml.nvmlShutdown)
    return nvml


def gpu_handle(gpu: str | int) -> Any:
    """NVML's handle of a GPU, by UUID or by NVML's index (which ignores CUDA_VISIBLE_DEVICES); None for no such GPU."""
    nvml = nvml_module()
    if nvml is None:
        return None
    by_uuid = isinstance(gpu, str) and not gpu.isdigit()
    find = nvml.nvmlDeviceGetHandleByUUID if by_uuid else nvml.nvmlDeviceGetHandleByIndex
    handle = quietly(find, gpu if by_uuid else int(gpu))
    if handle is None and by_uuid:  # CUDA calls a slice of a partitioned GPU by another name
        handle = quietly(find, str(gpu).replace("GPU-", "MIG-", 1))
    return handle


def gpu_facts(handle: Any) -> dict[str, Any]:
    """Settings and versions of the GPU with this handle (`gpu_handle`), never readings that wander.

    name, uuid, memory_bytes, power_limit_watts, max_sm_mhz, max_memory_mhz, ecc, mig, persistence, compute_mode,
    pcie_generation, pcie_width (the largest the link can have), driver, cuda (the version that the driver speaks);
    empty for None.
    """
    if handle is None:
        return {}
    nvml = nvml_module()
    memory = quietly(nvml.nvmlDeviceGetMemoryInfo, handle)
    cuda = quietly(nvml.nvmlSystemGetCudaDriverVersion_v2)
    return {
        "name": _text(quietly(nvml.nvmlDeviceGetName, handle)),
        "uuid": _text(quietly(nvml.nvmlDeviceGetUUID, handle)),
        "memory_bytes": None if memory is None else int(memory.total),
        "power_limit_watts": thousandth(quietly(nvml.nvmlDeviceGetEnforcedPowerLimit, handle)),
        "max_sm_mhz": quietly(nvml.nvmlDeviceGetMaxClockInfo, handle, nvml.NVML_CLOCK_SM),
        "max_memory_mhz": quietly(nvml.nvmlDeviceGetMaxClockInfo, handle, nvml.NVML_CLOCK_MEM),
        "ecc": _on(_first(quietly(nvml.nvmlDeviceGetEccMode, handle))),
        "mig": _on(_first(quietly(nvml.nvmlDeviceGetMigMode, handle))),
        "persistence": _on(quietly(nvml.nvmlDeviceGetPersistenceMode, handle)),
        "compute_mode": quietly(nvml.nvmlDeviceGetComputeMode, handle),
        "pcie_generation": quietly(nvml.nvmlDeviceGetMaxPcieLinkGeneration, handle),
        "pcie_width": quietly(nvml.nvmlDeviceGetMaxPcieLinkWidth, handle),
        "driver": _text(quietly(nvml.nvmlSystemGetDriverVersion)),
        "cuda": None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
    }


def gpu_parts(device: int | str | None = None) -> dict[str, object]:
    """A GPU's parts of a fingerprint: name, memory, power limit, ECC, MIG, driver and CUDA; empty where there is none.

    `device` as `find_gpu` takes it.
    """
    try:
        gpu = find_gpu(device)
    except InferkitError:
        return {}
    facts = gpu_facts(gpu_handle(gpu.uuid))
    return {
        "gpu": gpu.name,
        # In whole gibibytes: drivers reserve a little more or less of it from version to version.
        "gpu_memory_gib": round(gpu.memory_bytes / 2**30),
        "power_limit_watts": facts.get("power_limit_watts"),
        "ecc": facts.get("ecc"),
        "mig": facts.get("mig"),
        "driver": facts.get("driver"),
        "cuda": facts.get("cuda") or gpu.driver,
    }


def quietly(function: Callable[..., Any], *arguments: Any) -> Any:
    """The function's answer, None where NVML does not support the question on this GPU."""
    try:
        return function(*arguments)
    except Exception:  # NVMLError of many kinds, and missing symbols in old drivers
        return None


def thousandth(value: int | None) -> float | None:
    """Watts from milliwatts, joules from millijoules."""
    return None if value is None else value / 1e3


def _text(value: Any) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (list, tuple)) and value else None


def _on(value: Any) -> bool | None:
    return None if value is None else bool(value)
