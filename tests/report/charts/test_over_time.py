"""Figures over time: what telemetry and traces know, side by side per replicate; what they do not know is left out."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.report.charts.overtime import draw_over_time, over_time, thinned
from inferkit.report.page.traces import pace, split
from tests.report.report_files import HARM, facts

PACE = (((0.0, 1e-3), (0.1, 1.1e-3)), (), ((0.0, 1e-3), (0.2, 0.9e-3)))


def told(**series):
    return {"replicates": [{"gpu": {"power_limit_watts": 700.0, "series": {"at": [0.0, 0.1, 0.2], **series}}}]}


def test_every_figure_that_is_known_has_a_panel():
    found = over_time(facts("lenet", "fp32", 1, 1e-3), PACE)
    assert [panel.title for panel in found.panels] == ["iterations", "SM clock", "power", "temperature"]
    clock, power = found.panels[1:3]
    assert clock.curves[0] == ((0.0, 1980.0), (0.1, 1965.0), (0.2, 1950.0))
    assert power.curves[0] == ((0.0, 290.0), (0.2, 313.0))  # what was not read is no point
    assert power.limit == 700.0
    assert [reason.name for reason in found.reasons] == ["software_thermal", "power_cap"]  # what disturbs comes first
    assert found.reasons[1].seen[0] == (0.1, 0.2)
    root = ElementTree.fromstring(draw_over_time(found, "a case"))
    words = [each.text for each in root.iter("text")]
    assert {"iterations", "SM clock, MHz", "power, W", "temperature, °C", "clock reasons", "power cap"} <= set(words)
    assert len([each for each in root.iter("path") if each.get("class") == "thin s0"]) == 2 + 3 * 3


def test_base_is_dashed_over_head_in_every_panel_that_both_have():
    base = [facts("lenet", "fp32", 1, 2e-3)]
    of_base = tuple(tuple((at, 2 * value) for at, value in curve) for curve in PACE)
    found = over_time(facts("lenet", "fp32", 1, 1e-3), PACE, base, of_base)
    root = ElementTree.fromstring(draw_over_time(found, "a case"))
    lines = [each for each in root.iter("path") if each.get("class") == "thin s1 d2"]
    assert len(lines) == 2 + 3 * 3 + 1  # with the one of the legend
    assert [each.text for each in root.iter("text")][-2:] == ["head", "base"]
    assert max(found.panels[0].values) == 2.2e-3  # the axis has room for both
    alone = draw_over_time(over_time(facts("lenet", "fp32", 1, 1e-3), PACE), "a case")
    assert "s1 d2" not in alone
    assert "base" not in alone


@pytest.mark.parametrize(
    "broken", [None, "x", {}, [HARM, None, {}], [1e400, True, "1"], [[], [HARM, 7], {}], list(range(100_000))]
)
def test_series_of_a_wrong_kind_are_left_out_and_names_are_text(broken):
    for name in ("at", "sm_mhz", "reasons", "temperature"):
        values = told(sm_mhz=[1, 2, 3], **{name: broken}) if name != "sm_mhz" else told(sm_mhz=broken)
        drawn = draw_over_time(over_time(values, PACE), HARM)
        assert "<script" not in drawn
        assert "nan" not in drawn
        assert "inf" not in drawn
        assert len(drawn) < 60_000
        ElementTree.fromstring(drawn)


@given(st.lists(st.tuples(st.floats(0, 9), st.floats(1, 5)), min_size=1, max_size=300), st.integers(8, 60))
def test_a_long_curve_keeps_its_ends_and_its_extremes(points, most):
    curve = tuple(sorted(points))
    kept = thinned(curve, most)
    assert len(kept) <= most or kept == curve
    assert (kept[0], kept[-1]) == (curve[0], curve[-1])
    assert set(kept) <= set(curve)
    for extreme in (min, max):
        assert extreme(value for _, value in kept) == extreme(value for _, value in curve)


def test_nothing_known_is_nothing_drawn():
    assert draw_over_time(over_time({}, ()), "a case") == ""
    assert draw_over_time(over_time({"replicates": [{"gpu": None}]}, ((),)), "a case") == ""


def test_a_trace_has_a_pace_of_forty_stretches_and_parts_only_where_they_are_known():
    wall = np.full(400, 2e-3)
    wall[200:] = 3e-3
    missing = np.full(400, np.nan)
    trace = np.stack([np.cumsum(wall), missing, wall * 0.9, wall * 0.1, wall, missing], axis=1)
    found = pace(trace)
    assert len(found) == 40
    assert found[0] == (0.0, pytest.approx(2e-3))
    assert found[-1][1] == pytest.approx(3e-3)
    assert [name for name, _ in split([trace])] == ["execution", "copy out"]
    assert pace(trace[:0]) == ()
