"""The cost model: its formula, and what must hold whatever the parts are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.errors import UsageError
from tools.bench.cost import Parts, best_shard, cases_seconds, dataset_seconds

PARTS = Parts(start=5.0, prepare=3.0, ship=1.0, build=11.0, process=2.0, rate=1000.0)


def test_a_dataset_by_hand():
    # 50,000 images in parts of 5,000: ten parts on four workers are three rounds of 2 + 5 seconds.
    assert dataset_seconds(PARTS, 50_000, 5000, 4) == 20 + 3 * 7
    assert dataset_seconds(PARTS, 50_000, 5000, 10) == 20 + 7
    assert dataset_seconds(PARTS, 50_000, 5000, 10, lost=0.1) == 20 + 2 * 7


def test_a_matrix_by_hand():
    # Eight GPUs on two sockets measure two latencies at a time: 24 cases are twelve rounds of three processes.
    assert cases_seconds(PARTS, 24, 3, 0.5, gpus=8, sockets=2) == 20 + 12 * 3 * 2.5
    assert cases_seconds(PARTS, 24, 3, 0.5, gpus=8, sockets=8) == 20 + 3 * 3 * 2.5


@given(st.integers(1, 10**6), st.integers(1, 10**4), st.integers(1, 500))
def test_a_worker_more_never_takes_longer_and_no_run_beats_its_work(images, shard, workers):
    now, more = (dataset_seconds(PARTS, images, shard, count) for count in (workers, workers + 1))
    assert more <= now
    assert now >= PARTS.fixed + images / PARTS.rate / workers


@given(st.integers(1, 10**6), st.integers(1, 500), st.integers(1, 300))
def test_the_best_part_is_whole_batches_and_keeps_everybody_busy(images, workers, batch):
    shard = best_shard(PARTS, images, workers, batch)
    assert shard % batch == 0
    assert shard < images / workers + batch + 1


def test_neighbours_take_longer_only_where_cores_are_missing():
    # Two workers that keep 1.6 cores busy each need 3.2 and get 2: 0.625 of the rate. Starting needs 1 each: enough.
    one = replace(PARTS, process_cores=1.0, rate_cores=1.6)
    both = one.shared(2, 2)
    assert both.process == one.process
    assert both.rate == pytest.approx(0.625 * one.rate)
    assert (one.shared(1, 2).process, one.shared(1, 2).rate) == (one.process, one.rate)
    assert one.shared(2, 1.0).process == 2 * one.process
    assert PARTS.shared(100, 1) == PARTS  # nothing is known of its cores


def test_runs_that_are_none_are_refused():
    with pytest.raises(UsageError):
        dataset_seconds(PARTS, 0, 1, 1)
    with pytest.raises(UsageError):
        cases_seconds(PARTS, 1, 1, 1.0, gpus=1, sockets=0)
    with pytest.raises(UsageError):
        PARTS.shared(2, 0)
