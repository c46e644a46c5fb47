"""The section of a case tells what its figures are: a service with its top-1, throughput mode with its rounds."""

import pytest

from inferkit.gate.files.run_file import read_run
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.report.page.case import case_pages
from inferkit.report.write import view_of_files
from tests.report.page.test_html_report import Page, report
from tests.report.report_files import run_json, write_run

NAME = "lenet-fp32-b1-onnxruntime"
SERVICE = {"datum": "mean time per image", "valid": True, "is_short": True, "seconds": 1.0, "bound": None, "top1": 90.0}


def run_with(*outcomes, **facts):
    """A run of one case, with these facts and outcomes."""
    content = run_json(batches=(1,))
    inferkit = content["inferkit"]
    case = {**inferkit["cases"][NAME], **facts}
    return {
        **content,
        "inferkit": {
            **inferkit,
            "cases": {NAME: case},
            "accuracy": {},
            "unsupported": {},
            "outcomes": [outcome.as_dict() for outcome in outcomes],
        },
    }


def page_of(tmp_path, content):
    """What the section of the one case is made of."""
    path = write_run(tmp_path / "run.json", content)
    (page,) = case_pages(view_of_files(read_run(path), [], path).cases)
    return page


@pytest.mark.parametrize("latency", ["PASS", "INVALID"])
def test_a_service_whose_top1_regressed_keeps_its_section(tmp_path, latency):
    outcomes = (
        Outcome(NAME, "latency", Verdict(latency), 1e-3, 1e-3, 0.0, -0.01, 0.01, 0.05, 3, 3),
        Outcome(NAME, "top-1", Verdict.REGRESSED, 92.0, 90.0, 2.0, margin=0.5),
    )
    content = run_with(*outcomes, service=SERVICE)
    page = page_of(tmp_path, content)
    assert page["verdict"] == "REGRESSED"
    assert (page["model"], page["precision"], page["backend"]) == ("lenet", "fp32", "onnxruntime")
    assert page["rate"] == pytest.approx(800)
    assert page["strip"]
    assert page["percentiles"][0] == ("p50", "1.25 ms")
    assert any("92.00 % -> 90.00 %, -2.00 points" in line for line, _ in page["lines"])
    assert [row["metric"] for row in page["judged"]].count("top-1") == 1
    assert (page["metric"], page["head_text"], page["change_text"]) == ("top-1", "90.00 %", "-2.00 / 0.5 points")
    assert any("latency: INVALID" in line for line, _ in page["lines"]) == (latency == "INVALID")


def test_a_service_without_percentiles_on_purpose_tells_of_none(tmp_path):
    nothing = dict.fromkeys(("p50", "p90", "p95", "p99"))
    offline = report(tmp_path, run_with(service=SERVICE, samples=3, **nothing))
    assert "MLPerf's judgement" in Page(offline).text
    assert "not supported" not in offline
    assert "Percentiles" not in offline
    server = report(tmp_path, run_with(service=SERVICE, samples=300, **nothing | {"p50": 1e-3}))
    assert "not supported: needs 662 samples, there are 300" in server


def test_throughput_mode_shows_the_median_of_rounds_and_no_parts_that_overlap(tmp_path):
    text = report(tmp_path, run_with(mode="throughput", samples=900, p90=None))
    page = Page(text)
    assert (
        "Percentiles over all rounds of batches (900 samples) p50 1.25 ms p90 not known: a sample is the mean"
        in page.text
    )
    assert "the middle half of its rounds of batches" in page.text
    assert "not supported" not in page.text
    assert "Where the time of a batch goes" not in text
    assert "copy in" not in text
    assert "Where the time of a batch goes" in report(tmp_path, run_with(mode="latency"))


def test_overlapped_batches_stand_beside_executions_alone(tmp_path):
    facts = {"input": "uint8", "execution_only_per_second": 50_000.0, "share_of_execution_only": 0.985}
    text = Page(report(tmp_path, run_with(mode="throughput", **facts))).text
    assert "images/s of executions alone 50,000, of which copies leave 98.5%" in text
    assert "input uint8" in text
