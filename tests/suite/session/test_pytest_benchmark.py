"""What inferkit uses of pytest-benchmark is there in the installed one, and does what it is used for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from pytest_benchmark.stats import Metadata

from inferkit.suite.session import pytest_benchmark

CONFTEST = """\
import json
import pytest
from inferkit.suite.session import pytest_benchmark

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session):
    config = session.config
    gathered = [{**entry, "name": "gathered"} for entry in pytest_benchmark.entries(config)]
    facts = {"on": pytest_benchmark.is_on(config), "disabled": pytest_benchmark.is_disabled(config)}
    facts["path"] = pytest_benchmark.json_path(config)
    if facts["on"] and not any((facts["disabled"], facts["path"])):
        facts["run"] = pytest_benchmark.run_json(config, gathered)
    with open("ours.json", "w") as file:
        json.dump(facts, file, default=str)
    pytest_benchmark.keep_from_writing(config, also_storage=config.rootpath.joinpath("nothing").exists())
    return (yield)

@pytest.hookimpl(tryfirst=True)
def pytest_terminal_summary(config):
    pytest_benchmark.hide_table(config, ["ours"])
"""

TESTS = """\
def test_ours(benchmark):
    benchmark.extra_info["case"] = "ours"
    benchmark.pedantic(len, args=((),), rounds=3)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    (tmp_path / "test_ours.py").write_text(TESTS)
    return tmp_path


def run(folder: Path, *options: str) -> str:
    # pytest-benchmark is off in a worker of pytest-xdist, which it knows by the environment.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", *options]
    done = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_names_that_are_used_exist(pytestconfig: pytest.Config) -> None:
    session = pytestconfig.pluginmanager.getplugin(pytest_benchmark.PLUGIN)
    assert [name for name in ("json", "save", "autosave", "benchmarks", "groups") if not hasattr(session, name)] == []
    assert [name for name in ("as_dict", "has_error") if not hasattr(Metadata, name)] == []


def test_its_entries_and_those_of_other_processes_become_one_json_of_its_form(folder: Path) -> None:
    run(folder)
    facts = json.loads((folder / "ours.json").read_text())
    assert (facts["on"], facts["disabled"], facts["path"]) == (True, False, None)
    content = facts["run"]
    assert {"machine_info", "commit_info", "datetime", "version"} <= content.keys()
    assert [entry["name"] for entry in content["benchmarks"]] == ["test_ours", "gathered"]
    assert [len(entry["stats"]["data"]) for entry in content["benchmarks"]] == [3, 3]


def test_what_it_would_have_written_is_not_written(folder: Path) -> None:
    run(folder, "--benchmark-json", "theirs.json", "--benchmark-autosave")
    assert json.loads((folder / "ours.json").read_text())["path"] == "theirs.json"
    assert not (folder / "theirs.json").exists()
    assert list((folder / ".benchmarks").rglob("*.json"))
    (folder / "nothing").touch()
    for stored in (folder / ".benchmarks").rglob("*.json"):
        stored.unlink()
    run(folder, "--benchmark-json", "theirs.json", "--benchmark-autosave")
    assert not list(folder.rglob("theirs.json")) + list((folder / ".benchmarks").rglob("*.json"))


def test_its_table_is_hidden_where_it_is_about_our_cases_alone_and_nobody_asked_for_it(folder: Path) -> None:
    table = "Rounds  Iterations"
    asked = ("--benchmark-json", "theirs.json")
    assert table not in run(folder, *asked)
    assert table in run(folder, "--benchmark-sort=name", *asked)
    (folder / "test_theirs.py").write_text("def test_theirs(benchmark):\n    benchmark(len, ())\n")
    assert table in run(folder, *asked)


def test_without_it_nothing_is_asked_of_it(folder: Path) -> None:
    (folder / "test_ours.py").write_text("def test_plain():\n    pass\n")
    run(folder, "-p", "no:benchmark")
    assert json.loads((folder / "ours.json").read_text()) == {"on": False, "disabled": False, "path": None}


def test_its_switches_are_read_as_it_reads_them(folder: Path) -> None:
    run(folder, "--benchmark-disable")
    assert json.loads((folder / "ours.json").read_text())["disabled"]
    run(folder, "--benchmark-disable", "--benchmark-enable")
    assert not json.loads((folder / "ours.json").read_text())["disabled"]


@pytest.mark.parametrize("name", pytest_benchmark.DISPLAY)
def test_every_option_about_its_table_is_one_of_its_own(name: str, pytestconfig: pytest.Config) -> None:
    assert hasattr(pytestconfig.option, f"benchmark_{name}")


def test_a_file_that_an_older_release_has_opened_already_is_known_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with path.open("wb") as opened:
        for value in (opened, str(path)):
            config = SimpleNamespace(option=SimpleNamespace(benchmark_json=value))
            assert pytest_benchmark.json_path(config) == str(path)  # type: ignore[arg-type]
    assert pytest_benchmark.json_path(SimpleNamespace(option=SimpleNamespace())) is None  # type: ignore[arg-type]
