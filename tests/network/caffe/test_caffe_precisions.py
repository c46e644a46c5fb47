"""Caffe nets in the style of public models take every precision: close to FP32, and built by TensorRT-RTX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import inferkit
from inferkit.network.network import Network
from tests.network.caffe.caffe_judge import draw, input_shapes
from tests.network.caffe.era_nets import ALL, EraNet
from tests.network.caffe.pycaffe_oracle import oracle

pytestmark = pytest.mark.pycaffe

# Root mean square error, relative to the output's: as far as roundings of 11, 8, 7 and 4 bits add up over these nets of
# random weights (seen: 0.001, 0.007, 0.03 and 0.07). A wrong scale or a lost bias gives 0.5 and more.
ERROR = {"fp16": 0.01, "bf16": 0.05, "int8": 0.15, "fp8": 0.25}
QUICK = ("caffenet", "googlenet", "resnet")


@pytest.mark.parametrize(
    "net",
    [pytest.param(net, marks=() if net.name in QUICK else (pytest.mark.slow,), id=net.name) for net in ALL],
)
def test_every_precision_is_close_to_fp32(tmp_path: Path, net: EraNet) -> None:
    network, feeds = imported(net, tmp_path)
    expected = outputs(network, feeds)
    for precision, limit in ERROR.items():
        actual = rewritten(network, precision, feeds)
        onnx.checker.check_model(actual.model, full_check=True)
        for name, values in outputs(actual, feeds).items():
            error = np.sqrt(np.mean((values - expected[name]) ** 2)) / (np.sqrt(np.mean(expected[name] ** 2)) + 1e-3)
            assert error < limit, (precision, name)


@pytest.mark.tensorrt_rtx
@pytest.mark.slow
@pytest.mark.parametrize("net", ALL, ids=lambda net: net.name)
def test_tensorrt_builds_every_precision(tmp_path: Path, net: EraNet) -> None:
    network, feeds = imported(net, tmp_path)
    for precision in ("fp32", *ERROR):
        actual = rewritten(network, precision, feeds)
        batch = max(len(values) for values in feeds.values())
        engine = inferkit.build(actual, "tensorrt", batch, flavour="tensorrt_rtx", target=["sm89"], cache=False)
        assert [info.name for info in engine.plan().info.outputs] == [info.name for info in network.outputs]


def imported(net: EraNet, folder: Path) -> tuple[Network, dict[str, NDArray[np.float32]]]:
    """The net with random parameters from Caffe, and images for it."""
    prototxt, caffemodel = folder / "net.prototxt", folder / "net.caffemodel"
    prototxt.write_text(net.deploy)
    feeds = draw(input_shapes(net.deploy), 1)
    oracle().run(prototxt, feeds=[feeds], save=caffemodel, seed=3)
    return inferkit.load(prototxt, caffemodel), feeds


def rewritten(network: Network, precision: str, feeds: dict[str, Any]) -> Network:
    return inferkit.at_precision(network, precision, [feeds] if precision in ("int8", "fp8") else None)


def outputs(network: Network, feeds: dict[str, Any]) -> dict[str, NDArray[np.float32]]:
    batch = max(len(values) for values in feeds.values())
    emulate = network.precision in ("bf16", "fp8")  # no CPU has them
    with inferkit.build(network, "onnxruntime", batch, emulate=emulate, threads=1).session() as session:
        return session.run(feeds)
