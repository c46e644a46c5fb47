"""Backends are found by entry points: those of other distributions beside the built-in ones, and what goes wrong."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import inferkit
from inferkit import backends
from inferkit.backends import BUILT_IN, backend, backend_names, engine_backend
from inferkit.backends.base import Facts
from inferkit.errors import BackendError, BackendUnavailable, EngineError, UsageError
from tests.backends.distributions import GROUP, distribution, from_page
from tests.backends.small_networks import classifier, classifier_by_hand, images

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch):
    """Puts folders on sys.path for a test, and has the backends found anew."""
    backends._announced.cache_clear()

    def add(*folders: Path) -> None:
        for folder in folders:
            monkeypatch.syspath_prepend(str(folder))
        backends._announced.cache_clear()

    yield add
    monkeypatch.undo()
    backends._announced.cache_clear()


def test_the_built_in_ones_are_announced_like_those_of_others() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"][GROUP] == BUILT_IN
    assert tuple(BUILT_IN) == ("onnxruntime", "caffe", "tensorrt")
    assert [backend(name).name for name in BUILT_IN] == list(BUILT_IN)


def test_a_checkout_that_is_not_installed_has_the_built_in_ones(tmp_path: Path) -> None:
    """Without site-packages there is no metadata at all; what numpy needs is not asked for."""
    code = "from inferkit.backends import backend_names; print(*backend_names())"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.stdout.split() == list(BUILT_IN), done.stderr


def test_importing_inferkit_and_asking_for_a_built_in_one_reads_no_metadata() -> None:
    code = (
        "import sys, inferkit.backends\n"
        "light = {'numpy', 'onnx', 'importlib.metadata'} & set(sys.modules)\n"
        "inferkit.backends.backend('tensorrt')\n"
        "print(light, inferkit.backends._announced.cache_info().misses)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["set()", "0"], done.stderr


def test_a_backend_of_another_distribution_is_listed_built_and_run(tmp_path: Path, path) -> None:
    path(from_page(tmp_path))
    assert backend_names() == (*BUILT_IN, "numpy")
    engine = inferkit.build(classifier(), backend="numpy", max_batch=3)
    with engine.session() as session:
        np.testing.assert_allclose(session.run(images(3))["prob"], classifier_by_hand(images(3)), rtol=1e-5)
        assert session.last_trace is not None
        assert session.last_trace.wall > 0
        with pytest.raises(BackendError, match="4 images"):
            session.load(images(4))


def test_what_it_does_not_say_has_a_default(tmp_path: Path, path) -> None:
    path(from_page(tmp_path))
    found = backend("numpy")
    assert found.facts == Facts(latency_margin=0.5)
    assert not found.facts.on_gpu
    assert not found.facts.keeps_engine_files
    assert found.facts.reference is None
    assert (found.device(), found.environment("fp32"), found.alone()) == (None, {}, {})
    with pytest.raises(EngineError, match="numpy keeps no engine files"):
        found.load_engine("a.plan")
    engine = found.build(classifier(), 1)
    with engine.session() as session:
        session.load(images(1))
        assert session.layer_times(3) == ()
    with pytest.raises(BackendError, match="nothing to write"):
        engine.save(tmp_path / "a.plan")


def test_others_come_in_alphabetical_order(tmp_path: Path, path) -> None:
    path(distribution(tmp_path, "many", {"zeta": "m:B", "alpha": "m:B", "mid_1.2": "m:B"}))
    assert backend_names() == (*BUILT_IN, "alpha", "mid_1.2", "zeta")


def test_one_name_of_two_distributions_is_an_error_that_names_both(tmp_path: Path, path) -> None:
    path(distribution(tmp_path / "a", "first-one", {"mine": "a:B"}))
    path(distribution(tmp_path / "b", "second-one", {"mine": "b:B"}, "2.0"))
    with pytest.raises(UsageError, match=r"'mine': first-one 1\.0 and second-one 2\.0; uninstall one"):
        backend_names()


def test_the_name_of_a_built_in_one_is_taken(tmp_path: Path, path) -> None:
    path(distribution(tmp_path, "other-caffe", {"caffe": "other:B"}))
    with pytest.raises(UsageError, match=r"'caffe': inferkit and other-caffe 1\.0"):
        backend_names()


def test_a_name_that_case_ids_cannot_hold_is_refused(tmp_path: Path, path) -> None:
    path(distribution(tmp_path, "dashed", {"my-backend": "m:B"}))
    with pytest.raises(UsageError, match=r"'my-backend' of dashed 1\.0"):
        backend_names()


BROKEN = {
    "raising": ("import no_such_library", r"cannot be imported: ModuleNotFoundError: .*no_such_library"),
    "without": ("OTHER = 1", r"cannot be imported: AttributeError"),
    "no_backend": ("BACKEND = {}", r"is no Backend but dict"),
    "renamed": ("from inferkit.backends.onnxruntime import BACKEND", r"calls itself 'onnxruntime'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_one_that_cannot_be_used_says_why_and_whose_it_is_and_the_others_go_on(tmp_path: Path, path, name: str) -> None:
    text, why = BROKEN[name]
    module = f"broken_{name}"
    path(distribution(tmp_path, "of-others", {name: f"{module}:BACKEND"}, **{module: text}))
    assert backend_names() == (*BUILT_IN, name)
    found = backend(name).availability()
    assert not found.ok
    with pytest.raises(BackendUnavailable, match=rf"the backend '{name}' of of-others 1\.0.*{why}") as caught:
        inferkit.build(classifier(), backend=name)
    assert caught.value.hint == "reinstall or uninstall of-others 1.0"
    assert inferkit.build(classifier()).info.backend == "onnxruntime"


def test_an_unknown_name_is_told_with_those_that_there_are(tmp_path: Path, path) -> None:
    path(from_page(tmp_path))
    with pytest.raises(UsageError, match="unknown backend 'onnx'; there are onnxruntime, caffe, tensorrt, numpy"):
        backend("onnx")


KEEPER = """
import json, pathlib
from numpy_backend import NumpyBackend, NumpyEngine
from inferkit.backends.base import Facts, metadata_of
from inferkit.files import info_path
from inferkit.network.load import load

