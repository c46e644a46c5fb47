"""How far long work is: told by those who do it, heard by whoever listens."""

from __future__ import annotations

import numpy as np
import pytest

import inferkit
from inferkit.backends.tensorrt.building.monitor import Phases
from inferkit.progress import is_heard, listening, tell
from inferkit.report.progress import time_left


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
    assert [done for _, done, _ in heard] == [20, total]
    assert {of for *_, of in heard} == {images}


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
