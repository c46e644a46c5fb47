"""Placement of Q/DQ pairs: which layers, which inputs, which tensors share a scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from onnx import ModelProto

from inferkit.errors import PrecisionError
from inferkit.precision.placement import Choices, Placement, place
from inferkit.precision.rewrite.fold import LINEAR, prepare
from tests.precision.precision_graphs import ModelBuilder, models


def placed(build: ModelBuilder, *outputs: str, **choices: object) -> Placement:
    return place(prepare(build.model(*outputs)), Choices(**choices))  # type: ignore[arg-type]


def layers(placement: Placement) -> list[str]:
    return [layer.node.op_type for layer in placement.layers]


@settings(max_examples=40)
@given(models())
def test_layers_with_weights_read_quantized_tensors_and_of_others_only_those_whose_kernels_do(
    model: ModelProto,
) -> None:
    graph = prepare(model)
    weighted = [node for node in graph.nodes if node.op_type in LINEAR]
    if not weighted:
        with pytest.raises(PrecisionError, match="none has constant"):
            place(graph)
        return
    placement = place(graph)
    assert {layer.node.name for layer in placement.layers} == {node.name for node in weighted}
    others = {"Add", "AveragePool", "GlobalAveragePool", "LRN"}
    assert {node.op_type for node, _ in placement.reads} <= {*LINEAR, *others}
    assert all(index == 0 for node, index in placement.reads if node.op_type in LINEAR)


def test_the_skip_branch_of_a_residual_addition_is_quantized_and_the_other_is_not() -> None:
    build = ModelBuilder(4)
    build.conv(4)
    skip = build.add("Relu")
    inner = build.conv(4)
    build.node("Add", [inner, skip])
    build.add("Relu")
    build.conv(4)
    placement = placed(build)
    [(node, index)] = [(node, index) for node, index in placement.reads if node.op_type == "Add"]
    assert node.input[index] == skip
    assert placement.tensors.count(skip) == 1  # the block's convolution and the addition share one pair
    assert not [1 for node, _ in placed(build, residual=False).reads if node.op_type == "Add"]


def test_of_two_convolved_branches_the_shorter_one_is_the_skip_branch() -> None:
    for swapped in (False, True):
        build = ModelBuilder(4)
        build.conv(4)
        source = build.add("Relu")
        projection = build.conv(4, 1)
        build.top = source
        build.conv(4)
        build.add("Relu")
        longer = build.conv(4)
        build.node("Add", [projection, longer] if swapped else [longer, projection])
        build.conv(4)
        [(node, index)] = [read for read in placed(build).reads if read[0].op_type == "Add"]
        assert node.input[index] == projection


def test_an_addition_that_no_convolution_feeds_is_left_alone() -> None:
    build = ModelBuilder(4)
    first = build.conv(4)
    left = build.add("Relu")
    build.top = first
    build.add("Sigmoid")
    build.add("Add", left)
    build.conv(4)
    assert [node.op_type for node, _ in placed(build).reads] == ["Conv", "Conv"]


def test_an_addition_whose_convolution_is_read_elsewhere_cannot_be_fused() -> None:
    build = ModelBuilder(4)
    skip = build.conv(4)
    inner = build.conv(4)
    build.node("Add", [inner, skip])
    assert [node.op_type for node, _ in placed(build, inner, build.top).reads] == ["Conv", "Conv"]


def test_broadcasting_additions_are_no_residual_additions() -> None:
    build = ModelBuilder(4)
    build.conv(4)
    source = build.add("Relu")
    build.add("GlobalAveragePool", shape=(4, 1, 1))
    gate = build.top
    build.top, build.shape = source, (4, 8, 8)
    inner = build.conv(4)
    build.node("Add", [inner, gate])
    assert all(node.op_type == "Conv" for node, _ in placed(build).reads)


def classifier(last: str = "Relu") -> ModelBuilder:
    """Two convolutions, an addition, an average, and a convolution of what is left."""
    build = ModelBuilder(4)
    build.conv(4)
    skip = build.add("Relu")
    build.node("Add", [build.conv(4), skip])
    build.add(last)
    build.add("GlobalAveragePool", shape=(4, 1, 1))
    return build


def averages(placement: Placement) -> list[str]:
    return [node.input[0] for node, _ in placement.reads if node.op_type == "GlobalAveragePool"]


def test_an_average_between_quantized_layers_reads_a_quantized_tensor() -> None:
    build = classifier()
    source = build.model().graph.node[-1].input[0]
    assert averages(placed(build)) == []  # it is the network's result
    build.conv(4, 1)
    assert averages(placed(build)) == [source]
    assert averages(placed(build, between=False)) == []
    assert averages(placed(build, last_layer=False)) == []
    build = classifier(last="Sigmoid")  # which has no INT8 kernel
    build.conv(4, 1)
    assert averages(placed(build)) == []


def test_a_response_normalization_between_quantized_layers_reads_a_quantized_tensor() -> None:
    build = ModelBuilder(4)
    build.conv(4)
    pooled = build.add("MaxPool", shape=(4, 4, 4), kernel_shape=[2, 2], strides=[2, 2])
    normalized = build.add("LRN", size=3)
    assert pooled not in placed(build).tensors  # it is the network's result
    build.conv(4)
    assert {pooled, normalized} <= set(placed(build).tensors)
    assert pooled not in placed(build, between=False).tensors


def test_a_cache_that_lacks_an_average_serves_without_it() -> None:
    build = classifier()
    build.conv(4, 1)
    placement = placed(build)
    [average] = averages(placement)
    others = [name for name in placement.tensors if name != average]
    assert placement.within(placement.tensors) == placement
    assert placement.within(others).tensors == others
    assert placement.within([]).tensors == others  # those are not to be done without


def test_tensors_that_meet_in_a_concatenation_share_a_scale_through_pooling_too() -> None:
    build = ModelBuilder(4)
    branch = build.conv(4)
    second = build.conv(4)
    build.node("Concat", [branch, second], axis=1, shape=(8, 8, 8))
    pooled = build.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2], shape=(8, 4, 4))
    build.conv(4)
    groups = placed(build).groups
    assert groups[branch] == groups[second] == groups[pooled]
    assert "x" not in groups or groups["x"] != groups[branch]


def test_average_pooling_and_relu_have_ranges_of_their_own() -> None:
    build = ModelBuilder(4)
    branch = build.conv(4)
    second = build.add("Relu")
    three = build.add("AveragePool", kernel_shape=[2, 2], shape=(4, 7, 7))
    build.conv(4)
    groups = placed(build).groups
    assert len({groups.get(name, name) for name in (branch, second, three)}) == 3


def test_layers_are_left_out_by_name_by_pattern_and_by_position() -> None:
    build = ModelBuilder(4)
    for _ in range(3):
        build.conv(4)
    build.gemm(5)
    assert layers(placed(build)) == ["Conv", "Conv", "Conv", "Gemm"]
    assert layers(placed(build, exclude=["Conv0"])) == ["Conv", "Conv", "Gemm"]
    assert layers(placed(build, exclude="Conv*")) == ["Gemm"]
    assert layers(placed(build, first_layer=False)) == ["Conv", "Conv", "Gemm"]
    assert layers(placed(build, last_layer=False)) == ["Conv", "Conv", "Conv"]
    with pytest.raises(PrecisionError, match=r"'fc9'.*Conv0"):
        placed(build, exclude=["fc9"])
    with pytest.raises(PrecisionError, match="are excluded"):
        placed(build, exclude=["*"])


@pytest.mark.parametrize(("channels", "group", "kept"), [(3, 1, 1), (15, 1, 1), (16, 1, 2), (16, 16, 2), (12, 4, 1)])
def test_a_convolution_of_an_image_is_left_out_where_images_are(channels: int, group: int, kept: int) -> None:
    """By all channels that it reads; behind another layer, or alone, a convolution of few channels stays."""
    build = ModelBuilder(channels)
    build.conv(48, group=group)
    build.conv(4)
    assert len(placed(build, images=False).layers) == kept
    assert len(placed(build).layers) == 2
    alone = ModelBuilder(channels)
    alone.conv(48, group=group)
    assert len(placed(alone, images=False).layers) == 1


def test_a_product_of_an_image_is_quantized_where_images_are_left_out() -> None:
    build = ModelBuilder(4)
    build.gemm(8)
    build.gemm(5)
    assert layers(placed(build, images=False)) == ["Gemm", "Gemm"]


def test_first_and_last_mean_every_layer_without_another_before_or_after_it() -> None:
    build = ModelBuilder(4)
    branch = build.conv(4)
    build.top = "x"
    build.conv(4)
    build.add("Add", branch)
    assert layers(placed(build, first_layer=True)) == ["Conv", "Conv"]
    with pytest.raises(PrecisionError, match="are excluded"):
        placed(build, first_layer=False)


def test_a_product_of_two_activations_is_not_quantized() -> None:
    build = ModelBuilder(4)
    left = build.conv(4)
    build.add("Relu")
    build.add("MatMul", left)
    assert layers(placed(build)) == ["Conv"]


def test_a_part_of_a_tensor_keeps_a_range_of_its_own() -> None:
    """Only what meets in one tensor has to share a scale."""
    build = ModelBuilder(4)
    source = build.conv(4)
    bounds = [build.constant([value], np.int64) for value in (0, 2, 1)]
    part = build.add("Slice", *bounds, shape=(2, 8, 8))
    build.conv(4)
    groups = placed(build).groups
    assert groups.get(part, part) != groups.get(source, source)
