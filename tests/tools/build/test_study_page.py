"""The study's page is what its stored sweeps say, and can be filled from any."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inferkit.measure.latency.rounds import Interval
from inferkit.report.charts.sweep import Accuracy, Swept, SweptPoint
from tools.build.study_page import accuracy_section, filled, main, timed_section, together


def swept(*series: str, card: str | None = "NVIDIA H200") -> Swept:
    """A sweep in which each series takes twice as long as the one before it."""
    points = tuple(
        SweptPoint(name, batch, Interval(time * 0.99, time, time * 1.01), limit=time / 4, share=0.25)
        for place, name in enumerate(series)
        for batch in (1, 10)
        for time in (0.001 * batch * 2**place,)
    )
    accuracy = {name: Accuracy(10_000, 9_000 + place, 9_900, False) for place, name in enumerate(series)}
    return Swept("vgg16", "some CPU", 2, card, "tensorrt", "10.6.0", 6, points, accuracy)


def test_the_page_is_what_its_stored_sweeps_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_a_section_has_setup_charts_tables_and_what_the_curves_say() -> None:
    figures: dict[str, str] = {}
    text = timed_section([swept("HALF", "FLOAT"), swept("PyCaffe", card=None)], figures)
    assert "- vgg16, HALF, FLOAT: NVIDIA H200, tensorrt 10.6.0, 6 rounds" in text
    assert "- vgg16, PyCaffe: some CPU, 2 cores, 6 rounds" in text
    assert sorted(figures) == ["study-latency.svg", "study-throughput.svg"]
    assert all(f"figures/{name}" in text for name in figures)
    assert "| 10 | 10.000 ±1.0% | 20.000 ±1.0% | 10.000 ±1.0% |" in text
    assert "| 10 | 1,000.0 ±1.0% | 500.0 ±1.0% | 1,000.0 ±1.0% |" in text
    assert "| 10 | 25% | 25% | 25% |" in text
    assert "- HALF and FLOAT do not cross: HALF is faster at every batch size" in text
    assert "every point is steady" in text


def test_a_point_that_is_not_steady_is_marked_and_named_without_programs() -> None:
    sweep = swept("HALF")
    restless = replace(sweep.points[1], unsteady=("its rounds lie 9% apart (at most 5%)", "used (python (pid 7))"))
    text = timed_section([replace(sweep, points=(sweep.points[0], restless))], {})
    assert r"| 10 | 10.000 ±1.0% \* |" in text
    assert "- not steady: HALF batch 10: its rounds lie 9% apart; used" in text
    assert "pid" not in text


def test_accuracies_are_those_of_all_sweeps() -> None:
    figures: dict[str, str] = {}
    text = accuracy_section([swept("FLOAT", "INT8"), swept("PyCaffe", card=None)], figures)
    assert "| INT8 | 90.01 | 99.00 | 10,000 |" in text
    assert "| PyCaffe | 90.00 | 99.00 | 10,000 |" in text
    assert list(figures) == ["study-accuracy.svg"]


def test_without_a_sweep_the_page_says_so() -> None:
    assert "No sweep of vgg16" in timed_section([], {})
    assert "No sweep of fashion_vgg" in accuracy_section([], {})


def test_a_series_that_was_swept_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        together([swept("HALF"), swept("HALF", "INT8")])


def test_a_section_replaces_what_lies_between_its_marks_alone() -> None:
    page = "a\n<!-- study:timed -->\nold \\1\n<!-- study:end -->\nb\n"
    assert filled(page, {"timed": r"new \1"}) == "a\n<!-- study:timed -->\nnew \\1\n<!-- study:end -->\nb\n"
    with pytest.raises(ValueError, match="study:accuracy 0 times"):
        filled(page, {"accuracy": ""})
