"""What inferkit uses of pytest-benchmark that is not documented: its session's attributes, the order of its hooks.

Read from pytest-benchmark 5.3.1 (session.py, plugin.py, stats.py), the oldest release that is allowed; a test holds
every name used here against the installed one.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import Any

import pytest

PLUGIN = "pytest-benchmark"

# Options about the table that pytest-benchmark shows of its own times.
DISPLAY = ("compare", "compare_fail", "histogram", "cprofile", "verbose", "group_by", "columns", "sort")


class Entry:
    """A benchmark that pytest-benchmark made in another process, as its hook for JSON takes it (stats.Metadata)."""

    has_error = False

    def __init__(self, entry: dict[str, Any]) -> None:
        self._entry = entry

    def as_dict(self, **_: object) -> dict[str, Any]:
        """The entry as it came, with its times."""
        return self._entry


def is_on(config: pytest.Config) -> bool:
    """Whether pytest-benchmark takes part in this run: it is installed, and not switched off (-p no:benchmark)."""
    return bool(config.pluginmanager.hasplugin(PLUGIN))


def is_disabled(config: pytest.Config) -> bool:
    """Whether the user asked for runs without times (--benchmark-disable)."""
    option = config.option
    return bool(getattr(option, "benchmark_disable", False)) and not bool(getattr(option, "benchmark_enable", False))


def json_path(config: pytest.Config) -> str | None:
    """What --benchmark-json names; releases before 5.3 have opened it already."""
    path = getattr(config.option, "benchmark_json", None)
    return None if path is None else str(path if isinstance(path, str | os.PathLike) else path.name)


def keep_from_writing(config: pytest.Config, *, also_storage: bool = False) -> None:
    """Have pytest-benchmark write no --benchmark-json; with `also_storage` nothing to its own storage either."""
    session = _session(config)
    if session is not None:
        session.json = None
        if also_storage:
            session.save = session.autosave = None


def enable(benchmark: Any) -> None:
    """Have the fixture time its function: beside other workers of pytest-xdist the session disables it."""
    benchmark.disabled = False


def entries(config: pytest.Config) -> list[dict[str, Any]]:
    """What pytest-benchmark timed in this process, as its JSON has it, without what ended in an error."""
    session = _session(config)
    benchmarks = [] if session is None else session.benchmarks
    return [bench.as_dict(include_data=True) for bench in benchmarks if not bench.has_error]


def run_json(config: pytest.Config, gathered: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What pytest-benchmark would write of this run and of the entries `gathered` in other processes."""
    hook: Any = config.hook
    session = _session(config)
    benchmarks = [*(() if session is None else session.benchmarks), *map(Entry, gathered)]
    machine = hook.pytest_benchmark_generate_machine_info(config=config)
    hook.pytest_benchmark_update_machine_info(config=config, machine_info=machine)
    content: dict[str, Any] = hook.pytest_benchmark_generate_json(
        config=config,
        benchmarks=benchmarks,
        include_data=True,
        machine_info=machine,
        commit_info=commit_info(config),
    )
    hook.pytest_benchmark_update_json(config=config, benchmarks=benchmarks, output_json=content)
    return content


def commit_info(config: pytest.Config) -> dict[str, Any]:
    """The commit that pytest-benchmark writes into its JSON, as other plugins may have changed it."""
    hook: Any = config.hook
    commit: dict[str, Any] = hook.pytest_benchmark_generate_commit_info(config=config)
    hook.pytest_benchmark_update_commit_info(config=config, commit_info=commit)
    return commit


def hide_table(config: pytest.Config, cases: Collection[str]) -> None:
    """Have pytest-benchmark show no table that is about `cases` alone, unless an option about the table is given."""
    session = _session(config)
    given = " ".join(config.invocation_params.args)
    if session is None or any(f"--benchmark-{name.replace('_', '-')}" in given for name in DISPLAY):
        return
    if all(bench.extra_info.get("case") in cases for bench in session.benchmarks):
        session.groups = None


def _session(config: pytest.Config) -> Any | None:
    """pytest-benchmark's BenchmarkSession, None where it is off."""
    return config.pluginmanager.getplugin(PLUGIN)
