"""Inner products of single pixels as convolutions: which, and that they compute the same."""

from __future__ import annotations

import numpy as np
import pytest

from inferkit import at_precision
from inferkit.precision.calibration.methods import Calibration
from inferkit.precision.qdq import quantized_tensors
from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.pointwise import products_of_pixels
from tests.precision.precision_graphs import ModelBuilder, images, op_types, run


def pooled() -> ModelBuilder:
    build = ModelBuilder(4)
    build.conv(6)
    build.add("GlobalAveragePool", shape=(6, 1, 1))
    return build


def rewritten(build: ModelBuilder) -> list[str]:
    """The operators after the rewriting, which is also executed."""
    model = build.model()
    graph = Graph(model)
    products_of_pixels(graph)
    graph.prune()
    head = graph.model()
    np.testing.assert_allclose(run(head, images()), run(model, images()), rtol=1e-6, atol=1e-6)
    assert [value.name for value in head.graph.output] == [value.name for value in model.graph.output]
    return op_types(head)


@pytest.mark.parametrize("transposed", [False, True])
def test_the_product_of_an_averaged_image_becomes_a_convolution(transposed: bool) -> None:
    build = pooled()
    build.gemm(3, transposed=transposed)
    assert rewritten(build) == ["Conv", "GlobalAveragePool", "Conv", "Flatten"]


def test_a_product_without_a_bias_and_one_in_the_middle_become_convolutions_too() -> None:
    build = pooled()
    build.flatten()
    build.add("Gemm", build.weights(6, 5), shape=(5,))
    build.add("Relu")
    build.gemm(3)  # reads what is flat already
    assert rewritten(build) == ["Conv", "GlobalAveragePool", "Conv", "Flatten", "Relu", "Gemm"]


def test_images_of_several_pixels_and_scaled_products_stay_products() -> None:
    build = ModelBuilder(4)
    build.gemm(3)
    assert rewritten(build) == ["Flatten", "Gemm"]
    build = pooled()
    build.gemm(3, alpha=0.5)
    assert rewritten(build) == ["Conv", "GlobalAveragePool", "Flatten", "Gemm"]


def test_a_bias_per_image_stays() -> None:
    build = pooled()
    build.flatten()
    build.add("Gemm", build.weights(6, 3), build.constant(np.ones((4, 3))), shape=(3,))
    assert rewritten(build) == ["Conv", "GlobalAveragePool", "Flatten", "Gemm"]


def test_a_calibration_of_the_flattened_tensor_serves_for_the_image() -> None:
    build = pooled()
    flat = build.flatten()
    build.add("Gemm", build.weights(6, 5), shape=(5,))
    network = build.network()
    ranges = quantized_tensors(at_precision(network, "int8", calibration=[images()]).model)
    pixel = build.nodes[1].output[0]
    earlier = {flat if name == pixel else name: 127 * scale for name, scale in ranges.items()}
    again = at_precision(network, "int8", calibration=Calibration(earlier, "max"))
    assert quantized_tensors(again.model) == pytest.approx(ranges)
