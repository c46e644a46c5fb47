"""The study's three charts of a sweep: error bars, points that are not steady, the card's limit, damaged files."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from inferkit.cli.main import main
from inferkit.errors import BaselineError
from inferkit.report.charts.svg import draw
from inferkit.report.charts.sweep import read_sweep, sweep_charts
from tests.report.report_files import HARM

SVG = "{http://www.w3.org/2000/svg}"


def point(series: str, batch: int, median: float, **more: Any) -> dict[str, Any]:
    timing = {"low": median * 0.9, "median": median, "high": median * 1.2, "unsteady": []}
    counted = {"images": 100 * batch, "images_repeated": False, "correct_top1": 60 * batch, "correct_top5": 90 * batch}
    return {"series": series, "batch_size": batch, "status": "ok", "timing": timing, **counted, **more}


def sweep(*points: dict[str, Any], **more: Any) -> dict[str, Any]:
    facts = {"model": "models/vgg16.prototxt", "cpu": "some CPU", "cpus": 2, "backend": "tensorrt", "rounds": 6}
    return {"kind": "sweep", "schema": 2, **facts, "points": list(points), **more}


POINTS = (
    point("FLOAT", 1, 0.002, limit={"seconds": 0.001, "share": 0.5}),
    point("FLOAT", 10, 0.008, limit={"seconds": 0.004, "share": 0.5}),
    point("INT8", 1, 0.001),
    point("INT8", 10, 0.002),
    {"series": "PyCaffe", "batch_size": 1, "status": "unsupported", "reason": "no Caffe"},
)


def written(folder: Path, content: object) -> Path:
    path = folder / "sweep.json"
    path.write_text(json.dumps(content))
    return path


def test_the_studys_three_charts_with_error_bars_and_limits(tmp_path: Path) -> None:
    latency, throughput, accuracy = sweep_charts(read_sweep(written(tmp_path, sweep(*POINTS))))
    assert [series.name for series in latency.series] == ["FLOAT", "INT8"]
    assert latency.series[0].points == ((1.0, 2.0), (10.0, 8.0))
    assert latency.series[0].bars[1] == pytest.approx((7.2, 9.6))
    assert [series.name for series in throughput.series] == ["FLOAT", "INT8", "limit FLOAT"]
    assert throughput.series[1].bars[0] == pytest.approx((1 / 0.0012, 1 / 0.0009))
    assert throughput.series[2].points == ((1.0, 1000.0), (10.0, 2500.0))
    assert accuracy.categories == ("top 1", "top 5")
    assert accuracy.series[0].points == ((0.0, 60.0), (1.0, 90.0))


def test_error_bars_lie_within_the_axes(tmp_path: Path) -> None:
    latency = sweep_charts(read_sweep(written(tmp_path, sweep(*POINTS))))[0]
    drawn = ElementTree.fromstring(draw(latency, standalone=True))
    bars = [each for each in drawn.iter(f"{SVG}path") if "bar" in each.get("class", "").split()]
    assert len(bars) == 4
    frame = next(each for each in drawn.iter(f"{SVG}path") if each.get("d", "").startswith("M66 14V"))
    bottom = float(frame.get("d", "").partition("V")[2].partition("H")[0])
    for bar in bars:
        end = float(bar.get("d", "").partition("V")[2].partition("M")[0])
        assert 14 <= end <= bottom


@pytest.mark.parametrize("points", [(), POINTS[-1:]])
def test_a_sweep_in_which_nothing_was_measured_has_no_charts(
    tmp_path: Path, points: tuple[dict[str, Any], ...]
) -> None:
    assert sweep_charts(read_sweep(written(tmp_path, sweep(*points)))) == ()


def test_a_point_that_is_not_steady_is_hollow_and_says_why(tmp_path: Path) -> None:
    restless = point("FLOAT", 1, 0.002)
    restless["timing"]["unsteady"] = [f"its rounds lie 30% apart {HARM}"]
    sweeps = read_sweep(written(tmp_path, sweep(restless, *POINTS[1:])))
    latency = sweep_charts(sweeps)[0]
    assert latency.series[0].unsteady == {0}
    assert "hollow: not steady" in latency.title
    text = draw(latency, standalone=True)
    assert HARM not in text
    hollow = [
        each for each in ElementTree.fromstring(text).iter(f"{SVG}path") if each.get("class", "").startswith("open")
    ]
    (title,) = (each.find(f"{SVG}title") for each in hollow)
    assert title is not None
    assert "its rounds lie 30% apart" in str(title.text)
    steady = sweep_charts(read_sweep(written(tmp_path, sweep(*POINTS))))[0]
    assert "hollow" not in steady.title


def test_images_that_were_counted_twice_are_no_accuracy_where_others_were_not(tmp_path: Path) -> None:
    twice = point("FLOAT", 100, 0.05, images_repeated=True)
    accuracy = read_sweep(written(tmp_path, sweep(*POINTS, twice))).accuracy
    assert accuracy["FLOAT"].images == 1000
    only = read_sweep(written(tmp_path, sweep(twice))).accuracy
    assert only["FLOAT"].images == 10_000


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"kind": "something"}, "is no sweep"),
        ({"schema": 3}, "newer inferkit"),
        ({"points": {}}, "points"),
        ({"points": [{**POINTS[0], "timing": {"low": 2, "median": 1, "high": 3}}]}, "not in order"),
        ({"points": [{**POINTS[0], "timing": {"low": 0, "median": 1, "high": 3}}]}, "low"),
        ({"points": [{**POINTS[0], "batch_size": "1"}]}, "batch_size"),
        ({"points": [{**POINTS[0], "batch_size": 0.5}]}, "batch_size"),
        ({"points": [{**POINTS[0], "timing": {"low": 1, "median": 2, "high": 3, "unsteady": 5}}]}, "unsteady"),
        ({"points": [{**POINTS[0], "timing": {"low": 1e-320, "median": 1, "high": 3}}]}, "low"),
        ({"points": [{**POINTS[0], "correct_top1": 101}]}, "correct_top1"),
    ],
)
def test_a_damaged_file_is_refused_with_its_place(tmp_path: Path, damage: dict[str, Any], words: str) -> None:
    with pytest.raises(BaselineError, match=words):
        read_sweep(written(tmp_path, {**sweep(*POINTS), **damage}))


def test_plot_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plot", str(written(tmp_path, sweep(*POINTS))), "-o", str(tmp_path / "charts"), "--json"]) == 0
    names = [Path(file).name for file in json.loads(capsys.readouterr().out)]
    assert names == ["vgg16-sweep-latency.svg", "vgg16-sweep-throughput.svg", "vgg16-sweep-accuracy.svg"]


def test_png_has_them_too(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from inferkit.report.charts.png import draw_png

    restless = point("FLOAT", 1, 0.002)
    restless["timing"]["unsteady"] = ["its rounds lie 30% apart"]
    for chart in sweep_charts(read_sweep(written(tmp_path, sweep(restless, *POINTS[1:])))):
        assert draw_png(chart).startswith(b"\x89PNG")
