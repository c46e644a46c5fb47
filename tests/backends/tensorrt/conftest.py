"""What the TensorRT tests share: a real TensorRT-RTX (builds without a GPU), a cache of their own, small networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import inferkit
from inferkit.backends.tensorrt.flavour import Flavour, load_flavour
from inferkit.errors import InferkitError
from inferkit.network.network import Network
from tests.backends.tensorrt.trt_models import tiny_model


@pytest.fixture(scope="session")
def rtx() -> Flavour:
    """TensorRT-RTX, real."""
    return load_flavour("tensorrt_rtx")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("INFERKIT_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def gpu_backend() -> object:
    """The backend, where a GPU can run it; for tests marked `gpu`."""
    from inferkit.backends.tensorrt import BACKEND

    available = BACKEND.availability()
    if not available.ok:
        pytest.skip(available.reason)
    return BACKEND


@pytest.fixture
def tiny() -> Network:
    return Network.from_model(tiny_model(), "tiny")


@pytest.fixture
def refused() -> Callable[..., str]:
    """Call something that must raise an InferkitError; returns its class and message."""

    def call(work: Callable[[], object]) -> str:
        with pytest.raises(InferkitError) as caught:
            work()
        return f"{type(caught.value).__name__}: {caught.value}"

    return call


@pytest.fixture(scope="session")
def lenet() -> Network:
    return inferkit.load("lenet")
