"""Batches of a session lie in memory that is used again; nobody gets another's answer, a failed batch stops none."""

from __future__ import annotations

import numpy as np
import pytest

import inferkit
from inferkit.errors import BackendError
from inferkit.measure.images import stand_in
from inferkit.network.network import TensorInfo
from inferkit.serve import BadRequest, Batcher
from inferkit.serve.batching.layout import Layout
from inferkit.serve.batching.requests import Request, RequestBatch
from inferkit.serve.batching.staging import Staging
from tests.serve.batching.owning import OwningSession

LONG = 30.0


@pytest.fixture(scope="module")
def session():
    network = inferkit.load("lenet")
    with inferkit.build(network, max_batch=4).session(threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def images(session):
    return stand_in(session.inputs[0], 64)


def test_every_image_gets_its_own_scores_though_batches_share_memory(session, images):
    alone = [session.run(images[index : index + 1]) for index in range(len(images))]
    with Batcher(session, 4) as batcher:
        futures = [batcher.submit(images[index : index + 1]) for index in range(len(images))]
        answers = [future.result(LONG) for future in futures]
    for answer, expected in zip(answers, alone, strict=True):
        for name, scores in answer.items():
            # The kernels for one and for four images add up in another order.
            np.testing.assert_allclose(scores, expected[name], rtol=1e-4, atol=1e-6)


def test_a_batch_that_cannot_be_loaded_holds_up_no_answer(session, images):
    spoilt = images.copy()
    spoilt[10] = np.nan
    with Batcher(session, 4) as batcher:
        futures = [batcher.submit(spoilt[index : index + 1]) for index in range(len(spoilt))]
        with pytest.raises(BackendError, match="NaN"):
            futures.pop(10).result(LONG)
        assert all(future.result(LONG) for future in futures)


def test_memory_is_taken_again_for_a_session_and_never_for_a_function(session, images):
    layout = Layout(session.inputs)

    def stacked(staging: Staging) -> tuple[np.ndarray, RequestBatch]:
        requests = [Request(*layout.check(images[index : index + 1], 4), None) for index in range(3)]
        batch = RequestBatch(requests)
        staging.stack(batch)
        assert batch.arrays is not None
        array = batch.arrays[session.inputs[0].name]
        np.testing.assert_array_equal(array, images[:3])
        return array, batch

    for engine, is_shared in ((session, True), (session.run, False)):
        staging = Staging(engine, layout, 4)
        first, batch = stacked(staging)
        second, _ = stacked(staging)
        assert not np.shares_memory(first, second)  # the first is still the engine's
        staging.release(batch)
        third, _ = stacked(staging)
        assert np.shares_memory(first, third) == is_shared


def test_the_sign_comes_before_the_engine_runs_and_after_a_short_copy(session, images):
    seen = []
    staging = Staging(session, Layout(session.inputs), 4)
    staging.run({session.inputs[0].name: images[:4]}, lambda: seen.append(session._state))
    assert seen == ["loaded"]


def test_inputs_of_free_sizes_have_no_memory_kept():
    layout = Layout([TensorInfo("x", "float32", (None, None))])
    assert layout.memory(4) is None


@pytest.fixture
def owning():
    with OwningSession(inferkit.build(inferkit.load("lenet"), max_batch=4), strict=True) as opened:
        yield opened


def test_an_engine_with_memory_of_its_own_is_never_given_another(owning, session, images):
    with Batcher(owning, 4) as batcher:
        alone = batcher.submit(images[:1]).result(LONG)  # a single request is put there too
        full = batcher.submit(images[:4]).result(LONG)
        futures = [batcher.submit(images[index : index + 1]) for index in range(len(images))]
        answers = [future.result(LONG) for future in futures]
    expected = session.run(images[:4])
    for name, scores in expected.items():
        np.testing.assert_allclose(alone[name], scores[:1], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(full[name], scores, rtol=1e-4, atol=1e-6)
    for index, answer in enumerate(answers):
        for name, scores in session.run(images[index : index + 1]).items():
            np.testing.assert_allclose(answer[name], scores, rtol=1e-4, atol=1e-6)
    assert len(owning.memories) == 2  # one batch runs while the next is put together
    assert sum(owning.loaded) == 1 + 4 + len(images)


def test_nan_is_refused_at_the_door_of_an_engine_that_does_not_look_for_it(owning, images):
    spoilt = images[:2].copy()
    spoilt[1, 0, 3, 3] = np.nan
    with Batcher(owning, 4) as batcher:
        assert batcher.refuses_nan  # so that a service does not look for it once more
        with pytest.raises(BadRequest, match=r"1 NaN.*\[1, 0, 3, 3\]"):
            batcher.submit(spoilt)
        assert batcher.submit(images[:1]).result(LONG)
