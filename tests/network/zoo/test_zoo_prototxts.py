"""The zoo's prototxts have the distinguishing features of the published Caffe models."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from google.protobuf import text_format

from inferkit.errors import UsageError
from inferkit.network import zoo
from inferkit.network.caffe.files import schema


def parsed(name: str, batch: int = 1) -> Any:
    return text_format.Parse(zoo.prototxt(name, batch), schema.NetParameter())


def layers(name: str) -> dict[str, Any]:
    return {layer.name: layer for layer in parsed(name).layer}


def order(name: str, *wanted: str) -> list[str]:
    return [layer.name for layer in parsed(name).layer if layer.name in wanted]


def test_alexnet_normalizes_before_pooling_and_caffenet_after() -> None:
    assert order("alexnet", "norm1", "pool1", "norm2", "pool2") == ["norm1", "pool1", "norm2", "pool2"]
    assert order("caffenet", "norm1", "pool1", "norm2", "pool2") == ["pool1", "norm1", "pool2", "norm2"]


def test_alexnet_has_two_groups_in_its_second_fourth_and_fifth_convolution() -> None:
    actual = layers("alexnet")
    assert [actual[f"conv{n}"].convolution_param.group for n in range(1, 6)] == [1, 2, 1, 2, 2]


@pytest.mark.parametrize("name", ["alexnet", "caffenet", "vgg16", "vgg19"])
def test_classifiers_are_called_fc6_fc7_fc8(name: str) -> None:
    assert order(name, "fc6", "fc7", "fc8", "prob") == ["fc6", "fc7", "fc8", "prob"]


@pytest.mark.parametrize("name", ["resnet50", "resnet101", "resnet152"])
def test_resnet_strides_in_the_first_1x1_and_not_in_the_3x3(name: str) -> None:
    actual = layers(name)
    for stage in "345":
        assert list(actual[f"res{stage}a_branch2a"].convolution_param.stride) == [2]
        assert list(actual[f"res{stage}a_branch2a"].convolution_param.kernel_size) == [1]
        assert list(actual[f"res{stage}a_branch2b"].convolution_param.stride) == []


def test_resnet_blocks_bear_the_published_names() -> None:
    assert "res4f_branch2c" in layers("resnet50")
    assert "res4b22_branch2c" in layers("resnet101")
    assert {"res3b7_branch2c", "res4b35_branch2c", "res5c_branch2c"} <= set(layers("resnet152"))


def test_only_resnet50_has_a_bias_in_its_first_convolution() -> None:
    biased = {name: layers(name)["conv1"].convolution_param.bias_term for name in ("resnet50", "resnet101")}
    assert biased == {"resnet50": True, "resnet101": False}


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v1", "mobilenet_v2", "densenet121", "inception_v3"])
def test_each_batch_norm_uses_running_statistics_and_is_followed_by_its_scale(name: str) -> None:
    sequence = parsed(name).layer
    for layer, following in pairwise(sequence):
        if layer.type == "BatchNorm":
            assert layer.batch_norm_param.use_global_stats
            assert following.type == "Scale"
            assert following.scale_param.bias_term
            assert following.bottom[0] == following.top[0] == layer.top[0]


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2"])
def test_mobilenets_have_a_group_for_each_channel(name: str) -> None:
    depthwise = [layer.convolution_param for layer in parsed(name).layer if layer.name.endswith(("/dw", "/dwise"))]
    depthwise = [settings for settings in depthwise if settings.num_output]
    assert len(depthwise) == {"mobilenet_v1": 13, "mobilenet_v2": 17}[name]
    assert all(settings.group == settings.num_output for settings in depthwise)


def test_inception_v3_has_rectangular_kernels_with_rectangular_padding() -> None:
    actual = layers("inception_v3")
    row, column = (actual[f"inception_b1_{kernel}"].convolution_param for kernel in ("1x7", "7x1"))
    assert (row.kernel_h, row.kernel_w, row.pad_h, row.pad_w) == (1, 7, 0, 3)
    assert (column.kernel_h, column.kernel_w, column.pad_h, column.pad_w) == (7, 1, 3, 0)


def test_inception_v3_pools_by_maximum_only_in_its_last_module() -> None:
    actual = layers("inception_v3")
    methods = [actual[f"inception_{module}_pool"].pooling_param.pool for module in ("a1", "a3", "b4", "c1", "c2")]
    average, maximum = schema.PoolingParameter.AVE, schema.PoolingParameter.MAX
    assert methods == [average, average, average, average, maximum]


def test_squeezenet_1_0_pads_its_last_1x1_convolution() -> None:
    assert list(layers("squeezenet1_0")["conv10"].convolution_param.pad) == [1]
    assert list(layers("squeezenet1_1")["conv10"].convolution_param.pad) == []


def test_the_batch_is_the_input_s_first_dimension() -> None:
    assert list(parsed("googlenet", batch=10).layer[0].input_param.shape[0].dim) == [10, 3, 224, 224]
    with pytest.raises(UsageError, match="batch must be at least 1"):
        zoo.prototxt("googlenet", batch=0)


def test_an_unknown_name_is_refused_with_the_nearest_ones() -> None:
    with pytest.raises(UsageError, match="resnet50"):
        zoo.prototxt("resnet51")
