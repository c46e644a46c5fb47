"""A process of somebody else that keeps a CPU busy is named, with the CPU; what is our own is not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from inferkit.measure.machine.host import HostActivity, HostState
from inferkit.measure.machine.processes import ProcessTime, ProcessTimes, _parsed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")

# Ends by itself, should a test be killed before it ends it.
SPIN = """\
import os, time
os.sched_setaffinity(0, {%d})
print("spinning", flush=True)
while time.process_time() < 30: pass
"""
# Starts it and ends, so that the busy process is nobody's child here.
START = """\
import subprocess, sys
silent = dict(stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
spin = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, start_new_session=True, **silent)
spin.stdout.readline()
print(spin.pid)
"""


@contextmanager
def busy_process(core: int) -> Iterator[int]:
    command = [sys.executable, "-c", START, SPIN % core]
    started = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    pid = int(started.stdout)
    try:
        yield pid
    finally:
        os.kill(pid, 9)


def until_used(pid: int, seconds: float) -> None:
    """Wait until the process has had so much of a CPU, on however busy a machine."""
    deadline = time.monotonic() + 60
    while next(each.seconds for key, each in ProcessTimes.now().processes.items() if key[0] == pid) < seconds:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_busy_process_of_others_is_named_with_its_cpu() -> None:
    core = max(os.sched_getaffinity(0))
    with busy_process(core) as pid:
        before, host, began = ProcessTimes.now(), HostState.now(), time.monotonic()
        used = next(each.seconds for key, each in before.processes.items() if key[0] == pid)
        until_used(pid, used + 0.5)
        after = ProcessTimes.now()
        alone = {key: process for key, process in after.processes.items() if key[0] == pid}
        (text,) = ProcessTimes(after.at, alone).disturbers(before, None)
        assert text.startswith("python")
        assert f"(pid {pid}) used " in text
        assert text.endswith(f" of CPU {core}")
        activity = HostActivity.between(host, HostState.now(), time.monotonic() - began, before)
    assert activity.others is not None
    assert activity.others > 0.05
    assert activity.disturbers  # this one, or others that are even busier
    assert HostActivity.from_dict(activity.as_dict()) == activity


def test_own_processes_and_their_children_are_not_named() -> None:
    with subprocess.Popen([sys.executable, "-c", SPIN % 0], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        before = ProcessTimes.now()
        until_used(child.pid, 0.3)
        texts = ProcessTimes.now().disturbers(before, None)
        child.kill()
    assert not [text for text in texts if f"pid {child.pid})" in text or f"pid {os.getpid()})" in text]


def times(at: float, **seconds: float) -> ProcessTimes:
    """Processes of these names; pids count from 10**6, which no system has."""
    return ProcessTimes(at, {(10**6 + n, 5): ProcessTime(name, 1, s, 1) for n, (name, s) in enumerate(seconds.items())})


def test_the_two_that_used_most_are_named() -> None:
    before, after = times(0, a=1, b=1, c=1, d=1), times(10, a=1.5, b=10, c=6, d=8)
    assert after.disturbers(before, 2.2) == (
        "b (pid 1000001) used 0.9 of CPU 1",
        "d (pid 1000003) used 0.7 of CPU 1",
    )


def test_more_than_a_cpu_is_of_no_single_one() -> None:
    assert times(1, a=1.8).disturbers(times(0, a=0), None) == ("a (pid 1000000) used 1.8 CPUs",)


def test_what_cannot_be_seen_is_told_of_where_it_is_most() -> None:
    (text,) = times(10, a=0.2).disturbers(times(0, a=0), 1.5)
    assert text == "processes that cannot be seen here, or have ended, used 1.5 CPUs"


def test_a_busy_host_names_who_was_it() -> None:
    activity = HostActivity(1.0, 0.5, 0.5, 1.0, 0.0, None, ("python3 (pid 4242) used 0.9 of CPU 1",))
    (reason,) = activity.busy(2)
    assert reason == "other processes used 1.0 of the 2 CPUs (python3 (pid 4242) used 0.9 of CPU 1)"


def test_an_activity_of_an_older_run_file_names_nobody() -> None:
    activity = HostActivity(1.0, 0.5, 0.5, 1.0, 0.0, None)
    stored = {key: value for key, value in activity.as_dict().items() if key != "disturbers"}
    assert HostActivity.from_dict(stored) == activity


def test_a_name_with_brackets_and_blanks_is_read() -> None:
    fields = ["S", "7", *["0"] * 9, "150", "50", *["0"] * 6, "900", *["0"] * 16, "3", *["0"] * 5]
    start, process = _parsed(f"42 (a (b) c) {' '.join(fields)}\n")
    assert (start, process.name, process.parent, process.core) == (900, "a (b) c", 7, 3)
    assert process.seconds == pytest.approx(200 / os.sysconf("SC_CLK_TCK"))
