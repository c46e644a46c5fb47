"""Measuring on a host that others use too: invalid, unless the user accepts it by an option or a variable."""

from __future__ import annotations

import os

# The option sets the variable, which measuring processes inherit.
OPTION, VARIABLE = "--accept-busy-host", "INFERKIT_BUSY_HOST"
HELP = "measure although other processes use the CPUs, where times would be INVALID: they say little then"
OTHERS, HYPERVISOR = "other processes used", "the hypervisor took"
UNSTEADY = "the machine is not steady enough for the latency bound"


def accept() -> None:
    """What the option does: this process, and those that it starts, measure on a busy host too."""
    os.environ[VARIABLE] = "accept"


def is_accepted() -> bool:
    """Whether a busy host is accepted."""
    return os.environ.get(VARIABLE) == "accept"


def hint_for(reason: str) -> str:
    """What the user can do where a measurement is invalid for this reason; empty where it is not the machine's."""
    if UNSTEADY in reason:
        return "wait until the machine is quiet, or state a longer `duration` or a larger `p99`"
    return f"wait until the machine is quiet, or add {OPTION}" if OTHERS in reason or HYPERVISOR in reason else ""
