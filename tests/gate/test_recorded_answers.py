"""What users kept is still read and judged alike: run files and baselines of schema 1, with the answers of then.

`recorded_answers/files` were written by inferkit 0.1.0 (parts of real runs on an H200 and on a CPU, two whole runs of
small suites, and pairs that show every metric), `recorded_answers/answers.json` is what it said of them. The words of
reasons and hints are free to change; verdicts, figures and exit codes are not. One verdict is another today: where the
reference network had moved, 0.1.0 said INVALID. Now the case is INCONCLUSIVE, or keeps its verdict where it changed the
other way or much more than the reference network.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from inferkit.cli.main import main

HERE = Path(__file__).parent / "recorded_answers"
FILES = HERE / "files"
RECORDED: dict[str, Any] = json.loads((HERE / "answers.json").read_text())

# Of an outcome. 0.1.0 called the first two baseline and now, and the counts baseline_replicates and replicates.
FIGURES = (
    "verdict", "base", "head", "base_replicates", "head_replicates", "change", "lower", "upper", "margin", "mde",
)  # fmt: skip

# 0.1.0 called MISSING what a run of a selection of cases had not been asked for.
NARROWED = ["made-base.json", "h200-first.json"]
COMPARED = [
    ["h200-first.json", "h200-second.json"],
    ["h200-second.json", "h200-first.json", "--margin", "1%"],
    ["--base", "h200-first.json", "h200-second.json", "--head", "h200-third.json"],
    ["cpu-suite-00.json", "cpu-suite-07.json"],
    ["cpu-suite-00.json", "cpu-suite-30.json"],
    ["cpu-suite-00.json", "cpu-suite-45.json", "--strict"],
    ["made-base.json", "made-head.json"],
    ["made-head.json", "made-base.json", "--strict"],
    ["made-base.json", "made-head.json", "--margin", "slow*=0.5", "--tolerance", "5"],
    ["made-base.json", "made-moved.json"],
    ["--base", "made-base.json", "made-base.json", "--head", "made-head.json", "made-head.json"],
    ["foreign-base.json", "foreign-head.json"],
    ["foreign-base.json", "made-head.json"],
    ["small-suite.json", "small-suite.json"],
    ["suite-with-failures.json", "small-suite.json"],
    ["made-base.json", "h200-first.json"],
]
PROMOTED = [
    ["h200-first.json"],
    ["h200-third.json"],
    ["h200-first.json", "--accept-regression", "another driver"],
    ["made-base.json"],
    ["made-worse.json"],
    ["made-worse.json", "--accept-regression", "another network"],
    ["made-head.json", "--skip-invalid"],
    ["made-base.json", "made-base.json"],
    ["small-suite.json"],
    ["suite-with-failures.json", "--accept-regression", "so it is"],
]
REMEMBERED = ["h200-third.json", "made-head.json", "small-suite.json"]


def figures(outcome: dict[str, Any]) -> dict[str, Any]:
    """The figures of an outcome that are known, and whether the machine was blamed.

    Of a case without a base only that: 0.1.0 compared two files without showing what head had measured there.
    """
    if outcome["verdict"] == "NO_BASELINE":
        return {"verdict": "NO_BASELINE"}
    known = {key: outcome[key] for key in FIGURES if outcome.get(key) is not None}
    return {**known, "blamed": outcome["machine"] is not None}


ONE_BYTE_MORE = "tails engine size"  # of 100,000 bytes


def with_new_margins(answers: Any) -> Any:
    """As if it had been said since an engine may grow by 2 %, where 0.1.0 let it grow by nothing: one byte more is no
    regression. Without the margins of engine sizes, then, and of cases that could not be measured: it showed none."""
    if isinstance(answers, list):
        return [with_new_margins(each) for each in answers if each != ONE_BYTE_MORE]
    if not isinstance(answers, dict):
        return answers
    kept = {key: with_new_margins(value) for key, value in answers.items() if key != ONE_BYTE_MORE}
    for key, value in kept.items():
        if not isinstance(value, dict):
            continue
        if key.endswith("engine size") or (value.get("verdict") == "INVALID" and not value.get("blamed")):
            value.pop("margin", None)
    return kept


def by_case(outcomes: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {f"{outcome['case']} {outcome['metric']}": figures(outcome) for outcome in outcomes}


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    """The exit code of a command and the JSON that it prints."""
    code = main([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def compared(capsys: pytest.CaptureFixture[str], words: list[str]) -> dict[str, Any]:
    code, content = answer(capsys, "compare", *words)
    return {"code": code, "outcomes": by_case(content["outcomes"])}


def promoted(capsys: pytest.CaptureFixture[str], words: list[str]) -> dict[str, Any]:
    """What promoting says; and, where it is done, what the same run says beside the baseline that it became."""
    code, content = answer(capsys, "baseline", "promote", *words)
    found = {"code": code, "promotions": [promotion(each) for each in content]}
    if code == 0:
        again, content = answer(capsys, "baseline", "promote", words[0], "--dry-run")
        found |= {"code again": again, "again": [promotion(each) for each in content]}
    return found


def promotion(content: dict[str, Any]) -> dict[str, Any]:
    refused = sorted(f"{outcome['case']} {outcome['metric']}" for outcome in content["refused"])
    lists = {key: sorted(content[key]) for key in ("removed", "kept", "left_out")}
    named = {"file": Path(content["path"]).name, "new": content["new"]}
    return {**named, "outcomes": by_case(content["outcomes"]), "refused": refused, **lists}


def remembered(capsys: pytest.CaptureFixture[str], runs: list[str]) -> dict[str, Any]:
    """Each series that a history of these runs holds: replicates' figures and verdicts, run by run."""
    assert main(["history", "--history", "h.duckdb", "--add", *runs]) == 0
    capsys.readouterr()
    code, content = answer(capsys, "history", "--history", "h.duckdb", "--metric", "all")
    points = ("date", "commit", "values", "verdict", "change", "margin", "replicates_known")
    return {
        "code": code,
        "series": {
            f"{each['case']} {each['metric']} {each['fingerprint']}": [
                {key: point[key] for key in points} for point in each["points"]
            ]
            for each in content
        },
    }


