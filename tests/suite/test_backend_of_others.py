"""A suite on a backend of another distribution: its own margin, fingerprint and reference, beside a built-in one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backends.distributions import distribution, from_page
from tests.suite.tiny_project import MATRIX, Project, Run, make_project

MINE = """
from inferkit.backends.base import EngineInfo, Facts, ReferenceNetwork
from inferkit.backends.layer_table import LayerRow
from numpy_backend import NumpyBackend, NumpyEngine, NumpySession

class Session(NumpySession):
    def layer_times(self, runs):
        return (LayerRow("everything", "numpy", seconds=1e-3, origins=("everything",)),)

class Engine(NumpyEngine):
    def __init__(self, network, max_batch):
        self.network, self.info = network, EngineInfo("mine", network.precision, max_batch, build_seconds=0.5)
    def session(self):
        return Session(self)

class Mine(NumpyBackend):
    name = "mine"
    facts = Facts(latency_margin=0.7, reference=ReferenceNetwork("lenet"))
    def build(self, network, max_batch):
        return Engine(network, max_batch)
    def fingerprint_parts(self, build, session):
        return {"blas": "none"}

BACKEND = Mine()
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, tiny_files: Path) -> tuple[Project, Run, dict[str, str]]:
    """A run on a built-in backend, one of others, and one of others that cannot be imported."""
    folder = tmp_path_factory.mktemp("others")
    installed = distribution(from_page(folder / "site"), "mine", {"mine": "mine:BACKEND"}, mine=MINE)
    distribution(installed, "broken", {"broken": "broken:BACKEND"}, broken="import no_such_library")
    project = make_project(folder / "project", tiny_files)
    matrix = MATRIX.replace("reference = false\n", "").replace("batch_sizes = [1, 4]\n", "batch_sizes = [2]\n")
    project.matrix(f'{matrix}backends = ["onnxruntime", "mine", "broken"]\n')
    environment = {"PYTHONPATH": os.pathsep.join([str(installed), os.environ.get("PYTHONPATH", "")])}
    return project, project.run("--benchmark-json=run.json", **environment), environment


def test_its_cases_are_measured_and_judged_with_the_others(ran) -> None:
    _, run, _ = ran
    assert run.code == 0, run.text
    for name in ("onnxruntime", "mine"):
        assert run.verdict(f"test_latency[tiny-fp32-b2-{name}]") == "NO_BASELINE"
        assert run.verdict(f"test_accuracy[tiny-fp32-{name}]") == "PASS"


def test_margin_and_fingerprint_are_those_that_it_states(ran) -> None:
    _, run, _ = ran
    ours = run.json["inferkit"]
    cases = {case["backend"]: case for case in ours["cases"].values()}
    assert {name: case["margin"] for name, case in cases.items()} == {"onnxruntime": 0.25, "mine": 0.7}
    prints = {name: ours["fingerprints"][case["fingerprint"]] for name, case in cases.items()}
    assert (prints["mine"]["blas"], prints["mine"]["backend"]) == ("none", "mine")
    assert "threads" not in prints["mine"]
    assert "blas" not in prints["onnxruntime"]


def test_what_it_keeps_of_itself_is_in_the_file(ran) -> None:
    _, run, _ = ran
    cases = {case["backend"]: case for case in run.json["inferkit"]["cases"].values()}
    assert [case["rebuilt"] for case in cases.values()] == [False, False]
    assert [row["name"] for row in cases["mine"]["layers"]] == ["everything"]
    references = {reference["case"] for reference in run.json["inferkit"]["references"].values()}
    assert references == {"reference-2-fp32-b1-onnxruntime", "lenet-fp32-b1-mine"}


def test_one_that_cannot_be_imported_is_unsupported_and_says_whose_it_is(ran) -> None:
    _, run, _ = ran
    assert run.verdict("test_latency[tiny-fp32-b2-broken]") == "UNSUPPORTED"
    reason = run.tests["test_latency[tiny-fp32-b2-broken]"].find("skipped").get("message")
    assert "the backend 'broken' of broken 1.0 cannot be imported" in reason
    assert "no_such_library" in reason


def test_its_baseline_is_kept_and_the_doctor_finds_it(ran) -> None:
    project, _, environment = ran

    def call(*words: str) -> str:
        command = [sys.executable, "-m", "inferkit.cli.main", *words]
        done = subprocess.run(
            command, cwd=project.folder, env=project.environment(**environment), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    call("baseline", "promote", "run.json")
    stored = [json.loads(path.read_text()) for path in (project.folder / "baselines").glob("*.json")]
    assert {each["fingerprint"]["backend"] for each in stored} == {"onnxruntime", "mine"}
    findings = {each["name"]: each for each in json.loads(call("doctor", "--json"))["findings"]}
    assert [findings[f"backend {name}"]["state"] for name in ("numpy", "mine", "broken")] == ["ok", "ok", "note"]
    assert findings["backend broken"]["hint"] == "reinstall or uninstall broken 1.0"
    assert findings["baseline mine"]["found"].endswith(": 1 of 1 cases")
