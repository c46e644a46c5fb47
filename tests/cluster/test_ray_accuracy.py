"""50,000 images on a cluster of three nodes, one of which is killed: the same result as one process, bit by bit."""

from __future__ import annotations

import contextlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from inferkit.cli.main import main
from inferkit.cluster.accuracy import evaluate_on
from inferkit.cluster.pool import Pool
from inferkit.cluster.worker import Evaluation
from inferkit.data import open_dataset, write_lmdb
from inferkit.errors import UsageError
from inferkit.measure.accuracy.top_k import AccuracySpec
from inferkit.measure.engine.engine_file import EngineSpec
from inferkit.measure.engine.prepared_network import Recipe, prepare
from inferkit.measure.jobs.launch import run_accuracy

pytestmark = pytest.mark.slow
STEPS = {"scale": 0.00390625}
SHIFTS = ((0, 0), (1, 0), (0, 1), (-1, 0), (0, -1))  # pixels: five times the embedded 10,000, each time moved


@pytest.fixture(scope="module")
def many_images(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An LMDB of 50,000 images."""
    with open_dataset("fashion_mnist") as dataset:
        batch = next(dataset.batches(len(dataset), dtype="uint8"))
    moved = [np.roll(batch.images, shift, axis=(2, 3)) for shift in SHIFTS]
    path = tmp_path_factory.mktemp("many") / "lmdb"
    write_lmdb(path, (image for images in moved for image in images), np.tile(batch.labels, len(SHIFTS)).tolist())
    return str(path)


def test_a_node_that_is_killed_loses_nothing_and_nothing_is_counted_twice(
    cluster: Any, many_images: str, tmp_path: Path
):
    prepare(Recipe("lenet", "lenet", "fp32"), tmp_path / "lenet")
    job = Evaluation("lenet", "onnxruntime", "fp32", many_images, STEPS, 100)
    lines: list[str] = []

    def kill_the_first_that_is_done(line: str) -> None:
        lines.append(line)
        if len(lines) == 2:
            cluster.kill(line.split("/")[1])

    with Pool(cluster.address, on_gpu=False, on_cpu=True) as pool:
        assert len(pool.workers) == 3
        merged, parts = evaluate_on(pool, job, tmp_path / "lenet", shard=2500, say=kill_the_first_that_is_done)
        assert len(pool.workers) == 2
    assert sum("is lost" in line for line in lines) == 1
    assert len(parts) == 20
    assert len({part.worker for part in parts}) == 3
    engine = EngineSpec(str(tmp_path / "lenet"), "onnxruntime", 100)
    alone = run_accuracy(AccuracySpec(engine, many_images, STEPS), "alone")
    assert merged.images == alone.images == 50_000
    assert int(merged.top1.sum()) == int(alone.top1.sum())
    np.testing.assert_array_equal(merged.predictions, alone.predictions)
    np.testing.assert_array_equal(merged.top1, alone.top1)
    np.testing.assert_array_equal(merged.top5, alone.top5)


def test_the_command_says_the_same_with_and_without_a_cluster(cluster: Any, tmp_path: Path):
    options = ["evaluate", "lenet", "--batch-size", "100", "--json"]
    assert main([*options, str(tmp_path / "one.json")]) == 0
    assert main([*options, str(tmp_path / "many.json"), "--ray", cluster.address, "--shard", "2500"]) == 0
    alone, many = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "many"))
    assert alone["top1_count"] == many["top1_count"] == 9167
    assert alone["predictions"] == many["predictions"]
    assert sum(part["count"] for part in many["parts"]) == 10_000


def test_a_local_cluster_listens_on_loopback_only():
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs Ray")
    with Pool("local", on_gpu=False, on_cpu=True) as pool:
        assert pool.workers
        listening = []
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # short helpers of Ray's that end meanwhile
                listening += [c.laddr.ip for c in process.net_connections(kind="inet") if c.status == "LISTEN"]
    assert listening
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_an_address_where_there_is_no_cluster_is_said():
    pytest.importorskip("ray")
    with pytest.raises(UsageError, match="no cluster answers"):
        Pool("127.0.0.1:1", on_gpu=False, on_cpu=True)
