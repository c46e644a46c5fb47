"""A machine without a GPU, a driver or a library: unavailable with the reason, never a crash."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import inferkit
from inferkit.backends.gpus import visible_gpus
from inferkit.backends.tensorrt import BACKEND
from inferkit.backends.tensorrt.building.build import _compared
from inferkit.backends.tensorrt.plan import Plan
from inferkit.errors import BackendUnavailable, UsageError
from inferkit.network.network import PRECISIONS, Network
from tests.backends.tensorrt.building.test_trt_plan import info_for


@pytest.fixture
def no_gpu() -> None:
    try:
        visible_gpus()
    except BackendUnavailable:
        return
    pytest.skip("there is a GPU here")


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("precision", PRECISIONS)
def test_availability_never_raises_and_has_a_reason(precision: str) -> None:
    available = BACKEND.availability(precision)
    assert not available.ok
    assert available.reason
    assert available.hint


@pytest.mark.usefixtures("no_gpu")
def test_a_session_needs_a_gpu(rtx: Any, tiny: Network, cache: Any) -> None:
    engine = inferkit.build(tiny, backend="tensorrt", max_batch=2, flavour="tensorrt_rtx")
    with pytest.raises(BackendUnavailable, match="NVIDIA"):
        engine.session()


@pytest.mark.usefixtures("no_gpu")
def test_what_cannot_run_here_is_not_compared_with_onnx_runtime(tiny: Network) -> None:
    plan = _compared(Plan(b"a plan", info_for(b"a plan")), tiny, None)
    assert plan.info.comparison.startswith("not compared with ONNX Runtime: the engine does not run here (")


def test_settings_are_checked_before_anything_else(rtx: Any, tiny: Network, cache: Any) -> None:
    engine = inferkit.build(tiny, backend="tensorrt", max_batch=2, flavour="tensorrt_rtx")
    with pytest.raises(UsageError, match="latency, throughput"):
        engine.session(mode="bandwidth")
    with pytest.raises(UsageError, match="threads"):
        engine.session(threads=2)
    with pytest.raises(UsageError, match="buffers"):
        engine.session(mode="latency", buffers=3)


@pytest.mark.usefixtures("no_gpu")
def test_the_current_target_needs_a_gpu(rtx: Any, tiny: Network, cache: Any) -> None:
    with pytest.raises(BackendUnavailable, match="NVIDIA"):
        inferkit.build(tiny, backend="tensorrt", max_batch=2, flavour="tensorrt_rtx", target="current")


def test_importing_the_backend_imports_no_library() -> None:
    script = (
        "import sys, inferkit.backends.tensorrt, inferkit.measure.machine.gpu, inferkit.measure.machine.lease\n"
        "loaded = {'tensorrt', 'tensorrt_rtx', 'pycuda', 'cuda', 'pynvml', 'onnxruntime'} & set(sys.modules)\n"
        "sys.exit(f'imported {loaded}' if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
