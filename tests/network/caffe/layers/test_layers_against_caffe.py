"""Every layer and each edge case computes what real PyCaffe computes, at the prototxt's batch and at another."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.network.caffe.caffe_judge import TOLERANCE, judge
from tests.network.caffe.layers import caffe_cases, caffe_wirings

pytestmark = pytest.mark.pycaffe

GROUPS = ("CONVOLUTION", "DECONVOLUTION", "POOLING", "NORMALIZATION", "AFFINE", "ACTIVATIONS", "REDUCTION", "SEVERAL")
GROUPS += ("SHAPES", "NAMES", "WIRING", "BATCH", "POSITIVE")
CASES = [
    pytest.param(text, {"data": (0.1, 3.0)} if group == "POSITIVE" else None, id=f"{group.lower()}: {name}")
    for group in GROUPS
    for name, text in (vars(caffe_cases).get(group) or vars(caffe_wirings)[group]).items()
]


@pytest.mark.parametrize("text, ranges", CASES)
def test_a_layer_computes_what_caffe_computes(text: str, ranges: dict | None, tmp_path: Path) -> None:
    if "BatchReindex" in text:
        ranges = {"index": (0, 3)}
    if "Embed" in text:
        ranges = {"words": (0, 6)}
    verdict = judge(text, tmp_path, ranges=ranges)
    assert verdict.error <= TOLERANCE
