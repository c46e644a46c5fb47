"""A network with one layer made dearer: the failing test names that layer, and every report shows it."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inferkit.cli.main import main
from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.files.layer_store import layers_path, write_layers
from inferkit.gate.outcome import Verdict
from inferkit.measure.layers.table import LayerRow
from inferkit.suite.campaign.campaign import Campaign, CampaignSettings
from inferkit.suite.matrix.read import load_matrix
from tests.suite.tiny_project import MATRIX as TINY
from tests.suite.tiny_project import Project, store_baseline, write_files

MATRIX = """\
[suite]
replicates = 3
min_time = 0.02
reference = false

[[networks]]
name = "net"
model = "net.onnx"
"""
CASE = "net-fp32-b1-onnxruntime"
TEST = f"test_latency[{CASE}]"


def network(kernel):
    """Three convolutions over 48 × 48 pixels; the second one, `body`, has a kernel of `kernel` × `kernel`."""
    random = np.random.default_rng(5)
    shapes = {"stem": (16, 1, 3), "body": (16, 16, kernel), "head": (16, 16, 3)}
    nodes, weights, before = [], [], "data"
    for name, (filters, channels, side) in shapes.items():
        values = random.normal(0, 0.1, (filters, channels, side, side)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"{name}/weight"))
        nodes.append(helper.make_node("Conv", [before, f"{name}/weight"], [f"{name}/sum"], name, pads=[side // 2] * 4))
        nodes.append(helper.make_node("Relu", [f"{name}/sum"], [name], f"{name}_relu"))
        before = name
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 1, 48, 48])],
        [helper.make_tensor_value_info("head", TensorProto.FLOAT, ["N", 16, 48, 48])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run that was promoted, and one after `body` got 81 times the work."""
    folder = tmp_path_factory.mktemp("why")
    (folder / "bench").mkdir()
    (folder / "bench" / "test_latency.py").write_text(
        "def test_latency(inferkit_latency):\n    inferkit_latency.check()\n"
    )
    (folder / "pytest.ini").write_text("[pytest]\n")
    project = Project(folder)
    project.matrix(MATRIX)
    onnx.save(network(1), str(folder / "bench" / "net.onnx"))
    project.run("--benchmark-json=before.json")
    promote = [sys.executable, "-m", "inferkit.cli.main", "baseline", "promote", "before.json"]
    subprocess.run(promote, cwd=folder, check=True, capture_output=True)
    onnx.save(network(9), str(folder / "bench" / "net.onnx"))
    return project, project.run("--benchmark-json=run.json", "--verdict-json=verdicts.json", "--confirm=never")


def test_the_failing_test_names_the_layer(runs):
    _, run = runs
    assert run.verdict(TEST) == "REGRESSED", run.text
    message = run.tests[TEST].find("failure").get("message")
    assert "; layers: body" in message
    assert "head" not in message.partition("layers:")[2]


def below_the_headline(text):
    """The lines from the last headline of the case on."""
    lines = text.splitlines()
    return lines[max(i for i, line in enumerate(lines) if line.startswith(f"{CASE} latency: REGRESSED")) :]


def test_the_terminal_shows_the_layers_below_the_headline(runs):
    _, run = runs
    headline, head, _, first, *_ = below_the_headline(run.text)
    assert "; all layers together +" in headline
    assert "body" not in headline
    assert head.split() == ["layer", "base", "head", "change", "of", "head"]
    assert first.startswith("    body")
    assert first.rstrip().endswith("%")


def test_the_verdict_json_has_every_layer(runs):
    _, run = runs
    layers = json.loads((run.folder / "verdicts.json").read_text())["layers"][CASE]
    first = layers["changes"][0]
    assert first["layers"] == ["body", "body_relu"]
    assert first["delta_us"] == max(change["delta_us"] for change in layers["changes"])
    assert layers["groups"] == len(layers["changes"])


def test_the_baseline_stays_small_and_has_its_layers_beside_it(runs):
    project, _ = runs
    (baseline,) = (project.folder / "baselines").glob("*.json")
    assert "layers" not in json.loads(baseline.read_text())["cases"][CASE]
    beside = layers_path(baseline).read_text()
    assert '{"name": "body", "kind": "Conv", "precision": "fp32"' in beside
    assert len(beside.splitlines()) == len(json.loads(beside)["cases"][CASE]) + 4


def test_two_files_compared_say_the_same(runs, capsys, monkeypatch):
    project, _ = runs
    monkeypatch.chdir(project.folder)
    assert main(["compare", "before.json", "run.json", "--markdown", "comment.md"]) == 1
    assert below_the_headline(capsys.readouterr().out)[3].startswith("    body")
    comment = (project.folder / "comment.md").read_text().splitlines()
    headline = next(i for i, line in enumerate(comment) if line.startswith(f"- {CASE}&#58; all layers together"))
    assert comment[headline + 1].startswith("  - body")
    assert main(["diff", "before.json", "run.json", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["layers"][CASE]["changes"][0]["layers"][0] == "body"


def test_a_damaged_layer_file_costs_the_explanation_and_not_the_verdict(tmp_path):
    write_files(tmp_path)
    (tmp_path / "matrix.toml").write_text(TINY)
    matrix = load_matrix(tmp_path / "matrix.toml")
    case = next(iter(matrix.cases()))
    baseline = store_baseline(tmp_path / "baselines", {case.id: (-18.0, -18.01, -17.99)})  # 15 ns
    write_layers(baseline, {case.id: (LayerRow("body", seconds=1e-4, origins=("body",)),)})
    path = layers_path(baseline)
    path.write_text(path.read_text().replace('"us": 100.0', '"us": -1'))
    quick = CampaignSettings(replicates=3, min_time=0.001, reference=False)
    with Campaign(matrix, BaselineStore(tmp_path / "baselines"), quick) as campaign:
        campaign.run([case])
    (record,) = campaign.records()
    assert record.outcome.verdict is Verdict.REGRESSED
    assert "its layers cannot be compared" in record.outcome.reason
    assert path.name in record.outcome.reason
