"""Memory high-water marks and the host's state, on the machine that runs the tests."""

import mmap
import subprocess
import sys

import numpy as np
import pytest

from inferkit.measure.machine.host import HighWater, HostActivity, HostState, cpu_model, usable_cpus

MEGABYTE = 1 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the high-water mark")
def test_memory_given_back_still_counts():
    mark = HighWater()
    # Straight from the system: an allocator may hold as much that was given back to it before, and is no more memory.
    with mmap.mmap(-1, 64 * MEGABYTE) as block:
        for page in range(0, len(block), mmap.PAGESIZE):
            block[page] = 1
    assert 60 * MEGABYTE < mark.peak() < 90 * MEGABYTE


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the high-water mark")
def test_what_was_held_before_does_not_count():
    block = np.ones(64 * MEGABYTE, np.uint8)
    assert HighWater().peak() < 16 * MEGABYTE
    assert len(block) == 64 * MEGABYTE


def test_a_worker_process_counts_whole():
    mark = HighWater()
    hold = "block = bytearray(48 << 20); print('held', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout.readline() == b"held\n"
        peak = mark.peak()
        worker.communicate(b"\n")
    assert peak > 48 * MEGABYTE


def test_activity_of_others_is_what_is_busy_and_not_own():
    before = HostState(load=0.5, busy=100.0, stolen=1.0, own=10.0, governor=None)
    after = HostState(load=0.9, busy=106.0, stolen=1.5, own=14.0, governor="performance")
    activity = HostActivity.between(before, after, seconds=4.0)
    assert (activity.others, activity.stolen, activity.governor) == (0.5, 0.125, "performance")


def test_a_worker_s_time_is_own_time():
    spin = (
        "import time\nend = time.process_time() + 0.2\n"
        "while time.process_time() < end: pass\nprint('spun', flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", spin], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        before = HostState.now()
        assert worker.stdout.readline() == b"spun\n"
        assert HostState.now().own - before.own > 0.1
        worker.communicate(b"\n")


def test_what_the_system_does_not_tell_is_none():
    state = HostState(load=None, busy=None, stolen=None, own=0.0, governor=None)
    activity = HostActivity.between(state, state, seconds=1.0)
    assert activity.others is activity.stolen is activity.load_before is None


def test_the_cpu_has_a_name_without_its_clock():
    assert cpu_model()
    assert "@" not in cpu_model()
    assert "(R)" not in cpu_model()
    assert usable_cpus() >= 1


def test_the_state_of_this_host_can_be_read():
    assert HostState.now().own > 0
