"""What the built-in backends say of themselves is true: settings that they take, networks and precisions that exist."""

from __future__ import annotations

import inspect
from dataclasses import fields

import pytest

import inferkit
from inferkit.backends import BUILT_IN, DEFAULT_BACKEND, DEFAULT_ENGINE_BACKEND, backend
from inferkit.backends.base import Availability, Facts
from inferkit.backends.caffe.session import CaffeBackend, CaffeEngine
from inferkit.backends.onnxruntime.settings import Settings
from inferkit.backends.tensorrt.building.build import Wanted
from inferkit.errors import BackendError, BackendUnavailable
from inferkit.network import zoo
from inferkit.network.network import PRECISIONS
from tests.backends.small_networks import classifier, images


def keywords(function: object) -> set[str]:
    """The names of the keyword-only parameters."""
    kind = inspect.Parameter.KEYWORD_ONLY
    return {each.name for each in inspect.signature(function).parameters.values() if each.kind is kind}  # type: ignore[arg-type]


def test_the_settings_of_each_are_those_that_it_takes() -> None:
    ours = {field.name for field in fields(Settings)}
    onnxruntime, caffe, tensorrt = (backend(name).facts for name in BUILT_IN)
    assert set(onnxruntime.session_settings) == ours
    assert set(onnxruntime.build_settings) == ours | keywords(backend("onnxruntime").build)
    assert set(caffe.session_settings) == keywords(CaffeEngine.session)
    assert set(caffe.build_settings) == keywords(CaffeBackend.build)
    assert set(tensorrt.build_settings) == {field.name for field in fields(Wanted)}
    assert set(tensorrt.build_anew) <= set(tensorrt.build_settings)
    for facts in (onnxruntime, caffe, tensorrt):
        assert set(facts.path_settings) <= {*facts.build_settings, *facts.session_settings}


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_each_refers_to_exists(name: str) -> None:
    found = backend(name)
    assert set(found.precisions) | set(found.facts.emulates) <= set(PRECISIONS)
    assert not set(found.precisions) & set(found.facts.emulates)
    reference = found.facts.reference
    if reference is not None:
        assert zoo.knows(reference.name)
        assert reference.precision in found.precisions
        assert reference.batch_size >= 1


def test_the_defaults_are_what_their_commands_need() -> None:
    assert not backend(DEFAULT_BACKEND).facts.on_gpu
    assert backend(DEFAULT_BACKEND).availability().ok
    assert backend(DEFAULT_ENGINE_BACKEND).facts.keeps_engine_files


def test_a_margin_is_narrow_only_where_replicates_are_quiet() -> None:
    """One of a shared CPU must hold two replicates that differ by 10 %; a GPU's differ by less than 1 %."""
    assert {backend(name).facts.latency_margin for name in BUILT_IN if not backend(name).facts.on_gpu} == {0.25}
    assert backend("tensorrt").facts.latency_margin == 0.05
    assert Facts().latency_margin == 0.25


@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_what_is_emulated_is_built_on_request_only(precision: str) -> None:
    network = classifier()
    reduced = inferkit.at_precision(network, precision, **({} if precision == "bf16" else {"calibration": [images(4)]}))
    with pytest.raises(BackendUnavailable):
        inferkit.build(reduced)
    for name in BUILT_IN:
        if precision in backend(name).facts.emulates:
            with inferkit.build(reduced, backend=name, max_batch=2, emulate=True).session() as session:
                assert session.run(images(2))["prob"].shape == (2, 4)


def test_layer_times_are_of_the_loaded_batch_and_leave_the_session_as_it_was() -> None:
    with inferkit.build(classifier(), max_batch=2).session() as session:
        with pytest.raises(BackendError, match="load a batch"):
            session.layer_times(1)
        want = session.run(images(2))["prob"]
        table = session.layer_times(2)
        assert {"flat_3", "prob_4"} <= {name for row in table for name in row.origins}
        assert all(row.seconds is not None and row.seconds >= 0 for row in table)
        session.execute()
        assert (session.fetch()["prob"] == want).all()


def test_a_backend_of_three_methods_is_whole() -> None:
    """What the interface asks of everyone: whether it runs here, how it builds; a session's parts are the study's."""
    from inferkit.backends.base import Backend, Engine, Session

    assert Backend.__abstractmethods__ == {"availability", "build"}
    assert Engine.__abstractmethods__ == {"session"}
    assert Session.__abstractmethods__ == {"load", "execute", "fetch", "close"}
    assert Availability(True).reason == ""
