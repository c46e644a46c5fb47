"""Telemetry: readings become one summary, and what is not known stays unknown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.backends import nvml
from inferkit.measure.machine.gpu import REASONS, SERIES_LENGTH, GpuTelemetry, Reading, reason_names, summarize

readings = st.lists(
    st.builds(
        Reading,
        at=st.floats(0, 1e4),
        sm_mhz=st.none() | st.integers(200, 2100),
        power_watts=st.none() | st.floats(10, 800),
        temperature=st.none() | st.integers(20, 90),
        reasons=st.none() | st.tuples(st.sampled_from(sorted(REASONS.values()))),
        other_processes=st.none() | st.integers(0, 3),
    ),
    max_size=8,
)


@given(readings)
def test_figures_lie_among_the_readings(taken: list[Reading]) -> None:
    summary = summarize(taken)
    clocks = [reading.sm_mhz for reading in taken if reading.sm_mhz is not None]
    if clocks:
        assert summary.sm_mhz_min == min(clocks)
        assert summary.sm_mhz_max == max(clocks)
        assert min(clocks) <= summary.sm_mhz_mean <= max(clocks)
    else:
        assert summary.sm_mhz_min is summary.sm_mhz_mean is summary.sm_mhz_max is None
    assert summary.readings == len(taken)


def test_nothing_known_is_none_not_zero() -> None:
    summary = summarize([Reading(1.0), Reading(3.0)], images=10).as_dict()
    assert summary.pop("readings") == 2
    assert summary.pop("seconds") == 2.0
    assert set(summary.values()) == {None}


def test_what_was_read_one_after_the_other_is_kept_short() -> None:
    taken = [Reading(10 + n / 10, sm_mhz=1980 - n, reasons=("power_cap",) if n else None) for n in range(1000)]
    series = summarize(taken).as_dict()["series"]
    assert set(series) == {"at", "sm_mhz", "reasons"}
    assert {len(values) for values in series.values()} == {SERIES_LENGTH}
    assert (series["at"][0], series["at"][-1]) == (0.0, 99.9)
    assert (series["sm_mhz"][0], series["sm_mhz"][-1]) == (1980, 981)
    assert series["reasons"][:2] == [None, ["power_cap"]]
    assert len(summarize(taken[:3]).as_dict()["series"]["at"]) == 3


def test_no_readings_at_all() -> None:
    assert summarize([]).readings == 0
    assert summarize([]).seconds == 0.0


def test_energy_is_what_the_counter_gained() -> None:
    taken = [Reading(0.0, energy_joules=1000.0), Reading(1.0), Reading(2.0, energy_joules=1700.0)]
    assert summarize(taken, images=350).energy_joules == 700.0
    assert summarize(taken, images=350).energy_per_image == 2.0
    assert summarize(taken).energy_per_image is None
    assert summarize(taken[:2], images=350).energy_joules is None  # one reading of a counter says nothing


def test_only_reasons_that_disturb_count_as_throttling() -> None:
    taken = [Reading(0.0, reasons=("idle",)), Reading(1.0, reasons=("power_cap", "hardware_thermal"))]
    summary = summarize(taken)
    assert summary.reasons == ("idle", "power_cap", "hardware_thermal")
    assert summary.throttled == ("hardware_thermal",)
    assert summarize(taken[:1]).throttled == ()
    assert summarize([Reading(0.0)]).throttled is None


@pytest.mark.parametrize(
    "mask, names",
    [
        (0, ()),
        (0x1, ("idle",)),
        (0x4 | 0x40, ("power_cap", "hardware_thermal")),
        (0x8 | 0x80, ("hardware_slowdown", "power_brake")),
        (0x1000, ("bit_0x1000",)),
        (0x4 | 0x4000, ("power_cap", "bit_0x4000")),
    ],
)
def test_masks_are_named(mask: int, names: tuple[str, ...]) -> None:
    assert reason_names(mask) == names


@given(st.integers(0, 2**20))
def test_no_bit_of_a_mask_is_lost(mask: int) -> None:
    assert len(reason_names(mask)) == mask.bit_count()


def test_what_disturbed_is_told() -> None:
    quiet = summarize([Reading(0.0, other_processes=0, reasons=())], None)
    assert quiet.disturbances() == ()
    busy = summarize([Reading(0.0, other_processes=2, reasons=("hardware_thermal",))], None)
    assert busy.disturbances() == ("the GPU was throttled (hardware_thermal)", "2 other processes used the GPU")


def test_a_slice_is_found_by_the_name_that_nvml_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Nvml:
        def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
            asked.append(uuid)
            if not uuid.startswith("MIG-"):
                raise LookupError
            return "handle"

    monkeypatch.setattr(nvml, "nvml_module", Nvml)
    assert GpuTelemetry("GPU-aaaa-1").available
    assert asked == ["GPU-aaaa-1", "MIG-aaaa-1"]


def test_a_gpu_that_is_not_there_reads_as_nothing() -> None:
    telemetry = GpuTelemetry("GPU-00000000-dead-beef-0000-000000000000")
    assert not telemetry.available
    assert telemetry.facts() == {}
    assert telemetry.sm_clock() is None
    with telemetry.watch(0.001) as watch:
        pass
    assert len(watch.readings) == 2
    assert watch.summary(5).energy_per_image is None


@pytest.mark.gpu
def test_a_real_gpu_tells_its_state() -> None:
    telemetry = GpuTelemetry(0)
    if not telemetry.available:
        pytest.skip("NVML finds no GPU")
    facts = telemetry.facts()
    assert facts["uuid"].startswith("GPU-")
    assert facts["memory_bytes"] > 1 << 30
    assert telemetry.sm_clock() > 0
    assert GpuTelemetry(facts["uuid"]).facts() == facts
    with telemetry.watch(0.01) as watch:
        while len(watch.readings) < 4:
            telemetry.read()
    summary = watch.summary(100)
    assert summary.sm_mhz_max > 0
    assert summary.temperature_max > 0
    assert summary.reasons is not None
