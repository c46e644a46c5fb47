"""Sweeps of served networks: read and checked, charts of p50 and p99 with the bound, in the report and as files."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from inferkit.cli.main import main
from inferkit.errors import BaselineError
from inferkit.report.charts.load_curves import load_charts, read_load
from tests.report.report_files import HARM, run_json, write_run


def point(offered, p99, **more):
    return {"offered": offered, "completed": offered * 0.999, "p50": 0.002, "p99": p99, "mean_batch": 2.5, **more}


def sweep(**more):
    curves = [
        {"delay": 0.0, "points": [point(100.0, 0.003), point(900.0, 0.004)]},
        {"delay": 0.002, "points": [point(100.0, 0.005), point(900.0, 2.0, completed=500.0)]},
    ]
    facts = {"model": "lenet", "backend": "onnxruntime", "precision": "fp32", "bound": 0.015}
    return {"schema": 1, "kind": "latency-over-load", **facts, "curves": curves, **more}


def write_sweep(path, content):
    path.write_text(json.dumps(content))
    return str(path)


def test_one_line_per_delay_and_the_bound_of_p99(tmp_path):
    p50, p99 = load_charts([read_load(write_sweep(tmp_path / "load.json", sweep()))])
    assert [series.name for series in p50.series] == ["no delay", "delay 2 ms"]
    assert [series.name for series in p99.series] == ["no delay", "delay 2 ms", "bound 15 ms"]
    assert p99.series[0].points == ((100.0, 3.0), (900.0, 4.0))
    assert "saturated: 500 done" in p99.series[1].notes[1]
    assert p99.series[2].limit


def test_one_offered_load_is_no_chart(tmp_path):
    curves = [{"delay": delay, "points": [point(100.0, 0.003)]} for delay in (0.0, 0.002)]
    assert load_charts([read_load(write_sweep(tmp_path / "load.json", sweep(curves=curves)))]) == ()


def test_the_report_shows_it_among_the_networks_charts(tmp_path):
    run = write_run(tmp_path / "run.json", run_json(), traces=False)
    load = write_sweep(tmp_path / "load.json", sweep())
    out = tmp_path / "out.html"
    assert main(["report", str(run), "--load", load, "-o", str(out), "--no-history"]) == 0
    text = out.read_text(encoding="utf-8")
    assert "<figcaption>lenet fp32 onnxruntime: p99 over offered load</figcaption>" in text
    assert text.count('class="group"') == 1


def test_plot_draws_it_and_a_hostile_name_is_text(tmp_path, capsys):
    load = write_sweep(tmp_path / "load.json", sweep(model=HARM))
    assert main(["plot", load, "-o", str(tmp_path / "plots"), "--json"]) == 0
    files = json.loads(capsys.readouterr().out)
    assert len(files) == 2
    for file in files:
        root = ElementTree.parse(file).getroot()
        assert not [each for each in root.iter() if each.tag.endswith(("script", "img"))]


@pytest.mark.parametrize(
    "harm, word",
    [
        ({"kind": "else"}, "is no sweep"),
        ({"schema": 2}, "schema 2"),
        ({"curves": {}}, "curves: must be a list of objects"),
        ({"curves": [{"delay": -1, "points": []}]}, "curves/0/delay"),
        ({"curves": [{"delay": 0, "points": [point(0, 1)]}]}, "points/0/offered"),
        ({"curves": [{"delay": 0, "points": [point(1, "x")]}]}, "points/0/p99"),
        ({"model": 7}, "model: must be text"),
    ],
)
def test_a_damaged_sweep_is_refused_with_its_place(tmp_path, harm, word):
    path = write_sweep(tmp_path / "load.json", sweep(**harm))
    with pytest.raises(BaselineError, match=word):
        read_load(path)
