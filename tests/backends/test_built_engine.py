"""An engine that was just built computes what its network computes in ONNX Runtime, or is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper, parser

import inferkit
from inferkit.backends.base import Engine, EngineInfo, Session
from inferkit.backends.built_engine import require_agreement
from inferkit.backends.uint8_input import Uint8Input, with_uint8_input
from inferkit.errors import BackendError, BackendUnavailable
from inferkit.network.network import Network
from tests.precision.precision_graphs import ModelBuilder, images

EMULATED = ("bf16", "fp8")


def classifier(precision: str, seed: int = 0) -> Network:
    build = ModelBuilder(4, seed=seed)
    build.conv(8)
    build.add("Relu")
    build.residual()
    build.gemm(5)
    calibration = [images() * 30] if precision in ("int8", "fp8") else None  # like pixels
    return inferkit.at_precision(build.network(), precision, calibration)


def engine(network: Network, max_batch: int = 4) -> Any:
    return inferkit.build(network, max_batch=max_batch, emulate=network.precision in EMULATED)


def with_weights(network: Network, change: Any) -> Network:
    """The network with its largest constant changed."""
    model = ModelProto()
    model.CopyFrom(network.model)
    largest = max(model.graph.initializer, key=lambda tensor: tensor.ByteSize())
    values = numpy_helper.to_array(largest)
    largest.CopyFrom(numpy_helper.from_array(np.asarray(change(values), values.dtype), largest.name))
    return network.with_model(model)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8", "fp8"])
@pytest.mark.parametrize("seed", range(3))
def test_a_sound_engine_agrees(precision: str, seed: int) -> None:
    network = classifier(precision, seed)
    checked = require_agreement(engine(network), network)
    assert checked.comparison.startswith("agrees with ONNX Runtime ")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("fault", ["other weights", "transposed weights"])
def test_an_engine_that_computes_something_else_is_refused(precision: str, fault: str) -> None:
    network = classifier(precision)
    change = {"other weights": lambda w: w * 1.3, "transposed weights": lambda w: w[:, ::-1]}[fault]
    if precision == "int8":
        change = {"other weights": lambda w: w // 2, "transposed weights": lambda w: w[:, ::-1]}[fault]
    wrong = replace(engine(with_weights(network, change)), network=network)
    with pytest.raises(BackendError, match=r"computes something else.*output 't\d+' agrees to .* dB \(limit"):
        require_agreement(wrong, network)


def test_an_output_that_is_not_finite_in_the_engine_only_is_named() -> None:
    network = classifier("fp32")
    with pytest.raises(BackendError, match="finite in one of the two"):
        require_agreement(engine(with_weights(network, lambda w: w * np.float32(np.inf))), network)


class Fixed(Session):
    """A session that takes exactly `rows` images, as engines with a static batch do."""

    def __init__(self, session: Session, rows: int) -> None:
        self._session, self._rows = session, rows
        self.inputs, self.outputs = session.inputs, session.outputs

    def load(self, images: Any) -> None:
        assert [len(values) for values in images.values()] == [self._rows] * len(images)
        self._session.load(images)

    def execute(self) -> Any:
        return self._session.execute()

    def fetch(self) -> dict[str, NDArray[Any]]:
        return self._session.fetch()

    def close(self) -> None:
        self._session.close()


class FixedEngine(Engine):
    def __init__(self, inner: Engine, rows: int, failure: Exception | None = None) -> None:
        self.network, self._inner, self._rows, self._failure = inner.network, inner, rows, failure
        self.info: EngineInfo = replace(inner.info, min_batch=rows, max_batch=rows)

    def session(self, **settings: Any) -> Session:
        if self._failure is not None:
            raise self._failure
        return Fixed(self._inner.session(), self._rows)


@pytest.mark.parametrize("rows", [1, 7])
def test_an_engine_of_a_fixed_batch_is_fed_as_many(rows: int) -> None:
    network = classifier("fp16")
    assert require_agreement(FixedEngine(engine(network, 7), rows), network).comparison.startswith("agrees")
    wrong = engine(with_weights(network, np.flip), 7)
    with pytest.raises(BackendError, match="something else"):
        require_agreement(FixedEngine(wrong, rows), network)


def test_an_engine_that_cannot_run_here_is_not_compared_and_says_why() -> None:
    network = classifier("fp32")
    absent = FixedEngine(engine(network), 2, BackendUnavailable("there is no GPU"))
    sentence = require_agreement(absent, network).comparison
    assert sentence == "not compared with ONNX Runtime: the engine does not run here (there is no GPU)"


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_an_engine_that_takes_raw_pixels_is_fed_pixels(precision: str) -> None:
    network = with_uint8_input(classifier(precision), Uint8Input(mean=128.0, scale=0.3))
    assert require_agreement(engine(network), network).comparison.startswith("agrees with ONNX Runtime")
    wrong = replace(engine(with_uint8_input(classifier(precision), Uint8Input(mean=0.0, scale=0.3))), network=network)
    with pytest.raises(BackendError, match="something else"):
        require_agreement(wrong, network)


def test_what_is_drawn_or_chosen_is_not_compared() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
        g (float[N, 4] x) => (float[N, 4] y, int64[N, 1] k) {{ r = {op} y = Add(x, r) k = ArgMax<axis = 1>(x) }}"""
    drawing = Network.from_model(parser.parse_model(text.format(op="RandomUniformLike(x)")), "drawing")
    assert "draws random numbers" in require_agreement(engine(drawing), drawing).comparison
    choosing = Network.from_model(parser.parse_model(text.format(op="Exp(x)")), "choosing")
    sentence = require_agreement(engine(choosing), choosing).comparison
    assert sentence.startswith("agrees")
    assert sentence.endswith("; not compared: k")
