"""Several devices at once: who is compared with what, and what becomes of a process that dies."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psutil
import pytest

from inferkit.cli.main import main
from inferkit.errors import MeasurementError, UsageError
from inferkit.measure.engine.engine_file import EngineSpec
from inferkit.measure.engine.prepared_network import Recipe, prepare
from inferkit.measure.machine.lease import device_lease
from inferkit.measure.scaling.scaling import Window, measure_scaling, summarize
from inferkit.measure.scaling.worker import WindowSpec, parse_cpus

CPUS = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
needs_two = pytest.mark.skipif(len(CPUS) < 2, reason="needs two CPUs to bind two processes to")


@pytest.fixture(autouse=True)
def own_leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERKIT_LEASE_DIR", str(tmp_path / "leases"))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scaling") / "lenet"
    prepare(Recipe("lenet", "lenet", "fp32", images=2), folder)
    return folder


def test_devices_together_are_compared_with_the_same_devices_alone():
    windows = [
        Window(0, {"a": 100.0}),
        Window(0, {"b": 50.0}),
        Window(0, {"a": 90.0, "b": 45.0}),
        Window(1, {"a": 80.0, "b": 50.0}),
        Window(1, {"b": 50.0}),
        Window(1, {"a": 100.0}),
    ]
    alone, together = summarize(["a", "b"], windows)
    assert (alone.count, alone.total, alone.ratio, alone.share) == (1, 100.0, 1.0, 1.0)
    assert together.total == 132.5
    assert together.ratio == 1.325
    assert together.share == pytest.approx(132.5 / 150)
    assert together.lost == pytest.approx({"a": 0.15, "b": 0.05})


def test_sets_of_cpus():
    assert parse_cpus("0-3+8") == (0, 1, 2, 3, 8)
    for wrong in ("", "a", "3-1", "1-"):
        with pytest.raises(UsageError, match="not a set of CPUs"):
            parse_cpus(wrong)


@needs_two
def test_the_command_measures_each_alone_and_all_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    names = [str(cpu) for cpu in CPUS[:2]]
    options = ["--backend", "onnxruntime", "--devices", ",".join(names), "--batch-size", "4"]
    measured = ["--seconds", "200ms", "--rounds", "2", "--json", str(tmp_path / "scale.json")]
    assert main(["scale", "lenet", *options, *measured]) in (0, 10)  # 10: others use this machine
    written = json.loads((tmp_path / "scale.json").read_text())
    assert written["kind"] == "scaling"
    alone = [[names[0]], [names[1]], names]
    assert [list(window["rates"]) for window in written["windows"]] == alone + alone[::-1]
    assert all(rate > 0 for window in written["windows"] for rate in window["rates"].values())
    assert [each["count"] for each in written["scaling"]] == [1, 2]
    assert "2 devices:" in capsys.readouterr().out


def test_less_than_the_share_that_is_asked_for_is_worse(capsys: pytest.CaptureFixture[str]):
    options = ["--backend", "onnxruntime", "--devices", str(CPUS[0]), "--seconds", "50ms", "--rounds", "1"]
    codes = [main(["scale", "lenet", *options, "--least", share]) for share in ("0.5", "1.5")]
    assert codes in ([0, 1], [10, 1], [0, 10], [10, 10])  # 10: others use this machine
    assert "1 device: " in capsys.readouterr().out


def test_a_process_that_is_killed_ends_the_measurement_and_frees_its_device(prepared: Path):
    spec = WindowSpec(EngineSpec(str(prepared), "onnxruntime", 2), cpus=tuple(CPUS[:1]))

    def kill(line: str) -> None:
        for child in psutil.Process().children():
            child.kill()

    with pytest.raises(MeasurementError, match="one: the process ended with exit code -9"):
        measure_scaling({"one": spec}, [1], seconds=0.1, rounds=1, say=kill)
    with device_lease(f"cpu-{CPUS[0]}", timeout=5):
        pass


def test_a_device_that_is_in_use_is_said(prepared: Path):
    spec = WindowSpec(EngineSpec(str(prepared), "onnxruntime", 2), cpus=tuple(CPUS[:1]), lease_timeout=0.1)
    with (
        device_lease(f"cpu-{CPUS[0]}"),
        pytest.raises(MeasurementError, match=f"one: cpu-{CPUS[0]} is in use"),
    ):
        measure_scaling({"one": spec}, [1], seconds=0.1, rounds=1)


def test_sets_that_overlap_are_refused(capsys: pytest.CaptureFixture[str]):
    assert main(["scale", "lenet", "--backend", "onnxruntime", "--devices", "0-1,1"]) == 2
    assert "two sets have a CPU in common" in capsys.readouterr().err
