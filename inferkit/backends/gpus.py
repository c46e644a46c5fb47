"""The GPUs that this process sees, read from the driver itself: no PyCUDA and no NVML needed to say what is there."""

from __future__ import annotations

import ctypes
import os
import uuid as uuid_module
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from inferkit.errors import BackendUnavailable, UsageError

DEVICE = "INFERKIT_GPU"

_MAJOR, _MINOR = 75, 76  # CUdevice_attribute
_NO_DEVICE = 100


@dataclass(frozen=True)
class Gpu:
    """One GPU. `index` is CUDA's, counted within CUDA_VISIBLE_DEVICES; `driver` the CUDA version it speaks (13.0)."""

    index: int
    uuid: str
    name: str
    capability: tuple[int, int]
    memory_bytes: int
    driver: str

    def as_dict(self) -> dict[str, Any]:
        """For metadata and cache keys."""
        return {
            "name": self.name,
            "uuid": self.uuid,
            "compute_capability": f"{self.capability[0]}.{self.capability[1]}",
            "memory_bytes": self.memory_bytes,
            "driver": self.driver,
        }


@lru_cache(maxsize=1)
def visible_gpus() -> tuple[Gpu, ...]:
    """The GPUs that CUDA shows, in CUDA's order. Raises BackendUnavailable where there is no driver or no GPU.

    Initializes the driver in this process: fork no children afterwards that use a GPU (spawn them).
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise BackendUnavailable(
            "no NVIDIA driver on this machine (libcuda.so.1 is not found)", "run this on a machine with an NVIDIA GPU"
        ) from None
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    blame = f" (CUDA_VISIBLE_DEVICES={hidden})" if hidden is not None else ""
    status = driver.cuInit(0)
    count = ctypes.c_int()
    if status == 0:
        status = driver.cuDeviceGetCount(ctypes.byref(count))
    if status == _NO_DEVICE or (status == 0 and count.value == 0):
        raise BackendUnavailable(f"no NVIDIA GPU is visible{blame}", "check nvidia-smi")
    if status != 0:
        raise BackendUnavailable(f"the NVIDIA driver does not start: {_error_name(driver, status)}", "check nvidia-smi")
    return tuple(_gpu(driver, index) for index in range(count.value))


def find_gpu(wanted: int | str | None = None) -> Gpu:
    """The GPU of this index (CUDA's) or UUID; by default $INFERKIT_GPU, else the first.

    UsageError where there is no such GPU, BackendUnavailable where there is none at all.
    """
    if wanted is None:
        wanted = os.environ.get(DEVICE) or 0
    gpus = visible_gpus()
    text = str(wanted).strip()
    if text.isdigit():
        if int(text) < len(gpus):
            return gpus[int(text)]
    else:
        bare = text.lower().removeprefix("gpu-").removeprefix("mig-")
        matches = [gpu for gpu in gpus if bare and gpu.uuid.lower().removeprefix("gpu-").startswith(bare)]
        if len(matches) == 1:
            return matches[0]
    there = ", ".join(f"{gpu.index} = {gpu.uuid} ({gpu.name})" for gpu in gpus)
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    hint = f"; CUDA_VISIBLE_DEVICES={hidden} hides others" if hidden is not None else ""
    raise UsageError(f"no GPU {text!r}; there are {there}{hint}")


def narrowed(wanted: int | str | None = None) -> dict[str, str]:
    """The variables that make `find_gpu(wanted)` the only GPU of a process that is yet to start.

    Empty where it is the only one, where there is none, and where it is wanted by its index, which counts those seen.
    """
    if wanted is not None and str(wanted).strip().isdigit():
        return {}
    try:
        gpu = find_gpu(wanted)
    except (BackendUnavailable, UsageError):
        return {}
    return {} if len(visible_gpus()) == 1 else {"CUDA_VISIBLE_DEVICES": gpu.uuid, DEVICE: gpu.uuid}


def driver_problem(speaks: str, needs_major: int | None) -> str | None:
    """Why a driver that speaks CUDA `speaks` (13.0) cannot serve libraries for CUDA `needs_major`; None if it can."""
    if needs_major is None or int(speaks.split(".")[0]) >= needs_major:
        return None
    return f"the NVIDIA driver speaks CUDA {speaks}, too old for libraries built for CUDA {needs_major}"


def _gpu(driver: ctypes.CDLL, index: int) -> Gpu:
    device = ctypes.c_int()
    _check(driver, driver.cuDeviceGet(ctypes.byref(device), index))
    name = ctypes.create_string_buffer(256)
    _check(driver, driver.cuDeviceGetName(name, 256, device))
    raw = (ctypes.c_ubyte * 16)()
    # The second version tells the slices of a partitioned GPU apart.
    read_uuid = getattr(driver, "cuDeviceGetUuid_v2", None) or driver.cuDeviceGetUuid
    _check(driver, read_uuid(ctypes.byref(raw), device))
    memory = ctypes.c_size_t()
    _check(driver, driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device))
    speaks = ctypes.c_int()
    _check(driver, driver.cuDriverGetVersion(ctypes.byref(speaks)))
    return Gpu(
        index=index,
        uuid=f"GPU-{uuid_module.UUID(bytes=bytes(raw))}",
        name=name.value.decode(errors="replace"),
        capability=(_attribute(driver, device, _MAJOR), _attribute(driver, device, _MINOR)),
        memory_bytes=memory.value,
        driver=f"{speaks.value // 1000}.{speaks.value % 1000 // 10}",
    )


def _attribute(driver: ctypes.CDLL, device: ctypes.c_int, which: int) -> int:
    value = ctypes.c_int()
    _check(driver, driver.cuDeviceGetAttribute(ctypes.byref(value), which, device))
    return value.value


def _check(driver: ctypes.CDLL, status: int) -> None:
    if status != 0:
        raise BackendUnavailable(f"the NVIDIA driver fails: {_error_name(driver, status)}", "check nvidia-smi")


def _error_name(driver: ctypes.CDLL, status: int) -> str:
    text = ctypes.c_char_p()
    if driver.cuGetErrorName(status, ctypes.byref(text)) == 0 and text.value:
        return text.value.decode()
    return f"CUDA error {status}"
