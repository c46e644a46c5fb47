"""Real engines, built by real TensorRT-RTX without a GPU: their inputs, outputs, profiles and types.

A machine without a GPU cannot open an engine again; the builder describes the finished engine in its log, and that
description is what is checked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper, parser

import inferkit
from inferkit.backends.tensorrt import load_engine
from inferkit.backends.tensorrt.building.batch_range import make_profile, with_static_batch
from inferkit.backends.tensorrt.building.build import normalized_targets
from inferkit.backends.tensorrt.building.builder import WORKSPACE_OF_THE_STUDY, BuildOptions, BuiltPlan, build_plan
from inferkit.backends.tensorrt.flavour import Flavour
from inferkit.errors import BackendError, UsageError
from inferkit.network import zoo
from inferkit.network.network import Network, TensorInfo
from inferkit.progress import listening
from tests.backends.tensorrt.trt_models import tiny_model


@dataclass(frozen=True)
class Described:
    """One input or output as the builder describes it in the engine that it built."""

    mode: str
    dtype: str
    shape: tuple[int, ...]
    profile: tuple[tuple[int, ...], ...]


def described(built: BuiltPlan) -> dict[str, Described]:
    """The inputs and outputs of the finished engine, from the builder's log (1.5 and newer give shapes there)."""
    report = next(text for _, text in built.messages.entries if "I/O Tensors:" in text)
    found = {}
    for line in report.split("I/O Tensors:")[1].splitlines():
        match = re.match(r"\s*Name: (.+?), IOMode: (\w+), DataType: (\w+), Dimensions: \[([-\d,]*)\]", line)
        if match:
            shapes = re.findall(r"(?:Min|Opt|Max)Shape: \[([-\d,]*)\]", line)
            found[match[1]] = Described(match[2], match[3], _numbers(match[4]), tuple(map(_numbers, shapes)))
    return found


def layer_types(built: BuiltPlan) -> set[str]:
    """The types that the engine's layers read and write."""
    report = next(text for _, text in built.messages.entries if text.startswith("Layers:"))
    return set(re.findall(r"Datatype: (\w+)", report.split("I/O Tensors:")[0]))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(",") if number)


def needs_description(flavour: Flavour) -> None:
    if flavour.number < (1, 7):
        pytest.skip(f"{flavour} does not describe inputs and outputs in its log")


def built_for(network: Network, flavour: Flavour, max_batch: int, **batches: Any) -> BuiltPlan:
    return build_plan(network, flavour, BuildOptions(make_profile(network, max_batch, **batches)))


def at_precision(network: Network, precision: str) -> Network:
    if precision != "int8":
        return inferkit.at_precision(network, precision)
    shape = tuple(dim or 2 for dim in network.inputs[0].shape)
    batch = np.random.default_rng(5).normal(size=shape).astype(np.float32) * 50
    return inferkit.at_precision(network, precision, calibration=[batch])


@lru_cache(maxsize=1)
def loaded(name: str) -> Network:
    """Loaded once for the precisions that follow each other."""
    return inferkit.load(name)


