"""GPU telemetry of a measurement, by NVML: clocks, power, temperature, throttling, energy, other processes.

Everything is None where NVML (PyPI `nvidia-ml-py`) is not installed, finds no driver, or does not know the figure:
a report says "not known" then, never zero. Nothing here changes a setting of the GPU.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Self

from inferkit.backends.nvml import gpu_facts, gpu_handle, nvml_module, quietly, thousandth

# NVML's clock event reasons. The first three change nothing that a measurement must worry about.
REASONS = {
    0x1: "idle",
    0x2: "application_clocks",
    0x100: "display_clocks",
    0x4: "power_cap",
    0x8: "hardware_slowdown",
    0x10: "sync_boost",
    0x20: "software_thermal",
    0x40: "hardware_thermal",
    0x80: "power_brake",
    0x200: "board_limit",
    0x400: "reliability",
}
# With one of these the card does not run as it should: what was measured says nothing about the engine.
DISTURBING = frozenset({"hardware_slowdown", "software_thermal", "hardware_thermal", "power_brake"})
# Of a run's file: enough to see a clock fall, and some kB per replicate.
SERIES_LENGTH = 60
_OVER_TIME = ("sm_mhz", "power_watts", "temperature", "reasons")


@dataclass(frozen=True)
class Reading:
    """One reading: MHz, watts, joules (since the driver was loaded), degrees Celsius, bytes. None: unknown."""

    at: float
    sm_mhz: int | None = None
    memory_mhz: int | None = None
    power_watts: float | None = None
    power_limit_watts: float | None = None
    temperature: int | None = None
    reasons: tuple[str, ...] | None = None
    energy_joules: float | None = None
    memory_used_bytes: int | None = None
    other_processes: int | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None
    pcie_replays: int | None = None


@dataclass(frozen=True)
class Summary:
    """Telemetry of one case. `throttled` names reasons seen that disturb; `energy_per_image` in joules.

    `series` is what the readings said one after the other, at most SERIES_LENGTH of them: lists of the same length
    under `at` (seconds since the first), `sm_mhz`, `power_watts`, `temperature` and `reasons`, with None where one is
    not known; a figure that no reading knew has no list.
    """

    readings: int
    seconds: float
    sm_mhz_min: int | None
    sm_mhz_mean: float | None
    sm_mhz_max: int | None
    memory_mhz: int | None
    power_watts_mean: float | None
    power_watts_max: float | None
    power_limit_watts: float | None
    temperature_max: int | None
    reasons: tuple[str, ...] | None
    throttled: tuple[str, ...] | None
    energy_joules: float | None
    energy_per_image: float | None
    other_processes: int | None
    pcie_generation: int | None
    pcie_width: int | None
    pcie_replays: int | None
    series: dict[str, list[Any]] | None = None

    def disturbances(self) -> tuple[str, ...]:
        """What makes a measurement on this GPU say nothing about the engine; empty for a quiet one."""
        reasons = []
        if self.throttled:
            reasons.append(f"the GPU was throttled ({', '.join(self.throttled)})")
        if self.other_processes:
            reasons.append(f"{self.other_processes} other processes used the GPU")
        return tuple(reasons)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def reason_names(mask: int) -> tuple[str, ...]:
    """The names of the bits in a mask of clock event reasons; an unknown bit is named by its value."""
    names = [name for bit, name in REASONS.items() if mask & bit]
    named = sum(REASONS)
    names += [f"bit_{hex(1 << index)}" for index in range(mask.bit_length()) if mask & ~named & (1 << index)]
    return tuple(names)


def summarize(readings: Iterable[Reading], images: int | None = None) -> Summary:
    """Readings of one measurement, in order, and how many images it computed, as one summary. Pure."""
    taken = list(readings)
    reasons = _values(taken, "reasons")
    seen = tuple(dict.fromkeys(name for each in reasons for name in each)) if reasons else None
    energy = _increase(taken, "energy_joules")
    clocks, powers = _values(taken, "sm_mhz"), _values(taken, "power_watts")
    others = _values(taken, "other_processes")
    return Summary(
        readings=len(taken),
        seconds=taken[-1].at - taken[0].at if taken else 0.0,
        sm_mhz_min=min(clocks, default=None),
        sm_mhz_mean=sum(clocks) / len(clocks) if clocks else None,
        sm_mhz_max=max(clocks, default=None),
        memory_mhz=max(_values(taken, "memory_mhz"), default=None),
        power_watts_mean=sum(powers) / len(powers) if powers else None,
        power_watts_max=max(powers, default=None),
        power_limit_watts=_last(taken, "power_limit_watts"),
        temperature_max=max(_values(taken, "temperature"), default=None),
        reasons=seen,
        throttled=tuple(name for name in seen if name in DISTURBING) if seen is not None else None,
        energy_joules=energy,
        energy_per_image=energy / images if energy is not None and images else None,
        other_processes=max(others, default=None),
        pcie_generation=_last(taken, "pcie_generation"),
        pcie_width=_last(taken, "pcie_width"),
        pcie_replays=_increase(taken, "pcie_replays"),
        series=_series(taken),
    )


def _series(readings: list[Reading]) -> dict[str, list[Any]] | None:
    """The readings as short lists; None where they know nothing that changes over time."""
    if len(readings) > SERIES_LENGTH:
        last = len(readings) - 1
        readings = [readings[round(index * last / (SERIES_LENGTH - 1))] for index in range(SERIES_LENGTH)]
    columns = {name: [getattr(each, name) for each in readings] for name in _OVER_TIME}
    series = {name: values for name, values in columns.items() if any(value is not None for value in values)}
    if not series:
        return None
    if "reasons" in series:
        series["reasons"] = [None if value is None else list(value) for value in series["reasons"]]
    return {"at": [round(each.at - readings[0].at, 3) for each in readings], **series}


class GpuTelemetry:
    """NVML's view of one GPU, by UUID or by NVML's index (which ignores CUDA_VISIBLE_DEVICES). Never raises."""

    def __init__(self, gpu: str | int) -> None:
        self._nvml = nvml_module()
        self._handle = gpu_handle(gpu)

    @property
    def available(self) -> bool:
        return self._handle is not None

    def read(self, *, own_context: bool = True) -> Reading:
        """Read the GPU: some hundred microseconds. `own_context`: whether this process itself uses the GPU."""
        nvml, handle = self._nvml, self._handle
        if handle is None:
            return Reading(time.perf_counter())
        memory = quietly(nvml.nvmlDeviceGetMemoryInfo, handle)
        mask = quietly(_reasons_of(nvml), handle)
        return Reading(
            at=time.perf_counter(),
            sm_mhz=quietly(nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_SM),
            memory_mhz=quietly(nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_MEM),
            power_watts=thousandth(quietly(nvml.nvmlDeviceGetPowerUsage, handle)),
            power_limit_watts=thousandth(quietly(nvml.nvmlDeviceGetEnforcedPowerLimit, handle)),
            temperature=quietly(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
            reasons=None if mask is None else reason_names(int(mask)),
            energy_joules=thousandth(quietly(nvml.nvmlDeviceGetTotalEnergyConsumption, handle)),
            memory_used_bytes=None if memory is None else int(memory.used),
            other_processes=self._others(own_context),
            pcie_generation=quietly(nvml.nvmlDeviceGetCurrPcieLinkGeneration, handle),
            pcie_width=quietly(nvml.nvmlDeviceGetCurrPcieLinkWidth, handle),
            pcie_replays=quietly(nvml.nvmlDeviceGetPcieReplayCounter, handle),
        )

    def sm_clock(self) -> float | None:
        """The SM clock in MHz now: what a warm-up waits for to settle."""
        if self._handle is None:
            return None
        return quietly(self._nvml.nvmlDeviceGetClockInfo, self._handle, self._nvml.NVML_CLOCK_SM)

    def facts(self) -> dict[str, Any]:
        """What belongs into a fingerprint: see inferkit.backends.nvml.gpu_facts."""
        return gpu_facts(self._handle)

    def watch(self, interval: float = 0.1) -> Watch:
        """Read now, every `interval` seconds and at the end of a `with` block."""
        return Watch(self, interval)

    def _others(self, own_context: bool) -> int | None:
        running = quietly(self._nvml.nvmlDeviceGetComputeRunningProcesses, self._handle)
        if running is None:
            return None
        others = [process for process in running if process.pid != os.getpid()]
        # In a container NVML may give the host's process numbers: one of the strangers is then this process.
        strangers = len(others) == len(running) and own_context
        return max(len(others) - (1 if strangers else 0), 0)


class Watch:
    """Reads a GPU from a thread of its own while a `with` block runs; `readings` holds what it saw.

    A reading holds Python's lock for microseconds at a time. Between start and end of the block there are only as
    many as `interval` allows; a long interval leaves the two at the ends.
    """

    def __init__(self, telemetry: GpuTelemetry, interval: float) -> None:
        self.readings: list[Reading] = []
        self._telemetry = telemetry
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="gpu-telemetry", daemon=True)

    def summary(self, images: int | None = None) -> Summary:
        """The readings so far as one summary."""
        return summarize(self.readings, images)

    def __enter__(self) -> Self:
        self.readings.append(self._telemetry.read())
        if self._telemetry.available:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.readings.append(self._telemetry.read())

    def _sample(self) -> None:
        while not self._stop.wait(self._interval):
            self.readings.append(self._telemetry.read())


def _reasons_of(nvml: Any) -> Callable[..., Any]:
    # Renamed in 2023; the old name is deprecated.
    function: Callable[..., Any] | None = getattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", None)
    return function or nvml.nvmlDeviceGetCurrentClocksThrottleReasons  # type: ignore[no-any-return]


def _values(readings: list[Reading], name: str) -> list[Any]:
    return [value for reading in readings if (value := getattr(reading, name)) is not None]


def _last(readings: list[Reading], name: str) -> Any:
    values = _values(readings, name)
    return values[-1] if values else None


def _increase(readings: list[Reading], name: str) -> Any:
    values = _values(readings, name)
    return values[-1] - values[0] if len(values) > 1 else None
