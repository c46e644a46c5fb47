"""Networks in the forms of real exporters pass every rewrite: sound graphs, close to FP32, that TensorRT builds."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import inferkit
from inferkit.network.network import Network
from inferkit.precision.apply import collect_ranges
from inferkit.precision.calibration.methods import METHODS
from tests.precision.exported_graphs import Exported, exported
from tests.precision.precision_graphs import check

# Root mean square error, relative to that of the output. FP16 and BF16: the rounding of one value, as far as that of
# twenty steps in a row can add up. INT8 and FP8: steps of 1/127 of the range, and mantissas of 3 bits (up to 6 %),
# through ten layers of random weights, which have none of a trained network's redundancy; 0.06 and 0.11 were seen at
# worst in 200 networks. A wrong scale, a lost bias or a swapped branch gives 0.5 and more.
ERROR = {"fp16": 2**-11 * 20, "bf16": 2**-8 * 20, "int8": 0.15, "fp8": 0.25}


def network_of(model: Exported) -> Network:
    return Network.from_model(model.model, "exported")


def outputs(network: Network, feeds: dict[str, NDArray[np.float32]]) -> list[NDArray[Any]]:
    """What the onnxruntime backend computes; BF16 and FP8, which no CPU has, emulated."""
    emulate = network.precision in ("bf16", "fp8")
    with inferkit.build(network, "onnxruntime", 4, emulate=emulate, threads=1).session() as session:
        return list(session.run(feeds).values())


def worst_error(actual: list[NDArray[Any]], expected: list[NDArray[Any]]) -> float:
    def rms(values: NDArray[Any]) -> float:
        return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))

    return max(rms(a - b) / (rms(b) + 1e-3) for a, b in zip(actual, expected, strict=True))


def rewritten(network: Network, feeds: dict[str, Any], precision: str, method: str | None = None) -> Network:
    calibration = [feeds] if precision in ("int8", "fp8") else None
    options = {"method": method} if method else {}
    actual = inferkit.at_precision(network, precision, calibration, **options)
    check(actual.model)
    assert (actual.inputs, actual.outputs) == (network.inputs, network.outputs)
    return actual


@settings(max_examples=5)
@given(st.integers(0, 2**32 - 1), st.sampled_from(METHODS))
def test_every_precision_of_an_exported_network_is_close_to_fp32(seed: int, method: str) -> None:
    drawn = exported(Random(seed), blocks=4)
    network, feeds = network_of(drawn), drawn.feeds()
    expected = outputs(network, feeds)
    for precision, limit in ERROR.items():
        actual = rewritten(network, feeds, precision, method if precision == "int8" else None)
        assert worst_error(outputs(actual, feeds), expected) < limit, (precision, drawn.blocks)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 200, 25))
def test_many_exported_networks_in_every_precision_and_by_every_method(start: int) -> None:
    for seed in range(start, start + 25):
        drawn = exported(Random(seed))
        network, feeds = network_of(drawn), drawn.feeds()
        expected = outputs(network, feeds)
        for precision, limit in ERROR.items():
            for method in METHODS if precision == "int8" else (None,):
                actual = rewritten(network, feeds, precision, method)
                error = worst_error(outputs(actual, feeds), expected)
                assert error < limit, (seed, precision, method, drawn.blocks)


@pytest.mark.tensorrt_rtx
@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 1040, 5))
def test_tensorrt_builds_exported_networks(start: int) -> None:
    for seed in range(start, start + 5):
        drawn = exported(Random(seed))
        network, feeds = network_of(drawn), drawn.feeds()
        for precision in ("fp32", "fp16", "bf16", "int8", "fp8"):
            actual = rewritten(network, feeds, precision)
            batch = drawn.fixed_batch or 4
            engine = inferkit.build(
                actual, "tensorrt", batch, flavour="tensorrt_rtx", target=["sm89"], cache=False
            )  # a refusal raises with the layer's name
            assert [info.name for info in engine.plan().info.inputs] == list(feeds)


@pytest.mark.parametrize("seed", range(4))
def test_a_network_comes_back_from_its_file_and_from_external_data(tmp_path: Path, seed: int) -> None:
    drawn = exported(Random(seed), blocks=2)
    feeds = drawn.feeds()
    plain, apart = tmp_path / "plain.onnx", tmp_path / "apart.onnx"
    onnx.save(drawn.model, plain)
    copy = onnx.load(plain)  # saving with external data changes the model that is saved
    onnx.save(copy, apart, save_as_external_data=True, location="weights", size_threshold=0)
    expected = outputs(network_of(drawn), feeds)
    for path in (plain, apart):
        loaded = inferkit.load(path)
        assert [info.name for info in loaded.inputs] == list(feeds)
        actual = rewritten(loaded, feeds, "fp16")
        assert worst_error(outputs(actual, feeds), expected) < ERROR["fp16"]


def test_a_network_of_a_fixed_batch_is_calibrated_with_any_number_of_images() -> None:
    drawn = next(d for d in (exported(Random(seed), blocks=2) for seed in range(100)) if d.fixed_batch == 3)
    network, feeds = network_of(drawn), drawn.feeds()
    more = {name: np.concatenate([values, values[::-1] / 2, values[:1]]) for name, values in feeds.items()}
    reference = collect_ranges(network, [more])
    assert reference.images == 7
    # The seventh image fills its batch up alone; it adds what it adds among others, and no more.
    assert reference == collect_ranges(network, [{name: values[::-1] for name, values in more.items()}])
    first = next(name for name in reference.histograms if name in feeds)
    assert reference.histograms[first].total == more[first].size
