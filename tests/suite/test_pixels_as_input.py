"""A project whose matrix feeds its network pixels: the same cases and answers, an engine made of something else."""

from __future__ import annotations

import importlib.util

import pytest

from tests.suite.campaign.test_services import BUSY, SERVICES
from tests.suite.tiny_project import MATRIX, Project

PRECISIONS = 'precisions = ["fp32", "int8"]\n'
UINT8 = "uint8_input = true\n"


def run_of(project: Project, *networks: str) -> dict:
    """The `inferkit` key of a run with these lines added to the network's table."""
    project.matrix(MATRIX + "".join(networks))
    run = project.run("--replicates=1", "--benchmark-json=run.json", "--report=page.html", **BUSY)
    assert run.code == 0, run.text
    assert (" uint8 " in run.text) == (UINT8 in networks)
    facts: dict = run.json["inferkit"]
    return facts


def test_the_entry_changes_the_engine_and_no_answer(project: Project) -> None:
    on_host, in_engine = run_of(project, PRECISIONS), run_of(project, PRECISIONS, UINT8)
    assert list(in_engine["cases"]) == list(on_host["cases"])  # ids stay
    for name, case in on_host["cases"].items():
        other = in_engine["cases"][name]
        assert (case.get("input"), other["input"]) == (None, "uint8")
        assert case["network"] != other["network"]
        assert case["settings"] == other["settings"]
    assert list(in_engine["accuracy"]) == list(on_host["accuracy"])
    for name, accuracy in on_host["accuracy"].items():
        assert accuracy["top1_bits"] == in_engine["accuracy"][name]["top1_bits"]
        assert in_engine["accuracy"][name]["input"] == "uint8"
    assert "uint8" in (project.folder / "page.html").read_text(encoding="utf-8")


@pytest.mark.skipif(importlib.util.find_spec("mlperf_loadgen") is None, reason="needs pip install mlcommons-loadgen")
def test_a_service_is_sent_pixels_and_answers_the_same(project: Project) -> None:
    (project.folder / "bench" / "test_serving.py").write_text(
        "def test_serving(inferkit_service):\n    inferkit_service.check()\n"
    )
    project.matrix(MATRIX + UINT8 + SERVICES)
    run = project.run("-k", "serving and offline", "--replicates=1", "--benchmark-json=run.json", **BUSY)
    (case,) = run.json["inferkit"]["cases"].values()
    assert case["input"] == "uint8"
    assert case["service"]["top1"] == 95.0
