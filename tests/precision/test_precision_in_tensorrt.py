"""The rewritten graphs in the real TensorRT-RTX, which builds engines on a machine without a GPU."""

from __future__ import annotations

import numpy as np
import pytest

import inferkit
from inferkit.errors import BackendError
from inferkit.network.network import PRECISIONS, Network
from tests.precision.precision_graphs import ModelBuilder, decomposed_mvn, images

pytestmark = pytest.mark.tensorrt_rtx


def builds(network: Network, precision: str) -> None:
    """Parse and build for a compute capability; BackendError with TensorRT's messages fails the test."""
    calibration = [images()] if precision in ("int8", "fp8") else None
    result = inferkit.at_precision(network, precision, calibration)
    engine = inferkit.build(
        result, backend="tensorrt", flavour="tensorrt_rtx", max_batch=4, target=["sm89"], cache=False
    )
    assert engine.info.precision == precision
    assert engine.info.size_bytes


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_network_of_many_layers_builds_in_every_precision(precision: str) -> None:
    build = ModelBuilder(4)
    build.conv(8)
    build.batch_norm()
    build.add("Relu")
    build.add("LRN", size=5, alpha=1e-4, beta=0.75, bias=1.0)
    build.residual()
    build.conv(8, group=2)
    first = build.conv(8, group=8, bias=False)
    second = build.deconv(8, group=2)
    build.node("Concat", [first, second], axis=1, shape=(16, 8, 8))
    build.batch_norm()
    build.add("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, shape=(16, 4, 4))
    build.conv(8, 1)
    build.gemm(12, transposed=True)
    build.add("Sigmoid")
    build.matmul_add(5)
    build.add("Softmax", axis=1)
    builds(build.network(), precision)


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_normalization_in_single_steps_builds_with_its_casts(precision: str) -> None:
    build = ModelBuilder(4)
    build.conv(8)
    decomposed_mvn(build)
    build.conv(8)
    builds(build.network(), precision)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_layer_kept_in_fp32_builds_beside_half_ones(precision: str) -> None:
    build = ModelBuilder(4)
    build.add("Conv", build.constant(np.full((4, 4, 1, 1), 1e5)))  # overflows FP16
    build.add("HardSwish")
    build.deconv(4)
    builds(build.network(), precision)


def test_tensorrt_refuses_what_the_rewrite_avoids() -> None:
    """A zero point that is not zero, as other quantizers write it, is refused: building is a check that can fail."""
    from onnx import numpy_helper

    build = ModelBuilder(4)
    build.conv(4)
    network = inferkit.at_precision(build.network(), "int8", [images()])
    for tensor in network.model.graph.initializer:
        if tensor.name == "x_zero_point":
            tensor.CopyFrom(numpy_helper.from_array(np.array(3, dtype=np.int8), tensor.name))
    with pytest.raises(BackendError):
        inferkit.build(network, backend="tensorrt", flavour="tensorrt_rtx", max_batch=4, target=["sm89"], cache=False)
