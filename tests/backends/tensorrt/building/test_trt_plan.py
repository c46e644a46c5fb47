"""A plan on disk: whatever is not exactly what was written is refused with the reason, before TensorRT sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inferkit.backends.tensorrt.plan import (
    Plan,
    PlanInfo,
    check_fits,
    info_path,
    read_plan,
    sha256,
    write_plan,
)
from inferkit.errors import EngineError
from inferkit.network.network import TensorInfo
from tests.backends.tensorrt.trt_models import tiny_model

ROOT = Path(__file__).resolve().parents[4]
CONTENT = bytes(range(256)) * 8
H200 = {"name": "NVIDIA H200", "compute_capability": "9.0"}


def info_for(content: bytes, **changes: Any) -> PlanInfo:
    fields: dict[str, Any] = {
        "flavour": "tensorrt_rtx",
        "version": "1.7.1.116",
        "network": "tiny",
        "network_digest": "00" * 32,
        "precision": "int8",
        "calibration": "entropy of 500 images",
        "inputs": (TensorInfo("data", "float32", (None, 3, 12, 12)),),
        "outputs": (TensorInfo("prob", "float32", (None, 10)),),
        "profile": (1, 4, 8),
        "static": False,
        "targets": (),
        "gpu": None,
        "tf32": False,
        "workspace_bytes": None,
        "build_seconds": 1.5,
        "size_bytes": len(content),
        "sha256": sha256(content),
        "inferkit": "0.1.0",
    }
    return PlanInfo(**{**fields, **changes})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "engine.plan"
    write_plan(target, Plan(CONTENT, info_for(CONTENT)))
    return target


def test_what_was_written_is_read(path: Path) -> None:
    plan = read_plan(path)
    assert plan.content == CONTENT == path.read_bytes()  # the plan itself has no wrapping: other tools read it
    assert plan.info == info_for(CONTENT)


def test_how_an_engine_agreed_is_read_back_and_of_earlier_versions_unknown() -> None:
    info = info_for(CONTENT, comparison="agrees with ONNX Runtime to 52 dB (limit 25 dB)")
    assert PlanInfo.from_json(info.to_json()) == info
    earlier = json.loads(info.to_json())
    del earlier["comparison"]
    assert PlanInfo.from_json(json.dumps(earlier).encode()).comparison == ""


def test_axes_are_read_back_and_those_of_earlier_versions_are_the_first(path: Path) -> None:
    state = TensorInfo("state", "float32", (2, None, 8), ("", "N", ""), 1)
    info = info_for(CONTENT, inputs=(state, TensorInfo("rate", "int64", ())))
    read = PlanInfo.from_json(info.to_json()).inputs
    assert [(each.axes, each.batch_axis) for each in read] == [(("", "N", ""), 1), ((), None)]
    earlier = json.loads(info_for(CONTENT).to_json())
    for each in earlier["inputs"]:
        del each["axes"], each["batch_axis"]
        each["first"] = "N"
    (read_earlier,) = PlanInfo.from_json(json.dumps(earlier).encode()).inputs
    assert (read_earlier.axis_name(0), read_earlier.batch_axis) == ("N", 0)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(position=st.integers(0, len(CONTENT) - 1), bit=st.integers(0, 7))
def test_any_changed_bit_is_noticed(path: Path, position: int, bit: int) -> None:
    changed = bytearray(CONTENT)
    changed[position] ^= 1 << bit
    path.write_bytes(bytes(changed))
    with pytest.raises(EngineError, match="damaged"):
        read_plan(path)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(size=st.integers(1, len(CONTENT) - 1))
def test_any_truncation_is_noticed(path: Path, size: int) -> None:
    path.write_bytes(CONTENT[:size])
    with pytest.raises(EngineError, match=f"truncated, {size} bytes where {len(CONTENT)}"):
        read_plan(path)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=400))
def test_random_metadata_is_refused(path: Path, content: bytes) -> None:
    info_path(path).write_bytes(content)
    with pytest.raises(EngineError, match="metadata"):
        read_plan(path)


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda fields: fields.update(schema=99), "schema is 99"),
        (lambda fields: fields.pop("profile"), "profile"),
        (lambda fields: fields.update(inputs=[{"name": "data"}]), "missing"),
        (lambda fields: fields.update(colour="red"), "colour"),
    ],
)
def test_metadata_that_is_not_ours_is_refused(path: Path, change: Any, reason: str) -> None:
    fields = json.loads(info_path(path).read_text())
    change(fields)
    info_path(path).write_text(json.dumps(fields))
    with pytest.raises(EngineError, match=reason):
        read_plan(path)


def test_a_longer_file_is_refused(path: Path) -> None:
    path.write_bytes(CONTENT + b"x")
    with pytest.raises(EngineError, match="too long"):
        read_plan(path)


def test_an_empty_file_is_refused(path: Path) -> None:
    path.write_bytes(b"")
    with pytest.raises(EngineError, match="empty"):
        read_plan(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot be read"):
        read_plan(tmp_path / "nothing.plan")


def test_a_plan_of_unknown_origin_is_refused(path: Path) -> None:
    info_path(path).unlink()
    with pytest.raises(EngineError, match=r"origin.*inferkit build"):
        read_plan(path)


def test_an_onnx_model_given_by_mistake_is_recognized(tmp_path: Path) -> None:
    for name in ("model.onnx", "model.plan"):
        path = tmp_path / name
        path.write_bytes(tiny_model().SerializeToString())
        with pytest.raises(EngineError, match=r"ONNX model.*inferkit build"):
            read_plan(path)


@pytest.mark.parametrize(
    "changes, reason",
    [
        (
            {"flavour": "tensorrt", "version": "10.16.1.11"},
            "tensorrt 10.16.1.11.*INFERKIT_TENSORRT=tensorrt",
        ),
        ({"version": "1.4.0.76"}, "built with tensorrt_rtx 1.4.0.76, but 1.7.1.116"),
        ({"targets": ("sm86", "sm89")}, "compute capability 8.6, 8.9, but NVIDIA H200 has 9.0"),
        ({"gpu": {"name": "Tesla T4", "compute_capability": "7.5"}}, "built on Tesla T4"),
    ],
)
def test_what_was_built_for_elsewhere_is_refused(changes: dict[str, Any], reason: str) -> None:
    info = replace(info_for(CONTENT), **changes)
    with pytest.raises(EngineError, match=reason):
        check_fits(info, flavour="tensorrt_rtx", version="1.7.1.116", gpu=H200)


@pytest.mark.parametrize("changes", [{}, {"targets": ("sm90",)}, {"targets": ("sm120",)}, {"gpu": H200}])
def test_what_was_built_for_here_fits(changes: dict[str, Any]) -> None:
    gpu = {"name": "NVIDIA GeForce RTX 5090", "compute_capability": "12.0"} if "sm120" in str(changes) else H200
    check_fits(replace(info_for(CONTENT), **changes), flavour="tensorrt_rtx", version="1.7.1.116", gpu=gpu)


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    # A limit on file size fails a write half-way exactly as a full disk does.
    script = (
        "import resource, sys\n"
        "sys.path[:0] = sys.argv[2:]\n"
        "from tests.backends.tensorrt.building.test_trt_plan import CONTENT, info_for\n"
        "from inferkit.backends.tensorrt.plan import Plan, write_plan\n"
        "from inferkit.errors import EngineError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    write_plan(sys.argv[1], Plan(CONTENT, info_for(CONTENT)))\n"
        "except EngineError as error:\n"
        "    print(error)\n"
    )
    target = tmp_path / "out" / "engine.plan"
    command = [sys.executable, "-c", script, str(target), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "cannot be written" in done.stdout
    assert "INFERKIT_CACHE" in done.stdout
    assert list((tmp_path / "out").iterdir()) == []


def test_an_unwritable_place_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EngineError, match="cannot be written"):
        write_plan(tmp_path / "file" / "engine.plan", Plan(CONTENT, info_for(CONTENT)))
