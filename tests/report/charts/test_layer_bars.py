"""The layers that changed as bars: slower to the right, faster to the left, what was not timed left out."""

import xml.etree.ElementTree as ElementTree

import pytest

from inferkit.report.charts.strips import layer_bars
from tests.report.report_files import HARM


def why(*changes):
    return {"why": {"changes": [{"layers": list(layers), "delta_us": delta} for layers, delta in changes]}}


def test_slower_is_right_of_the_line_and_faster_left():
    drawn = layer_bars(why((["conv1", "relu1"], 900.0), (["pool"], -300.0), (["untimed"], None)), "layers")
    root = ElementTree.fromstring(drawn)
    slower, faster = root.findall("rect")
    zero = float(root.findall("path")[-1].get("d")[1:].split()[0])
    assert float(slower.get("x")) == pytest.approx(zero, abs=0.1)
    assert float(faster.get("x")) + float(faster.get("width")) == pytest.approx(zero, abs=0.2)
    assert float(slower.get("width")) == pytest.approx(3 * float(faster.get("width")), rel=0.01)
    words = [each.text for each in root.iter("text")]
    assert words == ["conv1 (+1)", "+900 µs", "pool", "-300 µs"]


@pytest.mark.parametrize("facts", [{}, {"why": None}, {"why": {"changes": "x"}}, why(([], 1.0)), why(([7], 1.0))])
def test_where_nothing_was_timed_there_is_no_picture(facts):
    assert layer_bars(facts, "layers") == ""


def test_names_are_text():
    ElementTree.fromstring(layer_bars(why(([HARM], 1.0)), HARM))
