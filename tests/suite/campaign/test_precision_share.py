"""A case that does not run in the precision asked for fails its test with the layers' names, in a run of pytest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from inferkit.gate.files.run_file import read_run
from inferkit.measure.case import Case
from inferkit.measure.latency.replicate import Replicate
from inferkit.report.terminal import render
from inferkit.suite.campaign.facts import latency_row, precision_note
from inferkit.suite.campaign.records import CaseRecord
from inferkit.suite.matrix.definition import NetworkDefinition
from tests.precision.precision_graphs import ModelBuilder
from tests.suite.tiny_project import Run, make_project

# What is judged here is no time: on a busy machine too.
MATRIX = """\
[suite]
replicates = 1
min_time = 0.01
reference = false

[defaults]
accuracy = false
"""
NETWORK = '[[networks]]\nname = "{name}"\nmodel = "sum.onnx"\n'
SHORT = "asked-int8-b1-onnxruntime"


def written(folder: Path) -> None:
    """A residual network: ONNX Runtime computes the convolution before the addition, 88 % of the work, in FP32."""
    build = ModelBuilder(1)
    build.conv(8)
    build.add("Relu")
    build.residual()
    build.gemm(4)
    onnx.save(build.model(), str(folder / "sum.onnx"))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, tiny_files: Path) -> Run:
    project = make_project(tmp_path_factory.mktemp("share") / "project", tiny_files)
    written(project.folder / "bench")
    matrix = MATRIX + NETWORK.format(name="asked") + 'precisions = ["int8", "fp16"]\n'
    matrix += NETWORK.format(name="less") + 'precisions = ["int8"]\nprecision_share = "10 %"\n'
    matrix += NETWORK.format(name="waived") + 'precisions = ["int8"]\n'
    project.matrix(matrix)
    waiver = 'case = "waived-*"\nmetric = "precision share"\nreason = "r"\nowner = "ana"\nexpires = 2999-12-31\n'
    (project.folder / "bench" / "waivers.toml").write_text(f"[[waivers]]\n{waiver}")
    return project.run("--benchmark-json=run.json", "--report=run.html", "--accept-busy-host", "-k", "latency")


@pytest.mark.slow
def test_the_test_of_the_case_fails_and_says_which_layers_ran_in_what(ran: Run) -> None:
    assert ran.code == 1, ran.text
    assert ran.verdict(f"test_latency[{SHORT}]") == "FAILED"
    (failure,) = ran.tests[f"test_latency[{SHORT}]"].iter("failure")
    assert "less than the 95 % that must run in the precision asked for; elsewhere: Conv2 (fp32, " in failure.get(
        "message", ""
    )
    assert "not measured" not in failure.get("message", "")
    said, _, _ = ran.text.partition("short test summary")  # which in CI has whole messages
    assert said.count(f"{SHORT} precision share: FAILED: 1") == 1  # of 100 %; and said once


@pytest.mark.slow
def test_less_may_be_asked_for_and_a_waiver_holds_and_half_on_a_cpu_is_told_and_not_judged(ran: Run) -> None:
    assert ran.verdict("test_latency[less-int8-b1-onnxruntime]") == "NO_BASELINE"
    (waived,) = (each for each in ran.json["inferkit"]["outcomes"] if each["verdict"] == "WAIVED")
    assert (waived["case"], waived["metric"]) == ("waived-int8-b1-onnxruntime", "precision share")
    assert ran.verdict("test_latency[asked-fp16-b1-onnxruntime]") == "NO_BASELINE"
    assert (
        "note on asked-fp16-b1-onnxruntime: 0 % of the work asked for in fp16 runs in it; not Conv2 (fp32, " in ran.text
    )


@pytest.mark.slow
def test_the_run_file_and_the_page_have_the_share_what_was_asked_and_the_layers(ran: Run) -> None:
    case = ran.json["inferkit"]["cases"][SHORT]
    assert case["precision_share"] < 50
    assert case["least_precision_share"] == 95.0
    assert [each["layer"] for each in case["other_precisions"]] == ["Conv2", "Conv0"][: len(case["other_precisions"])]
    read = read_run(ran.folder / "run.json").cases[SHORT]
    assert (read.least_share, read.other_precisions[0].layer) == (95.0, "Conv2")
    page = (ran.folder / "run.html").read_text()
    assert "layers that ran in another precision" in page
    assert "Conv2 (fp32, " in page


def record(**share: object) -> CaseRecord:
    case = CaseRecord(Case("net", "int8", 1, "onnxruntime"), NetworkDefinition("net", "net"), 0.05, least_share=95.0)
    trace = np.full((11, 6), 1e-3)
    details = {"precision_share": {"sentence": "what is known", **share}}
    case.replicates = [Replicate(trace, -7.0, 1, None, None, None, None, None, None, {}, {}, details=details)]
    return case


def test_builds_of_a_case_count_by_the_one_with_the_least() -> None:
    case = record(percent=100.0, others=[])
    case.replicates += record(percent=80.0, others=[{"layer": "a", "precision": "fp16", "share": 0.2}]).replicates
    measured = case.measured()
    assert measured.data["precision_share"] == (80.0,)
    assert [each.layer for each in measured.other_precisions] == ["a"]


@pytest.mark.parametrize(
    ("share", "shown"), [({"percent": 100.0}, ""), ({"percent": 60.0}, "60 %"), ({"reason": "r"}, "")]
)
def test_the_table_has_a_column_where_it_is_not_all(share: dict[str, object], shown: str) -> None:
    row = {**latency_row(record(**share)), "verdict": "PASS"}
    text = "\n".join(render([{"verdict": "PASS", "line": "", "row": row}]))
    assert ("precision share" in text) == bool(shown)
    assert shown in text
    assert ("note on net-int8-b1-onnxruntime: what is known" in text) == (share != {"percent": 100.0})


def test_a_share_that_is_not_known_is_told_of_reduced_precisions_only() -> None:
    case = record(reason="no facts")
    assert precision_note(case) == "what is known"
    case.case = Case("net", "fp32", 1, "onnxruntime")
    assert precision_note(case) == ""
    assert "precision_share" not in case.measured().data
