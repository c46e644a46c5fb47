"""A baseline that creeps is named from git alone: five promoted steps of +1 % at a margin of 2 %."""

import pytest

from inferkit.cli.main import main
from inferkit.gate.history.creep import BaselineLog, creep
from inferkit.gate.outcome import Verdict
from inferkit.suite.baseline_log import baseline_log
from tests.gate.run_files import MACHINE, ours, stored, write
from tests.git_folder import git

NOISE = (0.992, 1.0, 1.008)  # a step of 1 % is not shown to be one with three of these


def run_file(folder, step, *, percent=1.0):
    times = {"a": [0.01 * (1 + percent / 100) ** step * each for each in NOISE], "b": [0.02 * each for each in NOISE]}
    return str(write(folder / "run.json", ours(times, margin=0.02)))


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository whose release v1.2 has a baseline; the runs are not in it."""
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("run.json\nhistory.duckdb\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INFERKIT_CACHE", str(tmp_path / "cache"))
    promote(tmp_path, 0)
    git(tmp_path, "tag", "v1.2")
    return tmp_path


def promote(folder, step, *words, percent=1.0):
    code = main(["baseline", "promote", run_file(folder, step, percent=percent), *words])
    if code == 0:
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", f"step {step}")
    return code


def test_five_promoted_steps_of_one_percent_are_a_gradual_regression(repository, capsys):
    for step in range(1, 5):
        assert promote(repository, step) == 0, "each is within the margin"
    capsys.readouterr()
    assert promote(repository, 5) == 0
    printed = capsys.readouterr().out
    (line,) = (line for line in printed.splitlines() if line.startswith("gradual regression"))
    assert "a latency since v1.2 (5 accepted steps): REGRESSED: 10 ms -> 10.51 ms, +5.1% (" in line
    assert "margin 2 %" in line


def test_the_history_command_needs_no_history_for_it(repository, capsys):
    for step in range(1, 6):
        promote(repository, step, percent=2.0)
    capsys.readouterr()
    assert main(["history", "--ratchet"]) == 1
    printed = capsys.readouterr().out
    assert "a latency since v1.2 (5 accepted steps): REGRESSED" in printed
    assert "b latency since v1.2 (5 accepted steps): REGRESSED" not in printed


def test_a_release_starts_it_anew(repository):
    for step in range(1, 6):
        promote(repository, step)
    git(repository, "tag", "v1.3")
    (path,) = (repository / "baselines").glob("*.json")
    log = baseline_log(path)
    assert (log.since, len(log.versions)) == ("v1.3", 1)
    assert creep(log, log.versions[0]) == []


def test_without_a_release_the_oldest_version_is_the_base_and_without_git_there_is_none(repository, tmp_path):
    git(repository, "tag", "-d", "v1.2")
    promote(repository, 1)
    (path,) = (repository / "baselines").glob("*.json")
    log = baseline_log(path)
    assert len(log.versions) == 2
    assert len(log.since.split("-")) == 3, "the day of the oldest"
    assert baseline_log(repository / "nowhere" / "x.json") is None


def version(log_median):
    return stored({"a": [log_median + 0.001 * offset for offset in (-1, 0, 1)]})


def test_one_accepted_step_is_what_somebody_accepted():
    log = BaselineLog("v1", (version(-4.0), version(-3.9)))
    assert creep(log, version(-3.9)) == []
    (outcome,) = creep(log, version(-3.85), promoting=True)
    assert (outcome.verdict, outcome.metric) == (Verdict.REGRESSED, "latency since v1 (2 accepted steps)")


def test_steps_up_and_down_again_are_none():
    log = BaselineLog("v1", tuple(map(version, (-4.0, -3.98, -4.0, -3.98, -4.0))))
    (outcome,) = creep(log, version(-4.0))
    assert outcome.verdict is Verdict.PASS
    assert MACHINE.slug in log.versions[0].fingerprints
