"""The part `study`, on the CPU: sweeps are written beside the results, with the real networks and images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.gpu import common, study


@pytest.mark.slow
def test_a_sweep_is_written_beside_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERKIT_SUITE_DIR", str(tmp_path / "suite"))
    monkeypatch.setenv("INFERKIT_SUITE_BATCHES", "25 125")
    monkeypatch.setattr(common, "FAILURES", [])
    results = common.Results(tmp_path / "results.json")
    study.run(results, "onnxruntime", ["lenet"], rounds=2)
    (name,) = results.parts["study"]
    assert name == "lenet"
    written = json.loads((tmp_path / "study-lenet.json").read_text())
    assert written == json.loads((tmp_path / "results.json").read_text())["study"]["lenet"]
    places = [(point["series"], point["batch_size"], point["status"]) for point in written["points"]]
    assert places == [(series, batch, "ok") for series in study.SERIES for batch in (25, 125)]
    at_125 = [point for point in written["points"] if point["batch_size"] == 125]
    for point in at_125:
        assert point["images"] == 10_000
        assert not point["images_repeated"]
        # The card of the zoo's lenet: 91.67 % in FP32. 0.5 points are what INT8 may lose; half precision loses less.
        assert abs(100 * point["correct_top1"] / 10_000 - 91.67) <= 0.5


def test_made_up_networks_get_as_many_images_as_the_largest_batch_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    monkeypatch.setenv("INFERKIT_SUITE_DIR", str(tmp_path / "suite"))
    monkeypatch.setenv("INFERKIT_SUITE_BATCHES", "1 20")
    images, calibration = study.inputs("squeezenet1_1")
    with np.load(images) as stored:
        assert stored["images"].shape == (20, 3, 227, 227)
    assert len(list(calibration.iterdir())) == 1  # of 16 images; the 4 that are left fill none
