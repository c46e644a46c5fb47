"""A suite on a backend whose builder picks kernels by chance: three builds a case, and their spread in the verdict."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.backends.distributions import distribution
from tests.suite.tiny_project import MATRIX, Project, make_project

STAND_IN = Path(__file__).parents[1] / "backends" / "timed_backend.py"
CASE = "tiny-fp32-b4-timed"
TEST = f"test_latency[{CASE}]"


@pytest.fixture
def project(tmp_path: Path, tiny_files: Path) -> Project:
    made = make_project(tmp_path / "project", tiny_files)
    matrix = MATRIX.replace("[1, 4]", "[4]").replace("[suite]\n", '[suite]\nconfirm = "never"\n')
    # Three engines of each run, which differ by 2 %, decide about half of it.
    made.matrix(f'{matrix}backends = ["timed"]\nlatency_margin = 0.25\n')
    return made


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    installed = distribution(tmp_path / "site", "timed", {"timed": "timed:BACKEND"}, timed=STAND_IN.read_text())
    path = os.pathsep.join([str(installed), os.environ.get("PYTHONPATH", "")])
    return {"PYTHONPATH": path, "INFERKIT_CACHE": str(tmp_path / "cache")}


@pytest.mark.slow  # four suites in processes of their own
def test_the_spread_of_builds_is_in_the_verdict_and_hides_no_regression(project: Project, environment) -> None:
    first = project.run("bench/test_latency.py", "--builds=3", "--benchmark-json=run.json", **environment)
    assert first.verdict(TEST) == "NO_BASELINE", first.text
    case = first.json["inferkit"]["cases"][CASE]
    assert sorted(set(case["builds"])) == [0, 1, 2]
    assert (len(case["log_medians"]), case["build_spread"]["builds"]) == (6, 3)
    assert case["rebuilt"] is True
    promoted = project.inferkit("baseline", "promote", "run.json")
    assert promoted.returncode == 0, promoted.stderr

    again = project.run("bench/test_latency.py", "--benchmark-json=run.json", **environment)
    assert again.verdict(TEST) == "PASS", again.text
    case = again.json["inferkit"]["cases"][CASE]
    assert sorted(set(case["builds"])) == [0, 1, 2]  # nobody asked: the baseline has several
    assert case["build_spread"]["between"] < 0.03  # kernels are 0, 2 or 4 % slower
    # All kernels are slower by half: no spread of 2 % explains that.
    slower = {**environment, "TIMED_KERNELS": "0.50 0.52 0.54"}
    found = project.run("bench/test_latency.py", "--benchmark-json=run.json", **slower)
    assert found.verdict(TEST) == "REGRESSED", found.text
    assert found.code == 1
    # A suspect is built further, so there may be up to six.
    assert re.search(r"[3-6] builds: ±.* between builds, ±.* between processes of one", found.text)
    assert "the baseline has several builds" in found.text
