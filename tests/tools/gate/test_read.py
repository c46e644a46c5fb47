"""Runs of the suite serve as recordings of noise."""

from __future__ import annotations

import numpy as np

from tools import ROOT
from tools.gate.read import measured_suites

RUN = ROOT / "docs" / "measured" / "h200-quiet-suite.json"


def test_the_processes_of_a_run_are_read_case_by_case() -> None:
    (cases,) = measured_suites([RUN]).values()
    assert set(cases) == {f"{net}-fp16-b{size}-tensorrt" for net in ("resnet50", "vgg16") for size in (1, 8, 64)}
    assert all(logs.shape == (10,) for logs in cases.values())
    assert 360e-6 < np.exp(np.median(cases["resnet50-fp16-b1-tensorrt"])) < 371e-6
