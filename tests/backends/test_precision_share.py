"""What a network asks for against what ONNX Runtime really runs, and what is not known is never taken for all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inferkit
from inferkit.backends.layer_table import LayerRow
from inferkit.backends.precision_share import OtherPrecision, PrecisionShare, others_from, precision_share
from inferkit.network.network import Network
from tests.precision.precision_graphs import ModelBuilder, images


def chain() -> Network:
    """Convolutions and a product, each read by one other: ONNX Runtime computes all of them on integers."""
    build = ModelBuilder(4)
    build.conv(8)
    build.add("Relu")
    build.conv(8)
    build.add("Relu")
    build.gemm(5)
    return build.network()


def residual() -> Network:
    """The sum of a convolution and its input: the convolution before it must return floats."""
    build = ModelBuilder(4)
    build.conv(8)
    build.add("Relu")
    build.residual()
    build.gemm(5)
    return build.network()


def int8(network: Network, **options: Any) -> Network:
    return inferkit.at_precision(network, "int8", calibration=[images() * 30], **options)


def ran(network: Network, **build: Any) -> PrecisionShare:
    with inferkit.build(network, backend="onnxruntime", max_batch=1, **build).session() as session:
        session.load({info.name: np.zeros(info.shape_at(1), info.dtype) for info in session.inputs})
        return precision_share(network, session.layers(), build)


def test_integer_kernels_are_found_for_the_layers_that_they_compute() -> None:
    share = ran(int8(chain()))
    assert (share.share, share.others) == (1.0, ())
    assert share.sentence == "100 % of the work asked for in int8 runs in it"


def test_q_dq_that_is_not_fused_is_found_with_the_layer_and_its_part_of_the_work() -> None:
    share = ran(int8(residual()))
    # conv0: 8·8·8 outputs of 4·9 products, conv2: of 8·9; gemm: 512 products for 5 outputs.
    works = {"Conv0": 512 * 36, "Conv2": 512 * 72, "Gemm6": 512 * 5}
    (other,) = share.others
    assert (other.layer, other.precision) == ("Conv2", "fp32")
    assert other.share == pytest.approx(works["Conv2"] / sum(works.values()))
    assert share.share == pytest.approx(1 - other.share)


def test_q_dq_that_onnxruntime_is_told_not_to_fuse_runs_in_fp32() -> None:
    share = ran(int8(chain()), fuse_quantized=False)
    assert share.share == 0.0
    assert {each.precision for each in share.others} == {"fp32"}


def test_layers_that_the_user_left_out_do_not_count() -> None:
    share = ran(int8(chain(), exclude=["Conv0"]))
    assert (share.share, share.others) == (1.0, ())
    kept = inferkit.at_precision(chain(), "fp16", keep=["Conv*"])
    assert [each.layer for each in ran(kept).others] == [
        "Gemm5"
    ]  # the CPU has no half kernels; the rest was not asked for


def test_fp32_runs_in_fp32_and_half_runs_in_fp32_too_on_a_cpu() -> None:
    assert ran(chain()).share == 1.0
    share = ran(inferkit.at_precision(chain(), "fp16"))
    assert share.share == 0.0
    assert share.sentence.startswith("0 % of the work asked for in fp16 runs in it; not ")


@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_an_emulated_precision_is_not_held_against_it(precision: str) -> None:
    calibration = [images() * 30] if precision == "fp8" else None
    share = ran(inferkit.at_precision(chain(), precision, calibration), emulate=True)
    assert (share.share, share.reason) == (None, f"{precision} is emulated in fp32, as asked")


def row(name: str, precision: str, *, multiplies: bool = True, of: tuple[str, ...] = ()) -> LayerRow:
    return LayerRow(name, precision=precision, origins=of or (name,), multiplies=multiplies)


ALL = tuple(row(name, "int8") for name in ("Conv0", "Conv2", "Gemm5"))


def test_a_backend_that_does_not_say_has_no_share() -> None:
    for table in ((), (LayerRow("everything"),)):
        share = precision_share(int8(chain()), table)
        assert (share.share, share.reason) == (None, "the backend does not say what its layers compute in")
        assert "percent" not in share.as_dict()


def test_work_whose_type_is_not_known_leaves_no_share_and_names_the_layers() -> None:
    share = precision_share(int8(chain()), ALL[1:])
    assert share.share is None
    assert share.reason.startswith("what 31.9 % of the work runs in is not known: Conv0")
    little = precision_share(int8(chain()), ALL[:2])  # without the product, 4 % of the work
    assert little.share == 1.0


def test_rows_that_multiply_decide_and_those_that_convert_do_not() -> None:
    converting = row("to int8", "fp32", multiplies=False, of=("Conv0",))
    assert precision_share(int8(chain()), (converting, *ALL)).share == 1.0
    twice = row("again", "fp16", of=("Conv2",))
    (other,) = precision_share(int8(chain()), (*ALL, twice)).others
    assert (other.layer, other.precision) == ("Conv2", "fp16")


def test_a_fusion_of_several_layers_counts_for_each_of_them() -> None:
    table = (row("all", "int8", of=("Conv0", "Conv2", "Relu3", "Gemm5")),)
    assert precision_share(int8(chain()), table).share == 1.0


def test_a_network_without_work_has_no_share() -> None:
    build = ModelBuilder(4)
    build.add("Relu")
    share = precision_share(build.network(), (row("Relu0", "fp32"),))
    assert share.reason == "no convolution, product or recurrent layer is asked for in fp32"


others = st.builds(OtherPrecision, st.text(max_size=9), st.sampled_from(("fp32", "fp16")), st.floats(0, 1))


@given(st.lists(others, max_size=4))
def test_json_keeps_the_layers(layers: list[OtherPrecision]) -> None:
    content = PrecisionShare("int8", 0.5, tuple(layers)).as_dict()
    assert others_from(content["others"]) == tuple(layers)
    assert content["percent"] == 50.0
