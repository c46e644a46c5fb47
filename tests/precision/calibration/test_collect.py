"""Collecting ranges: exact, streaming, whatever the batches and however they are given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper, parser

import inferkit
from inferkit.data import ArrayDataset
from inferkit.errors import PrecisionError, UsageError
from inferkit.network.network import Network
from inferkit.precision import collect_ranges
from inferkit.precision.calibration import collect
from inferkit.precision.calibration.batches import BatchFiles, write_batches
from inferkit.precision.calibration.ranges import Histogram, Ranges
from inferkit.precision.rewrite.fold import prepare
from tests.precision.precision_graphs import ModelBuilder, images, run


def network() -> Network:
    build = ModelBuilder(4)
    build.conv(8)
    build.add("Relu")
    build.residual()
    build.gemm(5)
    return build.network()


class SortedDataset:
    """A dataset of 40 images, sorted by class as an LMDB often is: image i holds nothing but the number i."""

    source = "/somewhere/sorted"

    def __len__(self) -> int:
        return 40

    def batches(self, batch_size: int, *, limit: int, spread: bool, preprocessing: Any, dtype: str) -> Iterator[Any]:
        assert (dtype, spread) == ("float32", True)
        numbers = np.linspace(0, 39, min(limit, 40)).astype(int).astype(np.float32)
        for part in np.split(numbers, range(batch_size, len(numbers), batch_size)):
            yield SimpleNamespace(
                images=np.broadcast_to(part[:, None, None, None], (len(part), 4, 8, 8)), count=len(part)
            )


def test_ranges_are_those_of_the_tensors_themselves() -> None:
    build = ModelBuilder(4)
    build.conv(8)
    relu = build.add("Relu")
    build.gemm(5)
    x = images(6)
    actual = collect_ranges(build.network(), [x])
    assert actual.images == 6
    flat = next(name for name in actual if name not in ("x", relu))
    assert actual.histograms["x"] == Histogram.of(x)
    assert actual.histograms[flat] == Histogram.of(run(build.model(relu), x))


@settings(max_examples=20)
@given(st.lists(st.integers(1, 11), max_size=3), st.permutations(range(12)))
def test_batches_may_be_cut_and_ordered_in_any_way(cuts: list[int], order: list[int]) -> None:
    x = images(12)
    reference = collect_ranges(network(), [x])
    parts = [part for part in np.split(x[order], sorted(cuts)) if len(part)]
    actual = collect_ranges(network(), parts)
    assert actual.images == reference.images
    # ONNX Runtime may sum in another order for another batch size; the inputs themselves are exact
    assert actual.histograms["x"] == reference.histograms["x"]
    for name, histogram in actual.histograms.items():
        assert histogram.maximum == pytest.approx(reference.histograms[name].maximum, rel=1e-5)


def test_ranges_of_two_halves_merge_to_those_of_the_whole() -> None:
    x = images(8)
    halves = [collect_ranges(network(), [part]) for part in (x[:4], x[4:])]
    assert halves[0].merged(halves[1]) == collect_ranges(network(), [x[:4], x[4:]])


def test_activations_are_counted_a_few_images_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = collect_ranges(network(), [images(9)])
    monkeypatch.setattr(collect, "_WATCHED_BYTES", 2 * 4 * (8 * 8 * 8) * 3)  # room for two images' activations
    sizes: list[int] = []
    run_part = collect.Collector._run

    def watched(self: collect.Collector, batch: Any) -> Any:
        sizes.append(len(batch["x"]))
        return run_part(self, batch)

    monkeypatch.setattr(collect.Collector, "_run", watched)
    actual = collect_ranges(network(), [images(9)])
    assert sum(sizes) == 9
    assert max(sizes) <= 3
    assert actual.histograms["x"] == reference.histograms["x"]


def test_images_of_a_dataset_are_spread_over_it() -> None:
    actual = collect_ranges(network(), SortedDataset(), images=8, batch_size=2)
    counts = actual.histograms["x"].counts
    seen = sorted(set(np.flatnonzero(counts) * actual.histograms["x"].width))
    assert actual.images == 8
    assert seen == [0.0, 5.0, 11.0, 16.0, 22.0, 27.0, 33.0, 39.0]
    assert actual.source == "sorted"
    assert collect_ranges(network(), SortedDataset()).images == 40  # all of a small one


def test_a_network_of_stored_pixels_is_calibrated_with_these() -> None:
    build = ModelBuilder(4)
    build.input = helper.make_tensor_value_info("x", TensorProto.UINT8, ["N", 4, 8, 8])
    build.add("Cast", to=TensorProto.FLOAT)
    build.conv(4)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 4, 8, 8)).astype(np.uint8)
    actual = collect_ranges(build.network(), ArrayDataset(pixels), batch_size=8)
    assert actual == replace(collect_ranges(build.network(), [pixels]), source=actual.source)


@pytest.mark.parametrize("opset", [8, 9, 10, 12])
def test_inner_products_of_old_operator_sets_are_collected_as_they_are_quantized(opset: int) -> None:
    """MatMul becomes a Gemm without bias, which operator sets before 11 do not have."""
    build = ModelBuilder(4, opset=opset)
    build.flatten()
    for outputs in (6, 5):
        build.add("MatMul", build.weights(build.shape[0], outputs), shape=(outputs,))
    ranges = collect_ranges(build.network(), [images()])
    direct = inferkit.at_precision(build.network(), "int8", [images()])
    assert inferkit.at_precision(build.network(), "int8", ranges).digest == direct.digest


@pytest.mark.parametrize("limit", [3, 8, 100])
def test_of_other_sources_the_first_images_are_taken_or_all(limit: int) -> None:
    assert collect_ranges(network(), [images(5), images(5)], images=limit).images == min(limit, 10)
    assert collect_ranges(network(), [images(5), images(5)]).images == 10


def test_batches_come_as_arrays_dicts_objects_and_files(tmp_path: Path) -> None:
    x = images(4)
    expected = collect_ranges(network(), [x])
    write_batches(tmp_path, [(x, None)])
    padded = SimpleNamespace(images=np.concatenate([x, 100 * x]), count=4)
    for source in (x, {"x": x}, [{"x": x}], iter([x]), [padded], BatchFiles(tmp_path), tmp_path, str(tmp_path)):
        assert collect_ranges(network(), source).histograms == expected.histograms


def test_a_network_of_two_inputs_takes_dicts() -> None:
    build = ModelBuilder(4)
    build.conv(4)
    build.add("Add", "y")
    build.conv(4)
    second = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, 8, 8])
    outputs = [helper.make_tensor_value_info(build.top, TensorProto.FLOAT, None)]
    graph = helper.make_graph(build.nodes, "two", [build.input, second], outputs, build.initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    both = Network.from_model(model, "two")
    assert collect_ranges(both, [{"x": images(3), "y": images(3)}]).images == 3
    with pytest.raises(PrecisionError, match="x, y"):
        collect_ranges(both, [images(3)])
    with pytest.raises(PrecisionError, match="different numbers"):
        collect_ranges(both, [{"x": images(3), "y": images(2)}])


def test_an_input_that_holds_no_images_is_fed_whole() -> None:
    """Anchors of a detector: fixed in number, whatever the batch."""
    model = parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 17]>
        detector (float[N, 8] x, float[8, 6] anchors) => (float[N, 5] y)
        {
          scores = MatMul (x, anchors)
          y = MatMul (scores, weights)
        }
        """
    )
    random = np.random.default_rng(0)
    model.graph.initializer.append(
        numpy_helper.from_array(random.standard_normal((6, 5)).astype(np.float32), "weights")
    )
    fed = {"x": random.standard_normal((7, 8)), "anchors": random.standard_normal((8, 6))}
    actual = collect_ranges(Network.from_model(model, "detector"), [fed])
    assert actual.images == 7
    assert actual.histograms["scores"].total == 7 * 6


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(PrecisionError, match="no images"):
        collect_ranges(network(), [])
    with pytest.raises(PrecisionError, match="takes 4 x 8 x 8 for each image, but got 3 x 8 x 8"):
        collect_ranges(network(), [images(2, channels=3)])
    with pytest.raises(PrecisionError, match="has other, but the network's inputs are x"):
        collect_ranges(network(), [{"other": images()}])
    with pytest.raises(PrecisionError, match="'fc9'"):
        collect_ranges(network(), [images()], exclude=["fc9"])
    with pytest.raises(UsageError, match="int"):
        collect_ranges(network(), 5)
    with pytest.raises(UsageError, match="'speed'"):
        collect_ranges(network(), [images()], speed=1)
    with pytest.raises(UsageError, match="holds no images"):
        collect_ranges(network(), Ranges({}, 0))
    with pytest.raises(PrecisionError, match="does not compute a tensor 'nowhere'"):
        collect.Collector(prepare(network().model), ["nowhere"])


def test_a_calibration_reproduces_the_scales_that_images_gave(tmp_path: Path) -> None:
    from inferkit.precision.calibration.caches import write_cache
    from inferkit.precision.calibration.methods import calibration_from

    net, x = network(), images(16)
    direct = inferkit.at_precision(net, "int8", [x], method="entropy")
    ranges = collect_ranges(net, [x])
    ranges.save(tmp_path / "ranges.npz")
    write_cache(tmp_path / "a.cache", calibration_from(ranges, "entropy"))
    for source in (ranges, tmp_path / "ranges.npz"):
        assert inferkit.at_precision(net, "int8", source, method="entropy").digest == direct.digest
    for source in (calibration_from(ranges, "entropy"), tmp_path / "a.cache"):
        assert inferkit.at_precision(net, "int8", source).digest == direct.digest
    with pytest.raises(PrecisionError, match=r"missing\.cache"):
        inferkit.at_precision(net, "int8", tmp_path / "missing.cache")
