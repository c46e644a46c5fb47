"""Which Caffe is used, and Caffe in this very process, where this Python has one."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import inferkit
from inferkit.backends import backend, build
from inferkit.backends.caffe.net import LocalNet, WorkerNet
from inferkit.backends.caffe.open import choose, open_net
from inferkit.backends.caffe.root import CaffeRoot
from inferkit.errors import BackendUnavailable

needs_own_caffe = pytest.mark.skipif(find_spec("caffe") is None, reason="this Python has no module caffe of its own")
TELL = (
    "from inferkit.backends import backend\n"
    "found = backend('caffe').availability()\n"
    "from inferkit.backends.caffe.open import local_caffe\n"
    "print(found.ok, local_caffe())"
)


def test_pypis_placeholder_is_not_taken_for_caffe(tmp_path: Path) -> None:
    (tmp_path / "caffe").mkdir()
    (tmp_path / "caffe" / "__init__.py").write_text("__version__ = '0.0.1'\n")
    environment = {"PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    words = [sys.executable, "-c", TELL]
    told = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
    assert told.startswith("False")
    assert "placeholder" in told


@pytest.mark.skipif(find_spec("caffe") is not None, reason="this Python has a module caffe of its own")
def test_insisting_on_this_process_without_a_caffe_in_it_tells_the_hint() -> None:
    with pytest.raises(BackendUnavailable, match="no module caffe"):
        choose(in_process=True)


@pytest.mark.pycaffe
def test_a_named_caffe_is_used_before_this_pythons_own(caffe_root: CaffeRoot) -> None:
    assert choose(caffe_root.path).root == caffe_root


@needs_own_caffe
def test_this_pythons_own_caffe_runs_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INFERKIT_CAFFE_ROOT", raising=False)
    assert backend("caffe").availability().ok
    network = inferkit.load("lenet")
    fed = np.random.default_rng(0).random((3, 1, 28, 28), np.float32)
    with build(network, backend="caffe", max_batch=4).session() as here, build(network, max_batch=4).session() as other:
        assert isinstance(here.net, LocalNet)  # type: ignore[attr-defined]
        for batch in (3, 1):
            expected = other.run(fed[:batch])["prob"]
            np.testing.assert_allclose(here.run(fed[:batch])["prob"], expected, atol=1e-5)
        assert here.last_trace is not None
        assert here.last_trace.wall > 0.0
        assert here.details()["overhead_seconds"] == {}


@needs_own_caffe
def test_a_worker_of_this_pythons_own_caffe_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INFERKIT_CAFFE_ROOT", raising=False)
    source = inferkit.load("lenet").source
    assert source is not None
    net = open_net(source.prototxt, source.caffemodel, in_process=False, threads=1)
    assert isinstance(net, WorkerNet)
    net.close()


@needs_own_caffe
def test_a_gpu_that_caffe_lacks_does_not_abort_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INFERKIT_CAFFE_ROOT", raising=False)
    source = inferkit.load("lenet").source
    assert source is not None
    with pytest.raises(BackendUnavailable):
        open_net(source.prototxt, source.caffemodel, in_process=True, gpu=True)
