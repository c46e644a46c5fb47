"""Service cases: MLPerf's scenarios declared in the matrix, gated like every other case, their logs kept."""

from __future__ import annotations

import importlib.util
import json
import math
import os

import pytest

from inferkit.cli.main import main
from inferkit.errors import UsageError
from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.metrics import ACCURACY
from inferkit.gate.outcome import Verdict
from inferkit.serve.load.loadgen import SCENARIOS
from inferkit.suite.campaign.facts import latency_details
from inferkit.suite.matrix.read import load_matrix
from tests.suite.campaign.test_campaign import QUICK, Throttled
from tests.suite.tiny_project import MATRIX, Project

SERVICES = """
[[services]]
network = "tiny"
max_batch = 4
p99 = 5
duration = 0.05
samples = 50
accuracy = true
"""
OFFLINE = "test_serving[tiny-fp32-b4-onnxruntime-offline]"
BUSY = {"INFERKIT_BUSY_HOST": "accept"}  # here it is not about times
needs_loadgen = pytest.mark.skipif(
    importlib.util.find_spec("mlperf_loadgen") is None, reason="needs pip install mlcommons-loadgen"
)


@pytest.fixture
def served(project: Project) -> Project:
    (project.folder / "bench" / "test_serving.py").write_text(
        "def test_serving(inferkit_service):\n    inferkit_service.check()\n"
    )
    project.matrix(MATRIX + SERVICES)
    return project


def measured(served: Project, which: str, name: str, *options: str) -> dict:
    """The `inferkit` key of a run over these services."""
    run = served.run("-k", f"serving and {which}", f"--benchmark-json={name}", *options, **BUSY)
    assert (served.folder / name).exists(), run.text
    assert "short (0.05 s)" in run.text
    assert "VALID" in run.text
    return json.loads((served.folder / name).read_text())["inferkit"]


def check_services(served: Project, facts: dict, replicates: int, run: str) -> None:
    for name, case in facts["cases"].items():
        assert len(case["log_medians"]) == replicates
        assert case["service"]["is_short"] is True
        assert case["service"]["top1"] == 95.0
        assert case["images_per_second"] > 0
        assert case["unit"] == ("queries" if case["mode"] in ("server", "single-stream") else "images")
        for number in range(1, replicates + 1):
            assert list((served.folder / f"{run}.loadgen" / name / str(number)).rglob("mlperf_log_summary.txt"))


@needs_loadgen
def test_services_are_measured_promoted_and_judged(served: Project):
    facts = measured(served, "(server or offline)", "run.json", "--replicates=1")
    assert len(facts["cases"]) == 2
    check_services(served, facts, 1, "run")
    server = facts["cases"]["tiny-fp32-b4-onnxruntime-server"]
    assert server["log_medians"][0] == pytest.approx(-math.log(server["replicates"][0]["service"]["rate"]))
    verdicts = {outcome["case"]: outcome["verdict"] for outcome in facts["outcomes"] if outcome["metric"] == "latency"}
    assert set(verdicts.values()) <= {"NO_BASELINE", "INVALID"}
    stored = [case for case, verdict in verdicts.items() if verdict == "NO_BASELINE"]
    folder = served.folder / "baselines"
    assert main(["baseline", "promote", str(served.folder / "run.json"), "--baseline-dir", str(folder)]) == 0
    again = measured(served, "offline", "again.json", "--replicates=1")
    for outcome in again["outcomes"]:
        if outcome["metric"] == "latency" and outcome["case"] in stored and outcome["verdict"] != "INVALID":
            assert outcome["base"] > 0


@needs_loadgen
@pytest.mark.slow
def test_every_scenario_in_three_processes(served: Project):
    facts = measured(served, "onnxruntime", "run.json", "--replicates=3")
    assert [case.split("-onnxruntime-")[1] for case in facts["cases"]] == list(SCENARIOS)
    check_services(served, facts, 3, "run")


@needs_loadgen
def test_a_network_that_is_less_accurate_than_declared_fails_as_a_service(served: Project):
    served.matrix((MATRIX + SERVICES).replace("top1 = 95.0", "top1 = 98.0"))
    run = served.run("-k", "serving and offline", "--replicates=1", **BUSY)
    assert run.verdict(OFFLINE) in ("REGRESSED", "INVALID"), run.text
    assert "98.00 % -> 95.00 %" in run.text or "INVALID" in run.text


@needs_loadgen
def test_top1_is_judged_though_the_times_of_the_process_that_told_it_were_discarded(project: Project, monkeypatch):
    """Only the first process is asked for accuracy; here the machine disturbs it, and a second one gives the times."""
    monkeypatch.setenv("INFERKIT_BUSY_HOST", "accept")
    project.matrix((MATRIX + SERVICES).replace("top1 = 95.0", "top1 = 98.0"))
    matrix = load_matrix(project.folder / "bench" / "matrix.toml")
    case = next(case for case in matrix.service_cases() if case.mode == "offline")
    with Throttled(matrix, BaselineStore(project.folder / "none"), QUICK) as campaign:
        campaign.spoiled = 1
        campaign.run([case])
    (record,) = campaign.records()
    facts = latency_details(record)
    top1 = {name: [each["service"]["top1"] for each in facts[name]] for name in ("discarded", "replicates")}
    assert top1 == {"discarded": [95.0], "replicates": [None]}
    assert facts["service"]["top1"] == 95.0
    judged = [(o.verdict, o.head, o.base) for o in record.others if o.metric == ACCURACY]
    assert judged == [(Verdict.REGRESSED, 95.0, 98.0)]


def test_without_the_load_generator_services_are_unsupported(served: Project):
    hidden = served.folder / "hidden" / "mlperf_loadgen"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('hidden')\n")
    path = os.pathsep.join(filter(None, [str(hidden.parent), os.environ.get("PYTHONPATH")]))
    run = served.run("-k", "serving and offline", "--replicates=1", PYTHONPATH=path, **BUSY)
    assert run.verdict(OFFLINE) == "UNSUPPORTED", run.text
    assert "mlcommons-loadgen" in run.text


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('network = "tiny"\nscenarios = ["burst"]', "'burst' is not supported"),
        ('network = "tinny"', "no such network; did you mean 'tiny'"),
        ("max_batch = 4", "every service names its network"),
        ('network = "tiny"\np99 = 0', "p99: must be above 0"),
        ('network = "tiny"\n[[services]]\nnetwork = "tiny"', "is declared twice"),
    ],
)
def test_services_that_make_no_sense_are_refused(project: Project, table: str, message: str):
    project.matrix(f"{MATRIX}\n[[services]]\n{table}\n")
    with pytest.raises(UsageError, match=message):
        load_matrix(project.folder / "bench" / "matrix.toml")


def test_a_service_has_a_margin_of_its_own(project: Project):
    project.matrix(MATRIX + SERVICES + "margin = 0.4\n")
    matrix = load_matrix(project.folder / "bench" / "matrix.toml")
    networks = matrix.all_cases()
    margins = {case.mode: matrix.latency_margin(case, network) for case, network in networks.items()}
    assert margins == {"latency": 0.25, **dict.fromkeys(SCENARIOS, 0.4)}
