"""How far long work is: told by those who do it, heard by whoever listens."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

import inferkit
from inferkit.backends.tensorrt.building.monitor import Phases
from inferkit.measure.engine.prepared_network import Recipe
from inferkit.measure.jobs.launch import prepare_network
from inferkit.progress import is_heard, listening, tell
from inferkit.report.progress import LOG_SECONDS, Bar, Estimate, Lines, NowAndThen, shown_on_stderr, time_left


def test_without_a_listener_nothing_happens_and_a_listener_hears_its_own_block_only():
    heard = []
    tell("work", 1, 2)
    with listening(lambda *told: heard.append(told)):
        assert is_heard()
        tell("work", 2, 2)
    tell("work", 3)
    assert heard == [("work", 2, 2)]
    assert not is_heard()


@pytest.mark.parametrize(("images", "total"), [(None, 40), (30, 30)])
def test_calibration_tells_every_image_that_it_takes(images, total):
    dataset = [np.zeros((20, 1, 28, 28), np.float32), np.ones((20, 1, 28, 28), np.float32)]
    heard = []
    with listening(lambda *told: heard.append(told)):
        inferkit.at_precision(inferkit.load("lenet"), "int8", calibration=dataset, images=images)
    assert [done for what, done, _ in heard if what == "calibration images"] == [0, 20, total]
    assert {of for what, _, of in heard if what == "calibration images"} == {images}
    ranges = [told for told in heard if told[0] == "dynamic ranges"]
    assert [done for _, done, _ in ranges] == list(range(1, ranges[-1][2] + 1))


def test_phases_within_phases_are_parts_of_their_step():
    phases = Phases()
    phases.start("build", None, 4)
    phases.step("build", 0)
    assert phases.share == 0.25
    phases.start("graph", "build", 2)
    phases.step("graph", 0)
    assert phases.share == 0.25 + 0.5 / 4
    phases.finish("graph")
    phases.step("build", 1)
    assert phases.share == 0.5
    phases.finish("build")
    assert phases.share == 1


@pytest.mark.parametrize(
    ("passed", "done", "total", "text"),
    [
        (10, 0, 5, ""),
        (10, 1, 5, "about 40 s left"),
        (100, 1, 5, "about 7 min left"),
        (3600, 1, 5, "about 4 h left"),
        (10, 5, 5, ""),
        (0.001, 1, 2, "about 1 s left"),
    ],
)
def test_the_time_left_is_that_of_the_steps_left(passed, done, total, text):
    assert time_left(passed, done, total) == text


class Clock:
    """A clock that is set."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_an_estimate_counts_from_where_the_task_was_when_it_was_first_told_of():
    clock = Clock()
    estimate = Estimate(clock)
    assert estimate.text("images", 0, 500) == "images: 0 %"
    clock.now += 30
    assert estimate.text("images", 100, 500) == "images: 20 %, about 2 min left"
    assert estimate.text("layers", 3, None) == "layers: 3"
    assert estimate.text("images", 500, 500) == "images: 100 %"
    clock.now += 1000
    estimate.text("images", 0, 4)
    clock.now += 1
    assert estimate.text("images", 1, 4) == "images: 25 %, about 3 s left"


def test_a_log_gets_a_line_now_and_then_and_none_for_what_is_short():
    clock = Clock()
    log = NowAndThen(clock)
    lines = []
    for done in range(101):
        lines.append(log.line("images", done, 100))
        clock.now += 1
    shown = [(number, line) for number, line in enumerate(lines) if line]
    assert [number for number, _ in shown] == [LOG_SECONDS * each for each in range(1, 7)]
    assert shown[0][1] == "images: 15 %, about 85 s left"
    clock = Clock()
    log = NowAndThen(clock)
    assert not any(log.line("images", done, 10) for done in range(11))


def test_the_process_that_prepares_a_network_tells_who_started_it(tmp_path):
    heard = []
    with listening(lambda *told: heard.append(told)):
        prepare_network(Recipe("lenet", "lenet", "int8", calibration_images=200), tmp_path / "heard")
    told = [(what, of) for what, _, of in heard]
    assert ("calibration images", 200) in told
    assert heard[-1][0] == "dynamic ranges"
    assert heard[-1][1] == heard[-1][2] > 1
    prepare_network(Recipe("lenet", "lenet", "int8", calibration_images=50), tmp_path / "unheard")


def test_a_long_step_of_a_suite_is_in_the_log_between_its_line_and_the_next(monkeypatch):
    monkeypatch.setattr("inferkit.report.progress.LOG_SECONDS", 0.0)
    written = []
    lines = Lines(written.append)
    lines.begin(2)
    lines.step("lenet at int8, preparing")
    for done in (0, 1, 2):
        lines.within("calibration images", done, 2)
    lines.step("lenet-int8-b1-onnxruntime, replicate 1 of 1")
    assert written[0] == "[1/2] lenet at int8, preparing"
    assert [line.strip().partition(",")[0] for line in written[1:-1]] == [
        f"calibration images: {share} %" for share in (0, 50, 100)
    ]


def test_a_command_whose_stderr_is_a_log_writes_lines_there_and_nothing_to_stdout(monkeypatch, capsys):
    monkeypatch.setattr("inferkit.report.progress.LOG_SECONDS", 0.0)
    with shown_on_stderr():
        tell("work", 0, 4)
        tell("work", 1, 4)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("work: 25 %, about")


def test_a_bar_fits_the_terminal_whatever_the_step_is_called(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    bar = Bar(terminal)
    bar.begin(1200)
    bar.step("a_network_with_a_long_name at int8, preparing")
    for done in range(50):
        bar.within("calibration images", done, 500)
    drawn = bar._rich.get_renderable()
    bar.end()
    console = Console(width=80, file=io.StringIO())
    line = console.render_lines(drawn, pad=False)[0]
    text = "".join(part.text for part in line)
    assert "0/1200" in text
    assert "…: calibration images: 10 %, about" in text
    assert len(text) <= 80
