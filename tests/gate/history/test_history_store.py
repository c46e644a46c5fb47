"""The history's file: what was committed stays, whoever writes at the same time and whatever kills them."""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inferkit.errors import HistoryError
from inferkit.gate.files.run_file import read_run
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.history.store import History
from inferkit.gate.history.summary import summary_of
from inferkit.gate.metrics import ACCURACY, BUILD_TIME, HOST_MEMORY, LATENCY, TOP5
from tests.gate.run_files import MACHINE, foreign, ours, write

TIMES = [0.0100, 0.0101, 0.0102]


def summary(folder: Path, number: int = 0, **more):
    """A run of the `number`-th minute."""
    judged = {"case": "a", "metric": "latency", "verdict": "PASS", "change": 0.01, "margin": 0.25, "reason": "fine"}
    content = ours({"a": TIMES}, accuracy={"x": np.ones(50, bool)}, version="0.1.0", **{"outcomes": [judged], **more})
    content["datetime"] = f"2026-11-22T{10 + number // 60:02}:{number % 60:02}:00+00:00"
    content["commit_info"] = {"id": f"{number:040x}", "dirty": False, "project": "mine", "branch": "main"}
    return summary_of(read_run(write(folder / f"run-{number}.json", content)))


# Appends runs until it is ended, and tells each one once it is committed.
WRITER = """
import sys
from pathlib import Path
from inferkit.gate.history.store import History
from tests.gate.history.test_history_store import summary
folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
folder.mkdir(exist_ok=True)
for number in range(first, first + count):
    (run,) = History(sys.argv[4]).append([summary(folder, number)])
    print(run.run_id, flush=True)
"""


def writer(path: Path, first: int, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path.parent / f"runs-{first}"), str(first), str(count), str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_what_is_appended_is_read_back(tmp_path):
    history = History(tmp_path / "new" / "history.duckdb")
    assert (history.runs(), history.series(), history.fingerprints()) == ([], [], {})
    history.append([summary(tmp_path, 2), summary(tmp_path, 1)])
    runs = history.runs()
    assert [run.commit[-1] for run in runs] == ["1", "2"]  # by date, not as they were appended
    assert (runs[0].project, runs[0].branch, runs[0].version, runs[0].source) == ("mine", "main", "0.1.0", "run-1.json")
    assert runs[0].date.isoformat() == "2026-11-22T10:01:00+00:00"
    (series,) = history.series("a", metric=LATENCY)
    assert [point.run for point in series.points] == runs
    first = series.points[0]
    assert first.values == pytest.approx(TIMES, rel=1e-12)
    assert series.points[0].centre == pytest.approx(0.0101)
    assert (first.verdict, first.change, first.margin, first.reason) == ("PASS", 0.01, 0.25, "fine")
    assert {each.metric for each in history.series("x")} == {ACCURACY, TOP5}
    assert history.series("a", metric=BUILD_TIME)[0].points[0].values == (0.1, 0.1, 0.1)
    assert history.fingerprints() == {MACHINE.slug: MACHINE}
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["history.duckdb", "history.duckdb.lock"]


def test_what_spoiled_a_latency_spoiled_the_other_times_and_not_the_memory(tmp_path):
    for machine, usable in ((None, False), (0.3, True)):
        invalid = {"case": "a", "metric": "latency", "verdict": "INVALID", "reason": "throttled", "machine": machine}
        content = ours({"a": TIMES}, outcomes=[invalid])
        content["inferkit"]["cases"]["a"]["memories"] = [1 << 20]
        history = History(tmp_path / f"{machine}.duckdb")
        history.append([summary_of(read_run(write(tmp_path / "run.json", content)))])
        found = {series.metric: bool(series.usable) for series in history.series()}
        assert found == {LATENCY: usable, BUILD_TIME: usable, HOST_MEMORY: True}


