"""LRN rewritten as a convolution computes what ONNX defines, and is left alone where the rewriting would not hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferkit.backends import build
from inferkit.backends.onnxruntime.lrn import replace_lrn
from inferkit.network.network import Network
from tests.backends.small_networks import network


def normalizing(
    channels: object = 6, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
) -> Network:
    shape = f"float[N, {channels}, 3, 4]"
    return network(
        f'<ir_version: 8, opset_import: ["" : 17]> net ({shape} data) => ({shape} out)'
        f"{{ out = LRN <size = {size}, alpha = {alpha:f}, beta = {beta:f}, bias = {bias:f}> (data) }}"
    )


def by_definition(fed: np.ndarray, size: int, alpha: float, beta: float, bias: float) -> np.ndarray:
    """The formula of ONNX's LRN, float64."""
    squares, result = fed.astype(np.float64) ** 2, np.empty(fed.shape)
    for channel in range(fed.shape[1]):
        first, last = channel - (size - 1) // 2, channel + size // 2
        total = squares[:, max(0, first) : last + 1].sum(axis=1)
        result[:, channel] = fed[:, channel] / (bias + alpha / size * total) ** beta
    return result


def operators(of: Network) -> set[str]:
    return {node.op_type for node in replace_lrn(of.model).graph.node}


@given(
    channels=st.integers(1, 12),
    size=st.integers(1, 9),
    alpha=st.sampled_from([0.0, 0.0001, 0.5, 2.0]),
    beta=st.sampled_from([0.5, 0.75, 1.0]),
    bias=st.sampled_from([0.5, 1.0, 2.0]),
)
@settings(max_examples=40, deadline=None)
def test_any_parameters_give_what_the_definition_says(
    channels: int, size: int, alpha: float, beta: float, bias: float
) -> None:
    rewritten = normalizing(channels, size, alpha, beta, bias)
    assert "LRN" not in operators(rewritten)
    fed = (np.random.default_rng(size).standard_normal((2, channels, 3, 4)) * 30).astype(np.float32)
    with build(rewritten, max_batch=2, threads=1).session() as session:
        # a sum of squares, a root and a quotient in float32
        expected = by_definition(fed, size, alpha, beta, bias)
        np.testing.assert_allclose(session.run(fed)["out"], expected, rtol=1e-5, atol=1e-6)


def test_zeros_and_large_values_stay_finite() -> None:
    with build(normalizing(), max_batch=2, threads=1).session() as session:
        fed = np.zeros((2, 6, 3, 4), np.float32)
        fed[1] = 1e6
        found = session.run(fed)["out"]
        assert np.isfinite(found).all()
        assert (found[0] == 0).all()


@pytest.mark.parametrize("changed", [{"bias": 0.0}, {"bias": -1.0}, {"alpha": -0.5}, {"channels": "C"}])
def test_what_could_take_a_root_of_nothing_or_has_unknown_channels_is_left_alone(changed: dict[str, object]) -> None:
    assert operators(normalizing(**changed)) == {"LRN"}  # type: ignore[arg-type]


def test_a_model_without_lrn_comes_back_as_it_is() -> None:
    plain = network(
        '<ir_version: 8, opset_import: ["" : 17]> net (float[N, 2] data) => (float[N, 2] out) { out = Relu (data) }'
    )
    assert replace_lrn(plain.model) is plain.model


def test_the_model_that_is_rewritten_stays_as_it_is() -> None:
    model = normalizing().model
    before = model.SerializeToString(deterministic=True)
    replace_lrn(model)
    assert model.SerializeToString(deterministic=True) == before


def test_a_build_without_optimization_keeps_the_graph() -> None:
    engine = build(normalizing(), optimization="none", threads=1)
    assert [node.op_type for node in engine.graph.model.graph.node] == ["LRN"]  # type: ignore[attr-defined]
