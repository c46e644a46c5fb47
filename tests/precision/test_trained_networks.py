"""INT8 on the trained networks: executed over all 10,000 embedded images, paired with FP32 image by image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import inferkit
from inferkit.data import open_dataset
from inferkit.data.opening import preprocessing_from
from inferkit.gate.stats.paired import paired_drop
from inferkit.network import zoo
from inferkit.network.network import Network
from inferkit.precision import collect_ranges
from inferkit.precision.calibration.ranges import Ranges

TOLERANCE = 0.005  # half a point of top-1, at the upper bound of the drop
NETWORKS = ("lenet", "fashion_vgg", "fashion_resnet")
BATCH = 250


def correct(network: Network, dataset: Any, preprocessing: Any) -> NDArray[np.bool_]:
    result = []
    with inferkit.build(network, "onnxruntime", BATCH).session() as session:
        for batch in dataset.batches(BATCH, preprocessing=preprocessing):
            [scores] = session.run(batch.images).values()
            result.append(scores.reshape(len(scores), -1).argmax(axis=1) == batch.labels)
    return np.concatenate(result)


def lost_and_won(name: str, methods: tuple[str | None, ...]) -> list[tuple[int, int, int]]:
    network = inferkit.load(name)
    preprocessing = preprocessing_from(zoo.card(name)["preprocessing"])
    with open_dataset("fashion_mnist") as dataset:
        ranges: Ranges = collect_ranges(network, dataset, preprocessing=preprocessing)
        assert ranges.images == 500
        exact = correct(network, dataset, preprocessing)
        counts = []
        for method in methods:
            options = {} if method is None else {"method": method}
            right = correct(inferkit.at_precision(network, "int8", ranges, **options), dataset, preprocessing)
            counts.append((int((exact & ~right).sum()), int((~exact & right).sum()), exact.size))
    return counts


def test_lenet_in_int8_is_within_half_a_point_by_default() -> None:
    [(lost, won, total)] = lost_and_won("lenet", (None,))
    assert total == 10_000
    assert lost + won > 0  # it really is another precision
    assert paired_drop(lost, won, total).upper < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_method_on_every_trained_network_is_within_half_a_point(name: str) -> None:
    for lost, won, total in lost_and_won(name, (None, "max", "entropy", "percentile", "mse")):
        assert paired_drop(lost, won, total).upper < TOLERANCE