def check_engine(network: Network, flavour: Flavour, max_batch: int) -> BuiltPlan:
    """Build, and compare the engine with its network: names, types, shapes, batches."""
    built = built_for(network, flavour, max_batch, opt_batch=max(max_batch // 2, 1))
    info = built.plan.info
    assert [(each.name, each.dtype, each.shape) for each in info.inputs] == [
        (each.name, each.dtype, each.shape) for each in network.inputs
    ]
    assert [each.name for each in info.outputs] == [each.name for each in network.outputs]
    assert info.size_bytes == len(built.plan.content) > 1000
    tensors = described(built)
    assert set(tensors) == {each.name for each in (*network.inputs, *network.outputs)}
    for each in network.inputs:
        rest = tuple(dim for dim in each.shape[1:] if dim is not None)
        assert tensors[each.name] == Described(
            "Input", "Float", (-1, *rest), tuple((batch, *rest) for batch in (1, max(max_batch // 2, 1), max_batch))
        )
    for each in network.outputs:
        assert tensors[each.name].mode == "Output"
        assert tensors[each.name].dtype == "Float"
        assert tensors[each.name].shape[0] == -1
    return built


@pytest.mark.parametrize("precision, types", [("fp32", {"Float"}), ("fp16", {"Half"}), ("int8", {"Int8"})])
def test_lenet_is_built_at_its_precision(rtx: Flavour, lenet: Network, precision: str, types: set[str]) -> None:
    needs_description(rtx)
    if refusal := rtx.refusal(precision):
        pytest.skip(refusal)
    built = check_engine(at_precision(lenet, precision), rtx, 16)
    assert types <= layer_types(built)
    assert built.plan.info.precision == precision


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("name", zoo.names())
def test_every_network_of_the_zoo_is_built(rtx: Flavour, name: str, precision: str) -> None:
    needs_description(rtx)
    if refusal := rtx.refusal(precision):
        pytest.skip(refusal)
    built = check_engine(at_precision(loaded(name), precision), rtx, 8)
    expected = {"fp32": "Float", "fp16": "Half", "int8": "Int8"}[precision]
    assert expected in layer_types(built)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_other_precisions_are_built(rtx: Flavour, lenet: Network, precision: str) -> None:
    built = built_for(inferkit.at_precision(lenet, precision), rtx, 4)
    assert built.plan.info.tf32 is (precision == "tf32")
    assert b"tf32=1" in built.plan.content if precision == "tf32" else b"tf32=0" in built.plan.content


def test_a_range_of_one_batch_size_is_static(tiny: Network) -> None:
    assert make_profile(tiny, 1).static
    assert make_profile(tiny, 8, min_batch=8).static
    assert not make_profile(tiny, 8).static


def test_a_static_engine_has_no_open_batch(rtx: Flavour, tiny: Network) -> None:
    needs_description(rtx)
    built = built_for(with_static_batch(tiny, 6), rtx, 6)
    assert built.plan.info.static
    assert described(built)["data"].shape == (6, 3, 12, 12)
    assert described(built)["prob"].shape == (6, 10)
    assert built.plan.info.profile == (6, 6, 6)


def test_targets_are_in_the_plan(rtx: Flavour, tiny: Network) -> None:
    options = BuildOptions(make_profile(tiny, 2), targets=("sm89",))
    built = build_plan(tiny, rtx, options)
    assert built.plan.info.targets == ("sm89",)
    assert b"accelerators={sm89 }" in built.plan.content


def test_the_workspace_of_the_study_is_enough_for_lenet(rtx: Flavour, lenet: Network) -> None:
    options = BuildOptions(make_profile(lenet, 2), workspace=WORKSPACE_OF_THE_STUDY)
    assert build_plan(lenet, rtx, options).plan.info.workspace_bytes == 1 << 25


def test_metadata_survives_the_disk(rtx: Flavour, tiny: Network, cache: Path, tmp_path: Path) -> None:
    engine = inferkit.build(tiny, backend="tensorrt", max_batch=4, flavour="tensorrt_rtx")
    engine.save(tmp_path / "deep" / "tiny.plan")
    loaded = load_engine(tmp_path / "deep" / "tiny.plan")
    assert loaded.plan_info == engine.plan_info
    assert loaded.plan_info.inputs == (TensorInfo("data", "float32", (None, 3, 12, 12)),)
    assert loaded.plan_info.network_digest == tiny.digest
    assert loaded.info.size_bytes == (tmp_path / "deep" / "tiny.plan").stat().st_size
    assert loaded.info.build_seconds is not None
    assert loaded.info.build_seconds > 0
    assert "ONNX Runtime" in loaded.info.details["comparison"]  # compared, or why not


def test_an_unknown_layer_is_named(rtx: Flavour, refused: Any) -> None:
    model = tiny_model()
    model.graph.node[1].op_type = "Reloo"
    message = refused(lambda: built_for(Network.from_model(model, "broken"), rtx, 2))
    assert message.startswith("BackendError")
    assert "'relu'" in message
    assert "Reloo" in message


def test_weights_that_do_not_fit_are_named(rtx: Flavour, refused: Any) -> None:
    model = tiny_model()
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.zeros((8, 5, 3, 3), np.float32), "w1"))
    message = refused(lambda: built_for(Network.from_model(model, "broken"), rtx, 2))
    assert "'conv'" in message
    assert "cudaError" not in message  # a machine without a GPU adds that to everything


def test_mixed_types_are_refused_since_networks_are_strongly_typed(rtx: Flavour, refused: Any) -> None:
    model = tiny_model()
    weights = numpy_helper.to_array(model.graph.initializer[0]).astype(np.float16)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w1"))
    assert "same type" in refused(lambda: built_for(Network.from_model(model, "broken"), rtx, 2))


@pytest.mark.parametrize("precision", ["int8"])
def test_a_precision_that_the_version_lacks_is_unavailable(rtx: Flavour, precision: str, tiny: Network) -> None:
    network = at_precision(tiny, precision)
    if rtx.refusal(precision) is None:
        assert built_for(network, rtx, 2).plan.info.precision == precision
    else:
        with pytest.raises(BackendError, match="INT8"):
            inferkit.build(network, backend="tensorrt", max_batch=2, flavour="tensorrt_rtx")


@pytest.mark.parametrize(
    "batches, problem",
    [
        ({"max_batch": 0}, "1 <= smallest"),
        ({"max_batch": 4, "opt_batch": 8}, "1 <= smallest"),
        ({"max_batch": 4, "min_batch": 0}, "1 <= smallest"),
        ({"max_batch": 4, "min_batch": 2, "static": True}, "one batch size"),
    ],
)
def test_batches_that_make_no_sense_are_refused(tiny: Network, batches: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        make_profile(tiny, **batches)


def test_a_fixed_batch_takes_no_other(rtx: Flavour) -> None:
    network = Network.from_model(tiny_model(batch=4), "fixed")
    assert make_profile(network, 4).static
    with pytest.raises(UsageError, match=r"fixed at 4.*cannot be built for 8"):
        make_profile(network, 8)


def test_only_the_batch_may_be_open(tiny: Network) -> None:
    model = tiny_model()
    model.graph.input[0].type.tensor_type.shape.dim[2].ClearField("dim_value")
    with pytest.raises(UsageError, match=r"nothing states dimension 2 of 'data'.*--input-shape data=1,3,224,12"):
        make_profile(Network.from_model(model, "open"), 4)


def network_of(text: str) -> Network:
    return Network.from_model(parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{text}'), "net")


def test_profiles_follow_the_batch_on_whatever_axis() -> None:
    network = network_of(
        "g (float[N, 8] x, float[2, N, 8] h, float[4] a, float s) => (float[2, N, 8] y) { y = Relu(h) }"
    )
    profile = make_profile(network, 6, opt_batch=3)
    assert [profile.shapes(info) for info in network.inputs] == [
        ((1, 8), (3, 8), (6, 8)),
        ((2, 1, 8), (2, 3, 8), (2, 6, 8)),
        ((4,),) * 3,
        ((),) * 3,
    ]
    fixed = with_static_batch(network, 6)
    assert [info.shape for info in (*fixed.inputs, *fixed.outputs)] == [(6, 8), (2, 6, 8), (4,), (), (2, 6, 8)]
    assert [info.batch_axis for info in (*fixed.inputs, *fixed.outputs)] == [0, 1, None, None, 1]


def test_a_network_without_a_batch_is_built_for_one_item() -> None:
    network = network_of("g (float[3, 8] x, float[4] a) => (float[8, 3] y) { y = Transpose(x) }")
    assert make_profile(network, 1).static
    with pytest.raises(UsageError, match=r"fixed at 1.*cannot be built for 2"):
        make_profile(network, 2)


def test_unknown_options_are_refused(rtx: Flavour, tiny: Network) -> None:
    with pytest.raises(UsageError, match="batchsize"):
        inferkit.build(tiny, backend="tensorrt", max_batch=2, batchsize=3)
    with pytest.raises(UsageError, match="workspace"):
        inferkit.build(tiny, backend="tensorrt", max_batch=2, workspace=0, flavour="tensorrt_rtx")


def test_targets_are_written_in_many_ways() -> None:
    assert normalized_targets(None) == ()
    assert normalized_targets("SM89") == normalized_targets(["8.9"]) == normalized_targets("89") == ("sm89",)
    assert normalized_targets(["sm89", "8.6", "sm_86"]) == ("sm86", "sm89")
    assert normalized_targets("sm86, sm89") == normalized_targets(["sm86,sm89"]) == ("sm86", "sm89")
    assert normalized_targets("current") == ("current",)


def test_the_network_is_left_as_it_was(rtx: Flavour, tiny: Network, cache: Path) -> None:
    before = tiny.model.SerializeToString(deterministic=True)
    inferkit.build(tiny, backend="tensorrt", max_batch=2, static=True, flavour="tensorrt_rtx")
    assert tiny.model.SerializeToString(deterministic=True) == before
    assert tiny.inputs[0].shape[0] is None


def test_a_build_tells_how_far_it_is_to_who_listens(rtx, cache, tiny):
    heard: list[tuple[str, int, int | None]] = []
    with listening(lambda *told: heard.append(told)):
        inferkit.build(tiny, backend="tensorrt", max_batch=2, flavour="tensorrt_rtx")
    assert {what for what, *_ in heard} == {f"building {tiny.name}"}
    done = [done for _, done, _ in heard]
    assert done == sorted(set(done))
    assert done[-1] == 1000 == heard[-1][2]
