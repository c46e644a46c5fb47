"""What a backend is on this machine: can it run a precision, and which fingerprint do its latencies belong to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from inferkit.backends import backend as backend_named
from inferkit.backends.base import Availability
from inferkit.backends.cores import usable_cores
from inferkit.errors import InferkitError
from inferkit.gate.fingerprint import Fingerprint, fingerprint
from inferkit.suite.matrix.definition import BackendSettings


@cache
def availability(backend: str, precision: str) -> Availability:
    """Whether the backend can run the precision here; a backend that cannot even be asked is not available."""
    try:
        return backend_named(backend).availability(precision)
    except (InferkitError, ImportError) as error:
        return Availability(False, str(error))


@cache
def environment_of(backend: str, precision: str) -> Mapping[str, str]:
    """What the processes that build or run this precision with this backend need in their environment."""
    try:
        return backend_named(backend).environment(precision)
    except (InferkitError, ImportError):
        return {}


def measuring_environment(backend: str, precision: str, session: Mapping[str, Any]) -> Mapping[str, str]:
    """`environment_of`, and what keeps a process to the device of its session alone."""
    try:
        alone = backend_named(backend).alone(**session)
    except (InferkitError, ImportError):
        alone = {}
    return {**environment_of(backend, precision), **alone}


def fingerprint_of(backend: str, settings: BackendSettings) -> Fingerprint:
    """The fingerprint of the latencies that this backend measures here with these settings."""
    version = next((found.version for found in _asked(backend) if found.version), "")
    threads = settings.session.get("threads") or settings.build.get("threads") or usable_cores()
    device = _gpu_buckets(settings.session.get("device")) if backend == "tensorrt" else {}
    return fingerprint(backend, version, threads=threads, device=device)


def _asked(backend: str) -> list[Availability]:
    try:
        precisions = backend_named(backend).precisions
    except (InferkitError, ImportError):
        return []
    return [availability(backend, precision) for precision in precisions]


def _gpu_buckets(device: Any) -> Mapping[str, object]:
    """Name, memory, power limit, ECC, MIG, driver and CUDA of the GPU; empty where there is none."""
    from inferkit.backends.tensorrt.gpus import find_gpu
    from inferkit.measure.machine.gpu import GpuTelemetry

    try:
        gpu = find_gpu(device)
    except InferkitError:
        return {}
    facts = GpuTelemetry(gpu.uuid).facts()
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