def near(found: Any, recorded: Any) -> bool:
    """Equal, floats to a part in a million: SciPy 1.11 inverts a distribution to 1.5e-9, later releases closer."""
    if isinstance(found, dict) and isinstance(recorded, dict):
        return found.keys() == recorded.keys() and all(near(found[key], recorded[key]) for key in recorded)
    if isinstance(found, list) and isinstance(recorded, list):
        return len(found) == len(recorded) and all(map(near, found, recorded))
    if isinstance(found, float) and isinstance(recorded, int | float):
        return math.isclose(found, recorded, rel_tol=1e-6, abs_tol=1e-12)
    return bool(found == recorded)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the files and the stored baselines."""
    shutil.copytree(FILES, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("words", COMPARED, ids=" ".join)
def test_compare_says_what_it_said(place, capsys, words):
    found, recorded = map(with_new_margins, (compared(capsys, words), RECORDED["compare"][" ".join(words)]))
    if words == NARROWED:
        asked = {name: each for name, each in recorded["outcomes"].items() if each["verdict"] != "MISSING"}
        recorded = {**recorded, "outcomes": asked}
    # Nor did it judge anything of a case that the machine spoiled; what a build fixes is judged since.
    spoiled = {
        name.removesuffix(" latency") for name, each in found["outcomes"].items() if each["verdict"] == "INVALID"
    }
    added = {name for name in found["outcomes"] if name not in recorded["outcomes"]}
    assert all(name.removesuffix(" engine size").removesuffix(" device memory") in spoiled for name in added)
    found["outcomes"] = {name: each for name, each in found["outcomes"].items() if name not in added}
    assert found["code"] == recorded["code"]
    assert set(found["outcomes"]) == set(recorded["outcomes"])
    different = {
        name: (figures, recorded["outcomes"][name])
        for name, figures in found["outcomes"].items()
        if not near(figures, as_today(recorded["outcomes"][name], figures))
    }
    assert different == {}


def as_today(recorded: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What 0.1.0 said, with today's verdict on what the machine may have done."""
    if not recorded.get("blamed"):
        return recorded
    way = "REGRESSED" if recorded["change"] > 0 else "IMPROVED"
    assert found["verdict"] == ("INCONCLUSIVE" if found["blamed"] else way)
    return {**recorded, "verdict": found["verdict"], "blamed": found["blamed"]}


@pytest.mark.parametrize("words", PROMOTED, ids=" ".join)
def test_promote_says_and_stores_what_it_did(place, capsys, words):
    found, recorded = map(with_new_margins, (promoted(capsys, words), RECORDED["promote"][" ".join(words)]))
    assert near(found, recorded), (found, recorded)


def test_the_history_keeps_what_it_kept(place, capsys):
    found, recorded = remembered(capsys, REMEMBERED), RECORDED["history"]
    assert found["code"] == recorded["code"]
    assert set(found["series"]) == set(recorded["series"])
    assert [name for name, points in found["series"].items() if not near(points, recorded["series"][name])] == []


def test_stored_baselines_are_shown(place, capsys):
    code, content = answer(capsys, "baseline", "show")
    stored = [json.loads(path.read_text()) for path in sorted((FILES / "baselines").glob("*.json"))]
    assert code == 0
    assert [each["cases"].keys() for each in content] == [each["cases"].keys() for each in stored]
    assert len(stored) == 2


def test_every_verdict_of_a_comparison_is_among_the_recorded_ones():
    """So the answers above say something of each."""
    verdicts = {o["verdict"] for found in RECORDED["compare"].values() for o in found["outcomes"].values()}
    assert verdicts >= {"PASS", "REGRESSED", "IMPROVED", "INCONCLUSIVE", "INVALID", "NO_BASELINE", "MISSING"}
    assert {found["code"] for found in RECORDED["compare"].values()} >= {0, 1, 10, 11, 12}
