"""Leases: one holder at a time, whatever happens to the one before."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from inferkit.errors import MeasurementError
from inferkit.measure.machine.lease import device_lease, lease_folder

HOLDER = """
import sys, time
from inferkit.measure.machine.lease import device_lease
with device_lease(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INFERKIT_LEASE_DIR", str(tmp_path / "leases"))
    return tmp_path / "leases"


def holder(device: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, device], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_another_process_has_to_wait_and_gets_it_after_a_crash() -> None:
    process = holder("GPU-a")
    try:
        with pytest.raises(MeasurementError, match=r"GPU-a is in use .* 0.1 s"), device_lease("GPU-a", timeout=0.1):
            raise AssertionError("two holders")
        with device_lease("GPU-b", timeout=0.1) as waited:  # another device is free
            assert waited >= 0
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        with device_lease("GPU-a", timeout=10):
            pass
    finally:
        process.kill()
        process.wait(30)


def test_a_lease_within_a_lease_costs_nothing() -> None:
    with device_lease("GPU-a"), device_lease("GPU-a", timeout=0.1):
        pass
    with device_lease("GPU-a", timeout=0.1):
        pass


def test_threads_share_no_lease() -> None:
    inside = []
    entered, leave = threading.Event(), threading.Event()

    def first() -> None:
        with device_lease("GPU-a"):
            entered.set()
            leave.wait(30)
            inside.append("first")

    def second() -> None:
        with device_lease("GPU-a"):
            inside.append("second")

    one, two = threading.Thread(target=first), threading.Thread(target=second)
    one.start()
    entered.wait(30)
    two.start()
    two.join(0.2)
    assert inside == []
    leave.set()
    one.join(30)
    two.join(30)
    assert inside == ["first", "second"]


def test_a_lease_is_given_back_when_the_work_fails() -> None:
    with pytest.raises(ValueError, match="work"), device_lease("GPU-a"):
        raise ValueError("work")
    process = holder("GPU-a")
    process.kill()
    process.wait(30)


def test_what_needs_no_lease_takes_none(folder: Path) -> None:
    with device_lease(None) as waited:
        assert waited == 0
    assert not folder.exists()


def test_other_users_can_take_leases_too(folder: Path) -> None:
    lease_folder()
    assert folder.stat().st_mode & 0o777 == 0o777


def test_a_folder_that_cannot_be_written_is_a_clear_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.parent.joinpath("file").write_text("in the way")
    monkeypatch.setenv("INFERKIT_LEASE_DIR", str(folder.parent / "file" / "leases"))
    with pytest.raises(MeasurementError, match="INFERKIT_LEASE_DIR"), device_lease("GPU-a"):
        pass


def test_whoever_waits_is_told_for_what_and_then_that_it_was_in_vain(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("inferkit.measure.machine.lease._QUIET_SECONDS", 0.1)
    with subprocess.Popen([sys.executable, "-c", HOLDER, "GPU-1"], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(MeasurementError, match="GPU-1 is in use by another"), device_lease("GPU-1", timeout=0.3):
            pass
        holder.send_signal(signal.SIGKILL)
    assert caplog.messages == ["GPU-1 is in use by another measurement; waiting for it"]
