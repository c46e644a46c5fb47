"""`inferkit history`: runs' files are taken in, shown as a course, and compared with a release; machines get JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from inferkit.cli.main import main
from tests.cli.called import exit_code
from tests.gate.run_files import ours, write
from tests.git_folder import git

CASE = "lenet-fp32-b1-onnxruntime"
SLOW = "lenet-fp32-b8-onnxruntime"


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A repository of twelve commits, the second of which is a release, and a run's file of each commit."""
    folder = tmp_path_factory.mktemp("repository")
    git(folder, "init", "-q")
    chance = np.random.default_rng(1)
    for number in range(12):
        git(folder, "commit", "-q", "--allow-empty", "-m", str(number))
        if number == 1:
            git(folder, "tag", "v1.0")
        times = {
            CASE: (0.001 * np.exp(chance.normal(0, 0.002, 3))).tolist(),
            SLOW: (0.008 * np.exp(chance.normal(0, 0.002, 3)) * 1.01 ** max(number - 1, 0)).tolist(),
        }
        passed = [{"case": case, "metric": "latency", "verdict": "PASS"} for case in times]
        content = ours(times, margin=0.05, outcomes=passed)
        content["datetime"] = f"2026-11-{number + 1:02}T10:00:00+00:00"
        commit = git(folder, "rev-parse", "HEAD")
        content["commit_info"] = {"id": commit, "dirty": False, "project": "mine", "branch": "main"}
        write(folder / f"run-{number:02}.json", content)
    return folder


@pytest.fixture
def kept(repository, tmp_path, monkeypatch, capsys):
    """The history of those runs."""
    monkeypatch.chdir(repository)
    path = tmp_path / "history.duckdb"
    assert main(["history", "--history", str(path), "--add", *map(str, sorted(repository.glob("*.json")))]) == 0
    assert capsys.readouterr().out == f"{path}: 12 runs added\n"
    return str(path)


def test_the_runs_of_files_are_taken_once(kept, repository, capsys):
    assert main(["history", "--history", kept, "--add", str(repository / "run-03.json")]) == 0
    assert capsys.readouterr().out == f"{kept}: 0 runs added, 1 were already stored\n"


def test_one_bad_file_and_none_is_taken(kept, repository, tmp_path, capsys):
    (tmp_path / "bad.json").write_text("{")
    new = json.loads((repository / "run-03.json").read_text()) | {"datetime": "2026-11-20T00:00:00+00:00"}
    good = write(tmp_path / "good.json", new)
    assert main(["history", "--history", kept, "--add", str(good), str(tmp_path / "bad.json")]) == 2
    assert "bad.json: is damaged" in capsys.readouterr().err
    main(["history", "--history", kept, "--json"])
    assert {len(series["points"]) for series in json.loads(capsys.readouterr().out)} == {12}


def test_every_case_has_a_line_with_its_trend(kept, capsys):
    assert main(["history", "--history", kept]) == 0
    told = capsys.readouterr().out.splitlines()
    flat, rising = (next(line for line in told if line.startswith(f"{case} ")) for case in (CASE, SLOW))
    assert "▁▁" in rising
    assert rising.rstrip().endswith("█   PASS")
    assert "█" not in flat


def test_a_case_is_shown_run_by_run(kept, repository, capsys):
    assert main(["history", CASE, "--history", kept, "--last", "3"]) == 0
    told = capsys.readouterr().out.splitlines()
    rows = [line for line in told if line.startswith("2026-11-")]
    assert [row.split()[0] for row in rows] == ["2026-11-10", "2026-11-11", "2026-11-12"]
    assert git(repository, "rev-parse", "HEAD")[:9] in rows[-1]
    assert "PASS" in rows[-1]


def test_ten_slips_since_the_release_are_found(kept, capsys):
    assert main(["history", "--history", kept, "--ratchet"]) == 1
    told = capsys.readouterr().out
    assert f"{SLOW} latency since v1.0: REGRESSED: " in told
    assert f"{CASE} latency since v1.0: REGRESSED" not in told
    assert "the history has no run that is 30 days older" in told
    assert main(["history", CASE, "--history", kept, "--ratchet", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [outcome["verdict"] for outcome in found["outcomes"]] == ["PASS"]


def test_a_history_that_cannot_be_read_is_no_slip(tmp_path, capsys):
    (tmp_path / "damaged.duckdb").write_bytes(b"no database" * 1000)
    assert main(["history", "--ratchet", "--history", str(tmp_path / "damaged.duckdb")]) == 2
    assert "damaged.duckdb" in capsys.readouterr().err


def test_a_release_can_be_named(kept, repository, capsys):
    git(repository, "tag", "-f", "late", "HEAD~1")
    try:
        assert main(["history", "--history", kept, "--ratchet", "--release", "late"]) == 0
        assert "since late" in capsys.readouterr().out
    finally:
        git(repository, "tag", "-d", "late")
    assert main(["history", "--history", kept, "--ratchet", "--release", "v9"]) == 2
    assert "'v9' is no release" in capsys.readouterr().err


def test_where_no_release_can_be_reached_it_is_told(kept, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["history", "--history", kept, "--ratchet"]) == 12
    assert "no tag can be reached" in capsys.readouterr().out


def test_json_holds_points_and_change_points(kept, capsys):
    assert main(["history", "--history", kept, "--json", "--metric", "all"]) == 0
    series = {(each["case"], each["metric"]): each for each in json.loads(capsys.readouterr().out)}
    assert set(series) == {(case, metric) for case in (CASE, SLOW) for metric in ("latency", "build time")}
    point = series[CASE, "latency"]["points"][-1]
    assert point["date"] == "2026-11-12T10:00:00+00:00"
    assert len(point["values"]) == 3
    assert series[CASE, "latency"]["change_points"] == []


@pytest.mark.parametrize(
    "words, code, said",
    [
        (["nosuch"], 12, "nosuch has no --metric latency; the metrics are latency, build time"),
        (["--last", "0"], 2, "--last: '0' is not a whole number of at least 1"),
        (["--release", "v1.0"], 2, "--release needs --ratchet"),
        (["--project", "other"], 12, "no runs yet"),
    ],
)
def test_what_makes_no_sense_is_told(kept, capsys, words, code, said):
    assert exit_code(["history", "--history", kept, *words]) == code
    output = capsys.readouterr()
    assert said in output.out + output.err