class Engine(NumpyEngine):
    def save(self, path):
        pathlib.Path(path).write_bytes(self.network.model.SerializeToString())
        info = {"backend": "keeper", "network": self.network.name, "precision": "fp32", "profile": [1, 1, 2]}
        info_path(path).write_text(json.dumps(info))

class Keeper(NumpyBackend):
    name = "keeper"
    facts = Facts(engine_suffixes=(".kept",))
    def build(self, network, max_batch):
        return Engine(network, max_batch)
    def load_engine(self, path):
        copy = pathlib.Path(path).with_suffix(".onnx")
        copy.write_bytes(pathlib.Path(path).read_bytes())
        return Engine(load(copy), 2)
    def read_info(self, path, *, verify=False):
        return metadata_of(path)

BACKEND = Keeper()
"""


def test_an_engine_file_is_its_own_backends(tmp_path: Path, path, capsys: pytest.CaptureFixture[str]) -> None:
    from inferkit.cli.main import main

    path(distribution(from_page(tmp_path), "keepers", {"keeper": "keeper:BACKEND"}, keeper=KEEPER))
    file = tmp_path / "small.kept"
    inferkit.build(classifier(), backend="keeper", max_batch=2).save(file)
    assert engine_backend(file).name == "keeper"
    assert ".kept" in backends.engine_suffixes()
    with engine_backend(file).load_engine(file).session() as session:
        np.testing.assert_allclose(session.run(images(2))["prob"], classifier_by_hand(images(2)), rtol=1e-5)
    assert main(["inspect", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "built by:    keeper" in shown
    assert "the keeper backend timed no layers of this network" in shown


def test_an_engine_file_without_metadata_is_refused_by_one_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.plan").write_bytes(b"plan")
    with pytest.raises(EngineError, match=r"metadata a\.plan\.json is missing"):
        engine_backend(tmp_path / "a.plan").load_engine(tmp_path / "a.plan")
