"""The GPU part that compares float32 and uint8 inputs, rehearsed without a GPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import inferkit
from inferkit.backends.uint8_input import Uint8Input, with_uint8_input
from inferkit.measure.images import stand_in
from tools.gpu import bytes as part
from tools.gpu import common


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    """Of a small network on ONNX Runtime, which has no throughput mode."""
    return part.child("onnxruntime:lenet:int8:3")


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(common, "FAILURES", lines)
    return lines


def test_both_inputs_compute_the_same_and_pixels_are_a_quarter_of_the_bytes(figures: dict[str, Any]) -> None:
    floats, pixels = figures["inputs"]["float32"], figures["inputs"]["uint8"]
    assert (floats["type"], floats["bytes"]) == ("float32", 3 * 28 * 28 * 4)
    assert (pixels["type"], pixels["bytes"]) == ("uint8", 3 * 28 * 28)
    assert figures["error"] < 1e-3  # the last bit of an input, which may move a quantized value by a step
    assert figures["same_class"] == 1.0
    assert floats["layers"]
    assert pixels["layers"]


def test_the_table_has_a_line_for_each_input(
    figures: dict[str, Any], capsys: pytest.CaptureFixture[str], failures: list[str]
) -> None:
    part._report("lenet-int8-b3", "int8", figures)
    printed = capsys.readouterr().out
    assert "float32" in printed
    assert printed.count("first layers, µs: ") == 2
    assert "9,408 and 2,352 bytes" in printed
    assert not failures


@pytest.mark.parametrize(
    ("wall", "share", "expected"), [(1.4e-3, 0.98, 0), (1.5e-3, 0.98, 1), (1.4e-3, 0.96, 1), (1.5e-3, float("nan"), 2)]
)
def test_what_falls_short_of_the_rate_or_the_share_is_counted(
    wall: float, share: float, expected: int, failures: list[str]
) -> None:
    part._judge({"batch": 64, "inputs": {"uint8": {"wall": wall, "share": share}}})
    assert len(failures) == expected


def test_each_case_is_written_when_its_process_has_ended(
    figures: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: list[str]
) -> None:
    written: list[int] = []

    def process(_: str, case: str, seconds: float) -> dict[str, Any]:
        stored = common.Results(tmp_path / "results.json").parts.get("bytes", {})
        written.append(len(stored))
        if "fp16" in case:
            raise RuntimeError("no answer")
        return figures

    monkeypatch.setattr(part, "in_fresh_process", process)
    monkeypatch.setattr(part, "BATCHES", (8, 64))
    part.run(common.Results(tmp_path / "results.json"), "onnxruntime", "lenet")
    assert written == [0, 1, 1, 2]
    assert len(failures) == 2


class Overlapping:
    """ONNX Runtime's engine with what a throughput mode adds, since that needs a GPU: two batches in a round."""

    def __init__(self, network: inferkit.Network) -> None:
        self._engine = inferkit.build(network, max_batch=2)

    def session(self, mode: str) -> Any:
        assert mode == "throughput"
        session: Any = self._engine.session()
        session.batches_per_round = 2
        session.execution_only = lambda batches: sum(session.execute().compute for _ in range(batches)) / batches
        return session


def test_overlapped_batches_are_compared_with_executions_alone() -> None:
    network = inferkit.load("lenet")
    engines = {"float32": Overlapping(network), "uint8": Overlapping(with_uint8_input(network, Uint8Input(33.0)))}
    (info,) = network.inputs
    figures: dict[str, dict[str, Any]] = {dtype: {} for dtype in engines}
    part._overlapped(engines, {dtype: stand_in(replace(info, dtype=dtype), 2) for dtype in engines}, figures)
    for each in figures.values():
        assert each["batches_per_round"] == 2
        assert each["overlapped"] > 0
        assert each["share"] > 0