def test_the_newest_usable_points_of_the_series_that_a_run_has(tmp_path):
    """Asked of the database, so that a long history need not be read; what is usable is `Point.usable` there too."""
    spoiled = {"case": "a", "metric": "latency", "verdict": "INVALID"}
    unlike = Fingerprint.of({"cpu": "another"})
    history = History(tmp_path / "history.duckdb")
    history.append(
        [
            *(summary(tmp_path, number) for number in range(4)),
            summary(tmp_path, 4, outcomes=[{**spoiled, "machine": 0.3}]),
            summary(tmp_path, 5, outcomes=[spoiled]),
            *(summary(tmp_path, number, machine=unlike) for number in range(6, 9)),
            summary(tmp_path, 9),
        ]
    )
    runs = [run.run_id for run in history.runs()]

    def asked(**more):
        found = history.series(metric=LATENCY, **more)
        return {each.fingerprint: [runs.index(point.run.run_id) for point in each.points] for each in found}

    assert asked(last=4) == {MACHINE.slug: [2, 3, 4, 9], unlike.slug: [6, 7, 8]}
    assert asked(last=2, like=runs[9]) == {MACHINE.slug: [4, 9]}
    assert asked(last=2, like=runs[9], runs=runs[:3]) == {MACHINE.slug: [1, 2]}
    assert asked(last=2, like=runs[9], runs=[]) == {}
    assert asked(like=runs[9]) == {MACHINE.slug: [0, 1, 2, 3, 4, 5, 9]}
    for each in history.series(metric=LATENCY):
        assert asked(last=100)[each.fingerprint] == [runs.index(point.run.run_id) for point in each.usable]


def test_the_same_run_is_remembered_once(tmp_path):
    history = History(tmp_path / "history.duckdb")
    one = summary(tmp_path)
    assert history.append([one, one]) == [one.run]
    assert history.append([one]) == []
    assert len(history.series("a", metric=LATENCY)[0].points) == 1


def test_runs_at_the_same_time_all_get_in(tmp_path):
    path = tmp_path / "history.duckdb"
    writers = [writer(path, 100 * number, 6) for number in range(3)]
    told = [line for each in writers for line in each.communicate(timeout=120)[0].split()]
    assert [each.returncode for each in writers] == [0, 0, 0]
    assert len(told) == 18
    assert {run.run_id for run in History(path).runs()} == set(told)


def test_nothing_committed_is_lost_when_writers_are_killed(tmp_path):
    """Killed at random moments, also in mid-transaction: every run that was told is there, and every run is whole."""
    path = tmp_path / "history.duckdb"
    chance = random.Random(7)
    told: set[str] = set()
    for attempt in range(6):
        process = writer(path, 1 + 100 * attempt, 100)
        assert process.stdout is not None
        for _ in range(chance.randint(1, 8)):
            told.add(process.stdout.readline().strip())
        os.kill(process.pid, signal.SIGKILL)
        told |= set(process.communicate(timeout=60)[0].split())
    history = History(path)
    there = {run.run_id for run in history.runs()}
    assert told <= there
    assert len(there) <= len(told) + 6  # a run may be committed and its writer killed before it tells
    for series in history.series():
        assert {point.run.run_id for point in series.points} == there
    history.append([summary(tmp_path, 99)])


