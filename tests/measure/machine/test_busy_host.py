"""A busy host makes a measurement INVALID, never a regression."""

from dataclasses import replace

import pytest

from inferkit.measure.machine.busy_host import VARIABLE as BUSY_HOST_VARIABLE
from inferkit.measure.machine.busy_host import hint_for
from inferkit.measure.machine.host import HostActivity

QUIET = HostActivity(seconds=1.0, load_before=0.5, load_after=0.5, others=0.1, stolen=0.05, governor=None)


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(BUSY_HOST_VARIABLE)


def test_a_quiet_host_disturbs_nothing():
    assert QUIET.disturbances(2) == ()
    assert replace(QUIET, others=None, stolen=None).disturbances(2) == ()


def test_a_neighbour_that_takes_a_cpu_is_named():
    assert "other processes used 1.0 of the 2 CPUs" in replace(QUIET, others=1.0).disturbances(2)[0]
    assert replace(QUIET, others=1.0).disturbances(64) == ()


def test_stolen_time_is_named():
    assert "hypervisor took 0.5" in replace(QUIET, stolen=0.5).disturbances(2)[0]


def test_whoever_wants_to_measure_all_the_same_can(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(BUSY_HOST_VARIABLE, "accept")
    assert replace(QUIET, others=2.0, stolen=2.0).disturbances(2) == ()


def test_what_is_told_of_a_busy_host_names_the_option():
    (reason,) = replace(QUIET, others=1.5).disturbances(2)
    assert "--accept-busy-host" in hint_for(reason)
    assert hint_for("throttled") == ""


def test_an_activity_is_read_back_from_a_run_file():
    busy = replace(QUIET, others=1.5)
    assert HostActivity.from_dict({**busy.as_dict(), "cpus": 2}) == busy
