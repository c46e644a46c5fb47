"""The fingerprints that backends have their latencies filed under stay what they were: stored baselines are found."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from inferkit.backends import base, gpus, nvml
from inferkit.backends.base import Availability
from inferkit.backends.gpus import Gpu
from inferkit.gate import fingerprint as module
from inferkit.gate.files.baseline import BaselineStore
from inferkit.suite.campaign import target
from inferkit.suite.campaign.target import fingerprint_of
from inferkit.suite.matrix.definition import BackendSettings

STORE = BaselineStore(Path(__file__).resolve().parents[2] / "baselines")
H200 = Gpu(0, "GPU-1", "NVIDIA H200", (9, 0), 140 << 30, "13.0")
NVML = {"power_limit_watts": 700.0, "ecc": True, "mig": False, "driver": "580.159.04", "cuda": "13.0"}


class Version(tuple):
    """What sys.version_info is, of Python 3.12."""

    major, minor = 3, 12


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """The host of the committed H200 baselines; call it with a version of the backend and the GPUs that are there."""

    def make(version: str, *installed: Gpu, facts: Mapping[str, Any] = NVML) -> None:
        monkeypatch.setattr(module, "cpu_model", lambda: "Intel Xeon")
        monkeypatch.setattr(module, "usable_cpus", lambda: 16)
        monkeypatch.setattr(base, "usable_cores", lambda: 16)
        monkeypatch.setattr(platform, "system", lambda: "Linux")
        monkeypatch.setattr(platform, "machine", lambda: "x86_64")
        monkeypatch.setattr(sys, "version_info", Version((3, 12)))
        monkeypatch.setattr(target, "availability", lambda backend, precision: Availability(True, version=version))
        monkeypatch.setattr(gpus, "visible_gpus", lambda: installed)
        monkeypatch.setattr(nvml, "gpu_facts", lambda handle: dict(facts))
        monkeypatch.delenv("INFERKIT_GPU", raising=False)

    return make


@pytest.mark.parametrize("version", ["1.4.0.76", "1.6.1.120"])
def test_a_gpu_finds_the_baseline_that_was_committed_for_it(machine, version: str) -> None:
    machine(f"tensorrt_rtx {version}", H200)
    fingerprint = fingerprint_of("tensorrt", BackendSettings())
    assert STORE.path(fingerprint).is_file()
    stored = STORE.find(fingerprint)
    assert stored is not None
    assert stored.fingerprints[fingerprint.slug] == fingerprint  # in the order of the file, too


def test_the_gpu_is_the_one_that_the_session_names(machine) -> None:
    second = Gpu(1, "GPU-2", "NVIDIA L4", (8, 9), 24 << 30, "13.0")
    machine("tensorrt_rtx 1.4.0.76", H200, second)
    facts = fingerprint_of("tensorrt", BackendSettings(session={"device": "GPU-2"})).as_dict()
    assert (facts["gpu"], facts["gpu_memory_gib"]) == ("NVIDIA L4", "24")


def test_without_nvml_a_gpu_is_its_name_memory_and_cuda(machine) -> None:
    machine("tensorrt_rtx 1.4.0.76", H200, facts={})
    facts = list(fingerprint_of("tensorrt", BackendSettings()).as_dict().items())
    assert facts[:4] == [("gpu", "NVIDIA H200"), ("gpu_memory_gib", "140"), ("cuda", "13.0"), ("cpu", "Intel Xeon")]


@pytest.mark.parametrize(
    ("backend", "settings", "slug"),
    [
        # As run files and baselines of earlier versions have them.
        ("onnxruntime", BackendSettings(session={"threads": 4}), "intel-xeon-16cpu-onnxruntime-1.31.1-c999cc78"),
        ("onnxruntime", BackendSettings(build={"threads": 2}), "intel-xeon-16cpu-onnxruntime-1.31.1-557e8a16"),
        ("caffe", BackendSettings(session={"threads": 4}), "intel-xeon-16cpu-caffe-1.31.1-0e3c2963"),
    ],
)
def test_a_cpu_has_the_slug_that_it_had(machine, backend: str, settings: BackendSettings, slug: str) -> None:
    machine("1.31.1", H200)  # a GPU that is there is no part of what a CPU computes
    assert fingerprint_of(backend, settings).slug == slug