def test_a_killed_append_leaves_no_part_of_a_run(tmp_path):
    path = tmp_path / "history.duckdb"
    History(path).append([summary(tmp_path, 0)])
    code = """
import os, signal, sys
from pathlib import Path
from inferkit.gate.history import store
from tests.gate.history.test_history_store import summary
insert = store._insert
def killed(database, one):
    insert(database, one)
    os.kill(os.getpid(), signal.SIGKILL)
store._insert = killed
store.History(sys.argv[1]).append([summary(Path(sys.argv[2]), 1)])
"""
    done = subprocess.run([sys.executable, "-c", code, str(path), str(tmp_path)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    history = History(path)
    assert len(history.runs()) == 1
    assert all(len(series.points) == 1 for series in history.series())


def test_a_file_that_is_no_history_is_left_alone(tmp_path):
    path = tmp_path / "history.duckdb"
    path.write_bytes(b"something else" * 1000)
    for use in (lambda h: h.runs(), lambda h: h.append([summary(tmp_path)])):
        with pytest.raises(HistoryError, match=r"history\.duckdb: the history is damaged or no history .* --add"):
            use(History(path))
    assert path.read_bytes() == b"something else" * 1000


def test_a_truncated_file_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "history.duckdb"
    History(path).append([summary(tmp_path)])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HistoryError, match="damaged"):
        History(path).series()
    assert path.read_bytes() == whole[: len(whole) // 2]


@pytest.mark.parametrize("schema, said", [(99, "newer inferkit .schema 99."), (None, "schema None")])
def test_a_newer_history_is_refused(tmp_path, schema, said):
    import duckdb

    path = tmp_path / "history.duckdb"
    History(path).append([summary(tmp_path)])
    with duckdb.connect(str(path)) as database:
        database.execute("DELETE FROM about")
        if schema:
            database.execute(f"INSERT INTO about VALUES ({schema})")
    with pytest.raises(HistoryError, match=said):
        History(path).append([summary(tmp_path, 1)])


def test_another_database_is_not_written_into(tmp_path):
    import duckdb

    path = tmp_path / "other.duckdb"
    with duckdb.connect(str(path)) as database:
        database.execute("CREATE TABLE sales (amount INTEGER)")
    with pytest.raises(HistoryError, match="is a database of something else"):
        History(path).append([summary(tmp_path)])
    with duckdb.connect(str(path)) as database:
        assert database.execute("SELECT count(*) FROM duckdb_tables()").fetchone() == (1,)


def test_a_file_that_another_program_holds_is_told(tmp_path):
    path = tmp_path / "history.duckdb"
    History(path).append([summary(tmp_path)])
    code = "import duckdb, sys; d = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(HistoryError, match="another program has the history open"):
            History(path).runs()
    finally:
        holder.communicate("", timeout=30)
    assert len(History(path).runs()) == 1


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HistoryError, match=r"cannot be written: .*--no-history"):
        History(tmp_path / "file" / "history.duckdb").append([summary(tmp_path)])


@pytest.mark.parametrize(
    "change, said",
    [
        ({"datetime": "yesterday"}, "no date that could be read"),
        ({"datetime": None}, "no date that could be read"),
    ],
)
def test_a_run_without_a_date_cannot_be_put_in_order(tmp_path, change, said):
    with pytest.raises(HistoryError, match=said):
        summary_of(read_run(write(tmp_path / "run.json", {**ours({"a": TIMES}), **change})))


def test_runs_that_say_nothing_are_refused(tmp_path):
    with pytest.raises(HistoryError, match="--benchmark-disable"):
        summary(tmp_path, smoke=True)
    with pytest.raises(HistoryError, match="no figure"):
        summary_of(read_run(write(tmp_path / "run.json", ours({}))))


def test_without_duckdb_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(HistoryError, match="pip install duckdb, or run with --no-history"):
        History(tmp_path / "h.duckdb").append([summary(tmp_path)])


def test_a_file_of_any_benchmark_can_be_remembered(tmp_path):
    content = foreign({"test_x.py::test_it": 0.02})
    content["commit_info"] = {"id": "unversioned", "dirty": True}
    kept = summary_of(read_run(write(tmp_path / "run.json", content)))
    (found,) = kept.points
    assert (found.measured.case, found.metric, found.replicates_known) == ("test_x.py::test_it", LATENCY, False)
    assert found.values == pytest.approx((0.02,))
    assert (kept.run.commit, kept.run.dirty) == ("", True)
    assert math.isclose(History(tmp_path / "h.duckdb").append([kept])[0].date.timestamp(), 1795341600)
