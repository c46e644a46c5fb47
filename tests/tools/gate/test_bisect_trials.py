"""The repositories of the trials: one commit's network has a layer more, which changes no result."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from tools.gate.bisect_trials import CHANNELS, SIDE, make_repository, row

pytestmark = pytest.mark.slow  # each a run of pytest in a process of its own


def test_the_layer_more_changes_no_result() -> None:
    images = np.random.default_rng(1).normal(size=(2, CHANNELS, SIDE, SIDE)).astype(np.float32)
    fast, slow = (row(5, slow, seed=3) for slow in (False, True))
    assert len(slow.graph.node) == len(fast.graph.node) + 2
    results = [
        onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"data": images})[0] for model in (fast, slow)
    ]
    np.testing.assert_allclose(*results, rtol=1e-4)  # the same sums, in another order of float32 additions
    assert np.isfinite(results[0]).all()


def test_every_commit_has_other_weights_and_is_slow_from_the_culprit_on(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    ids = make_repository(folder, 3, 2, 4, "matrix")
    assert len(set(ids)) == 4
    models = [
        onnx.load_from_string(subprocess.run(["git", "show", f"{commit}:row.onnx"], cwd=folder, check=True,
                                             capture_output=True).stdout)
        for commit in ids
    ]  # fmt: skip
    convolutions = [sum(node.op_type == "Conv" for node in model.graph.node) for model in models]
    assert convolutions == [4, 4, 5, 5]
    assert len({model.SerializeToString() for model in models}) == 4
