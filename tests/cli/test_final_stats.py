"""The study's block, line for line, and rows that never interleave."""

from __future__ import annotations

import csv
import subprocess
import sys
import textwrap
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.cli.final_stats import COLUMNS, HEADERS, ROUND_COLUMNS, FinalStats, append_row, check_csv
from inferkit.errors import DataError

# The study's own sample. Its figures fix the times but for one, which the mean and the median leave a little room.
SAMPLE = """\
Final Stats (times in seconds)
------------------------------
Date: 03/08/2018
Time: 09:05:54
Host: V100
Iterations: 5
Batch size: 1
Data type: NA
Total run time: 3.3347
Stats for all iterations
------------------------
Total predictions: 5
Correct top 1 predictions: 5
Correct top 5 predictions: 5
Top 1 accuracy: 100.00%
Top 5 accuracy: 100.00%
Inference time --
Total: 0.1645
Mean: 0.0329
Min: 0.0076
Max: 0.0726
Range: 0.0649
STD: 0.0308
Median: 0.0079
Inference time/prediction: 0.0329
Images/sec: 30.40"""
SAMPLE_TIMES = (0.07255, 0.06867, 0.00786, 0.00778, 0.00762)


def stats(times: tuple[float, ...] = SAMPLE_TIMES, batch: int = 1, top1: int = 5, top5: int = 5) -> FinalStats:
    return FinalStats(datetime(2018, 3, 8, 9, 5, 54), "V100", batch, "NA", 3.33474, times, top1, top5)


def test_the_studys_sample_comes_out_line_for_line() -> None:
    assert "\n".join(stats().lines()) == SAMPLE


times_lists = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=50).map(tuple)


@given(times=times_lists, batch=st.integers(1, 256))
def test_figures_are_consistent(times: tuple[float, ...], batch: int) -> None:
    figures = stats(times, batch).figures()
    assert figures["Min"] <= figures["Median"] <= figures["Max"]
    assert figures["Min"] * (1 - 1e-12) <= figures["Mean"] <= figures["Max"] * (1 + 1e-12)
    assert figures["Range"] == figures["Max"] - figures["Min"]
    assert figures["STD"] == pytest.approx(np.std(times), rel=1e-9, abs=1e-12)
    assert figures["Images/sec"] * figures["Inference time/prediction"] == pytest.approx(1.0)


@given(times=times_lists, batch=st.integers(1, 256))
def test_a_row_says_what_the_block_says(times: tuple[float, ...], batch: int) -> None:
    one = stats(times, batch, top1=0, top5=1)
    row, lines = one.row(), one.lines()
    assert float(lines[-1].removeprefix("Images/sec: ")) == pytest.approx(float(row["Images/sec"]), abs=0.0051)
    for name in ("Total predictions", "Correct top 5 predictions", "Iterations", "Batch size", "Host", "Date"):
        assert f"{name}: {row[name]}" in lines


def test_a_header_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    for _ in range(3):
        append_row(path, stats().row())
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert rows[0] == stats().row()
    assert path.read_text().count("Date,") == 1


def test_an_empty_file_gets_the_header(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.touch()
    append_row(path, stats().row())
    assert path.read_text().splitlines()[0] == ",".join(COLUMNS)


@pytest.mark.parametrize("content", ["a,b,c\n1,2,3\n", "Date,Time\n", "\n"])
def test_a_file_with_another_header_is_left_as_it_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(content)
    for call in (lambda: append_row(path, stats().row()), lambda: check_csv(path)):
        with pytest.raises(DataError, match=r"runs\.csv"):
            call()
    assert path.read_text() == content


def test_a_file_whose_last_line_is_open_gets_its_row_on_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    append_row(path, stats().row())
    path.write_text(path.read_text().rstrip("\n"))
    append_row(path, stats().row())
    assert len(path.read_text().splitlines()) == 3


def test_rows_of_a_sweep_and_of_the_studys_tools_share_a_file_under_either_header(tmp_path: Path) -> None:
    study = stats().row()
    swept = {**study, **dict.fromkeys(ROUND_COLUMNS, "6")}
    for first, header in ((study, HEADERS[0]), (swept, HEADERS[1])):
        path = tmp_path / f"{len(header)}.csv"
        append_row(path, first)
        append_row(path, study)
        append_row(path, swept)
        check_csv(path)
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert tuple(rows[0]) == header
        assert [len(row) for row in rows] == [len(header)] * 3
        assert {row["Host"] for row in rows} == {"V100"}
    assert rows[1]["Rounds"] == ""
    assert rows[2]["Rounds"] == "6"


def test_a_row_of_other_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="columns"):
        append_row(tmp_path / "runs.csv", {"Rounds": "6", **stats().row()})
    assert not (tmp_path / "runs.csv").exists()


def test_a_host_with_a_comma_stays_one_cell(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    append_row(path, stats().row() | {"Host": 'a,"b'})
    with path.open(newline="") as file:
        assert next(csv.DictReader(file))["Host"] == 'a,"b'


def test_a_folder_that_is_not_there_is_told_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        check_csv(tmp_path / "nowhere" / "runs.csv")
    with pytest.raises(DataError, match="cannot be written"):
        check_csv(tmp_path)


def test_processes_that_append_at_once_leave_one_header_and_whole_rows(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    code = textwrap.dedent(
        """
        import sys
        from datetime import datetime
        from pathlib import Path
        from inferkit.cli.final_stats import FinalStats, append_row
        stats = FinalStats(datetime(2018, 3, 8), "h" * 5000, 1, sys.argv[2], 1.0, (1.0,), 0, 0)
        sys.stdin.readline()
        for _ in range(50):
            append_row(Path(sys.argv[1]), stats.row())
        """
    )
    words = [sys.executable, "-c", code, str(path)]
    workers = [subprocess.Popen([*words, str(number)], stdin=subprocess.PIPE) for number in range(4)]
    for worker in workers:
        worker.communicate(b"\n")
    assert all(worker.returncode == 0 for worker in workers)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 200
    assert all(row["Host"] == "h" * 5000 and row["Images/sec"] == "1.0000" for row in rows)
    assert sorted(row["Data type"] for row in rows) == sorted([*"0123"] * 50)
