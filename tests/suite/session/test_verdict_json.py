"""`--verdict-json`: every case's verdict for machines, with the run's exit code."""

import json
import types

from inferkit.suite.session.run import write_verdicts
from inferkit.suite.session.state import Suite
from inferkit.suite.session.xdist import WorkerRun


def test_every_test_and_metric_has_its_verdict_and_the_exit_code_is_the_runs(project):
    run = project.run("--verdict-json=verdicts.json", "--replicates=1", "--batch-size=1")
    written = json.loads((project.folder / "verdicts.json").read_text())
    assert (written["schema"], written["exit_code"]) == (1, run.code)
    verdicts = {test["case"]: test["verdict"] for test in written["tests"]}
    assert verdicts == {"tiny-fp32-b1-onnxruntime": "NO_BASELINE", "tiny-fp32-onnxruntime": "PASS"}
    assert written["counts"] == {"NO_BASELINE": 1, "PASS": 1}
    assert {(o["case"], o["metric"]) for o in written["outcomes"]} == {
        ("tiny-fp32-b1-onnxruntime", "latency"),
        ("tiny-fp32-onnxruntime", "top-1"),
    }
    assert "written: verdicts.json" in run.text


def test_a_place_that_cannot_be_written_to_is_told_before_anything_is_measured(project):
    run = project.run("--verdict-json=pytest.ini/verdicts.json")
    assert run.code == 4
    assert "--verdict-json pytest.ini/verdicts.json cannot be written there" in run.text


def test_layers_that_a_worker_of_xdist_found_stand_there_too(tmp_path):
    why = {"changes": [{"name": "body"}]}
    empty = ("fingerprints", "baselines", "screened", "accuracy", "unsupported", "failures", "declared", "references")
    empty += ("memory_references",)
    lists = {"outcomes": [], "remarks": []}

    def found(cases):
        record = {**{key: {} for key in empty}, **lists, "cases": cases, "narrowed": True, "busy_host": []}
        return WorkerRun(record, [], [], b"")

    options = types.SimpleNamespace(inferkit_verdict_json=str(tmp_path / "verdicts.json"))
    plugins = types.SimpleNamespace(getplugin=lambda name: None)
    suite = Suite(types.SimpleNamespace(option=options, pluginmanager=plugins, args=["bench"]))
    suite.gathered = [found({"a": {"why": why}}), found({"b": {}})]
    assert write_verdicts(suite, 1, interrupted=False) == 1
    assert json.loads((tmp_path / "verdicts.json").read_text())["layers"] == {"a": why}
