"""Parts of a dataset: how it is cut, and that only parts that tile it exactly become a result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.cluster.accuracy import Part, merge, shards
from inferkit.cluster.packing import pack, pack_files, unpack
from inferkit.cluster.worker import machine_id, socket_of_gpu, sockets
from inferkit.errors import MeasurementError
from inferkit.measure.accuracy.top_k import Accuracy, AccuracySpec, evaluate
from inferkit.measure.engine.engine_file import EngineSpec
from inferkit.measure.engine.prepared_network import Recipe, prepare


def part(start: int, count: int) -> Part:
    right = (np.arange(start, start + count) % 3) == 0
    accuracy = Accuracy(np.arange(start, start + count, dtype=np.int32), right, right | True, 0.5, 9.0, not_finite=1)
    return Part(start, count, "worker", accuracy)


@given(st.integers(1, 5000), st.integers(1, 700), st.integers(1, 100))
def test_parts_tile_the_dataset_in_whole_batches(images, size, batch):
    parts = shards(images, size, batch)
    assert [start for start, _ in parts] == list(np.cumsum([0, *(count for _, count in parts[:-1])]))
    assert sum(count for _, count in parts) == images
    assert all(start % batch == 0 for start, _ in parts)


@given(st.permutations([(0, 30), (30, 30), (60, 30), (90, 7)]))
def test_parts_are_merged_in_the_datasets_order_whatever_order_they_came_in(order):
    whole = part(0, 97).accuracy
    merged = merge([part(*stretch) for stretch in order], 97, elapsed=2.0)
    np.testing.assert_array_equal(merged.predictions, whole.predictions)
    np.testing.assert_array_equal(merged.top1, whole.top1)
    assert (merged.seconds, merged.elapsed, merged.not_finite) == (2.0, 2.0, 4)


@pytest.mark.parametrize("stretches", [[(0, 30), (60, 30)], [(0, 60), (30, 30)], [(0, 30), (0, 30)], [(0, 30)]])
def test_a_gap_or_an_overlap_is_no_result(stretches):
    with pytest.raises(MeasurementError, match="the parts"):
        merge([part(*stretch) for stretch in stretches], 90, elapsed=1.0)


def test_a_part_gives_what_the_whole_gives(tmp_path: Path):
    prepare(Recipe("lenet", "lenet", "fp32"), tmp_path)
    steps = {"scale": 0.00390625}
    engine = EngineSpec(str(tmp_path), "onnxruntime", 100)
    whole = evaluate(AccuracySpec(engine, "fashion_mnist", steps))
    some = evaluate(AccuracySpec(engine, "fashion_mnist", steps, start=9700, count=250))
    np.testing.assert_array_equal(some.predictions, whole.predictions[9700:9950])
    np.testing.assert_array_equal(some.top5, whole.top5[9700:9950])


def test_folders_are_shipped_whole(tmp_path: Path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one").write_bytes(b"1")
    (tmp_path / "a" / "b" / "two").write_bytes(b"2")
    unpack(pack(tmp_path / "a"), tmp_path / "c")
    assert (tmp_path / "c" / "b" / "two").read_bytes() == b"2"
    unpack(pack_files(tmp_path / "a" / "one", tmp_path / "missing"), tmp_path / "d")
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["one"]


def test_the_machine_is_described(tmp_path: Path):
    assert machine_id() == machine_id() != ""
    assert sorted(cpu for cpus in sockets().values() for cpu in cpus)
    (tmp_path / "pci" / "0000:01:00.0").mkdir(parents=True)
    (tmp_path / "pci" / "0000:01:00.0" / "local_cpulist").write_text("8-15,24-31\n")
    (tmp_path / "cpus" / "cpu8" / "topology").mkdir(parents=True)
    (tmp_path / "cpus" / "cpu8" / "topology" / "physical_package_id").write_text("1\n")
    assert socket_of_gpu("00000000:01:00.0", tmp_path / "pci", tmp_path / "cpus") == "1"
    assert socket_of_gpu("00000000:02:00.0", tmp_path / "pci", tmp_path / "cpus") is None
