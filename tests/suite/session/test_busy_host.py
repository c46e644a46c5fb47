"""A run on a machine that others keep busy: INVALID with the option's name, and with the option it comes to its end."""

import os
import subprocess
import sys

import pytest

from inferkit.measure.machine.busy_host import OPTION, VARIABLE

FAST = ("--replicates=1", "--min-time=0.3", "--batch-size=1", "bench/test_latency.py", "-k", "latency")


@pytest.fixture
def neighbours():
    """As many processes that do nothing but compute as this machine has CPUs."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count or 1)]
    yield
    for each in started:
        each.kill()
        each.wait()


@pytest.mark.usefixtures("neighbours")
def test_a_busy_machine_is_told_with_the_option_that_accepts_it(project):
    refused = project.run(*FAST, **{VARIABLE: ""})
    assert refused.code == 10
    assert f"; wait until the machine is quiet, or add {OPTION}" in refused.text
    accepted = project.run(*FAST, OPTION, **{VARIABLE: ""})
    assert accepted.code == 0, accepted.text
    assert "1 of 1 processes were measured on a busy machine (--accept-busy-host)" in accepted.text
