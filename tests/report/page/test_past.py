"""The history of a case in the report: every run a mark, change points with their commits, faults as a remark."""

import datetime
import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from inferkit.cli.main import main
from inferkit.gate.files.checked_json import parse_json
from inferkit.gate.files.run_file import run_of
from inferkit.gate.history.store import History
from inferkit.gate.history.summary import summary_of
from inferkit.report.page.past import pasts_of
from tests.gate.run_files import ours, write

pytest.importorskip("duckdb", reason="the history needs duckdb")


def run_at(number, seconds, verdict="PASS"):
    """A run on a day of its own; replicates differ by parts of a percent."""
    noise = np.random.default_rng(number).normal(0, 2e-3, 3)
    content = ours({"lenet": [seconds * (1 + part) for part in noise]})
    day = datetime.datetime(2026, 9, 1, tzinfo=datetime.UTC) + datetime.timedelta(days=number)
    content |= {"datetime": day.isoformat(), "commit_info": {"id": f"{number:040x}", "project": "nets"}}
    content["inferkit"]["outcomes"] = [{"case": "lenet", "metric": "latency", "verdict": verdict}]
    return content


@pytest.fixture
def history(tmp_path):
    found = History(tmp_path / "history.duckdb")
    contents = [run_at(number, 1e-3 if number < 12 else 1.2e-3) for number in range(24)]
    contents.append(run_at(24, 9e-3, "INVALID"))
    found.append([summary_of(run_of(parse_json(json.dumps(each).encode(), "run"))) for each in contents])
    return found


def now(seconds=1.2e-3):
    return run_of(parse_json(json.dumps(run_at(30, seconds)).encode(), "run"))


def test_every_run_is_a_mark_and_a_change_has_its_commits(history):
    pytest.importorskip("otava", reason="change points need Apache Otava")
    pasts, remark = pasts_of(history, now())
    assert remark == ""
    past = pasts["lenet"]
    root = ElementTree.fromstring(past.picture)
    spots = "".join(each.get("d") for each in root.iter("path") if each.get("class") == "spots s0").count("M")
    assert spots + len([each for each in root.iter("path") if (each.get("class") or "").startswith("dot")]) == 24
    assert len([each for each in root.iter("path") if each.get("class") == "hollow"]) == 1
    assert len([each for each in root.iter("path") if each.get("class") == "margin"]) == 1
    assert "25 runs" in [each.text for each in root.iter("text")]
    (line,) = past.changes
    assert f"{11:040x}"[:9] + ".." + f"{12:040x}"[:9] in line


def test_the_report_shows_it_and_says_where_it_cannot(history, tmp_path):
    run = write(tmp_path / "run.json", run_at(30, 1.2e-3))
    out = tmp_path / "out.html"
    assert main(["report", str(run), "--history", str(history.path), "-o", str(out)]) == 0
    assert "History on this kind of machine" in out.read_text(encoding="utf-8")
    history.path.write_bytes(b"no database" * 100)
    assert main(["report", str(run), "--history", str(history.path), "-o", str(out)]) == 0
    assert "no history is shown" in out.read_text(encoding="utf-8")


def test_of_another_machine_or_project_and_of_one_run_nothing_is_shown(history, tmp_path):
    assert pasts_of(History(tmp_path / "none.duckdb"), now()) == ({}, "")
    other = json.loads(json.dumps(run_at(30, 1e-3)))
    other["commit_info"]["project"] = "others"
    assert pasts_of(history, run_of(parse_json(json.dumps(other).encode(), "run"))) == ({}, "")
