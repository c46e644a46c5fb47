"""The colours: contrast on their paper (WCAG 2.2), and told apart by the colour-blind where a shape does not do it.

Sources: WCAG 2.2, relative luminance and contrast ratio; Machado, Oliveira, Fernandes, "A Physiologically-based Model
for Simulation of Color Vision Deficiency", 2009, matrices of severity 1.0; CIE 1976 colour difference.
"""

import re
from itertools import combinations

import numpy as np
import pytest

from inferkit.report.charts.palette import DARK_VARIABLES, LIGHT_VARIABLES, SERIES
from inferkit.report.charts.study import Series
from inferkit.report.charts.svg import look, marker

BLIND = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])
EASILY_SEEN = 10.0  # CIE76: 2.3 is just noticeable side by side, marks stand apart

SCHEMES = {
    name: dict(pair[2:].split(":") for pair in variables.split(";"))
    for name, variables in (("light", LIGHT_VARIABLES), ("dark", DARK_VARIABLES))
}


def linear(color):
    values = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    high, low = sorted((float(XYZ[1] @ linear(color)) for color in (one, other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def lab(values):
    found = XYZ @ np.clip(values, 0, 1) / WHITE
    f = np.where(found > 0.008856, np.cbrt(found), 7.787 * found + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def shape(kind):
    return re.sub(r"[\d.-]+", "", re.search(r' d="([^"]*)"', marker(kind, 0, 0, ""))[1])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_marks_and_letters_stand_out_from_their_paper(scheme):
    colors = SCHEMES[scheme]
    for paper in ("paper", "panel"):
        for index in range(SERIES):
            assert contrast(colors[f"s{index}"], colors[paper]) >= 3, (index, paper)
        for letters in ("ink", "muted", "warn", "s0", "s1", "s2"):  # those of text, links and badges
            assert contrast(colors[letters], colors[paper]) >= 4.5, (letters, paper)


@pytest.mark.parametrize("blindness", BLIND)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_series_differ_in_shape_or_in_a_colour_that_everybody_sees(scheme, blindness):
    seen = [lab(np.array(BLIND[blindness]) @ linear(SCHEMES[scheme][f"s{index}"])) for index in range(SERIES)]
    for one, other in combinations(range(SERIES), 2):
        same = shape(one) == shape(other)
        assert not same or np.linalg.norm(seen[one] - seen[other]) > EASILY_SEEN, (one, other)


def test_twenty_series_and_their_limits_all_look_different():
    series = [Series(f"fp{number}", ((1.0, 1.0),)) for number in range(20)]
    looks = [look(index, series) for index in range(20)]
    assert len(set(looks)) == 20
    assert len({(each.color, each.shape) for each in looks}) == 20  # also where no line joins the points
    limited = [*series, Series("limit fp9", ((1.0, 2.0),), limit=True)]
    assert look(20, limited) == looks[9]
