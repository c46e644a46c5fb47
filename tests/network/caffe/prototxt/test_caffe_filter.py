"""Layers are kept by phase, level and stages as Caffe keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inferkit.errors import NetworkError
from inferkit.network.caffe.files.read import parse_prototxt
from inferkit.network.caffe.files.schema import TEST, TRAIN, NetParameter, NetStateRule
from inferkit.network.caffe.prototxt.filter import filter_net
from tests.network.caffe.pycaffe_oracle import oracle

STAGES = st.sampled_from(["deploy", "fast", "a b"])


def _names(net: NetParameter) -> list[str]:
    return [layer.name for layer in net.layer]


@st.composite
def rules(draw: st.DrawFn) -> str:
    parts = draw(
        st.lists(
            st.one_of(
                st.sampled_from(["phase: TRAIN", "phase: TEST"]),
                st.integers(-2, 3).map(lambda level: f"min_level: {level}"),
                st.integers(-2, 3).map(lambda level: f"max_level: {level}"),
            ),
            max_size=2,
            unique_by=lambda part: part.split(":")[0],
        )
    )
    parts += [f'stage: "{stage}"' for stage in draw(st.lists(STAGES, max_size=2))]
    parts += [f'not_stage: "{stage}"' for stage in draw(st.lists(STAGES, max_size=1))]
    return " ".join(parts)


@st.composite
def ruled_nets(draw: st.DrawFn) -> str:
    """An input and layers that read it, each with rules of one kind, so that the outputs tell which are kept."""
    text = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 } } }\n'
    if draw(st.booleans()):
        text += f'state {{ phase: TRAIN level: 2 stage: "{draw(STAGES)}" }}\n'
    for number in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["include", "exclude"]))
        written_rules = " ".join(f"{kind} {{ {rule} }}" for rule in draw(st.lists(rules(), max_size=3)))
        text += f'layer {{ name: "t{number}" type: "Power" bottom: "x" top: "t{number}" {written_rules} }}\n'
    return text


@pytest.mark.pycaffe
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=ruled_nets(),
    train=st.booleans(),
    level=st.integers(-2, 3),
    stages=st.lists(STAGES, max_size=2, unique=True),
)
def test_the_layers_that_caffe_keeps(tmp_path: Path, text: str, train: bool, level: int, stages: list[str]) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    answer = oracle().run(path, phase="TRAIN" if train else "TEST", level=level, stages=stages)
    net = parse_prototxt(text, path)
    kept = filter_net(net, path, phase=TRAIN if train else TEST, level=level, stages=stages)
    assert sorted(_names(kept)[1:]) == [name for name in answer.outputs if name != "x"]


def test_without_rules_everything_is_kept_in_order() -> None:
    net = parse_prototxt('layer { name: "b" } layer { name: "a" } layer { name: "c" }', "net.prototxt")
    assert _names(filter_net(net, "net.prototxt")) == ["b", "a", "c"]


def test_the_file_is_not_changed() -> None:
    net = parse_prototxt('layer { name: "a" include { phase: TRAIN } }', "net.prototxt")
    assert _names(filter_net(net, "net.prototxt")) == []
    assert _names(net) == ["a"]


def test_stages_of_the_file_count_too() -> None:
    net = parse_prototxt('state { stage: "s" } layer { name: "a" include { stage: ["s", "t"] } }', "net.prototxt")
    assert _names(filter_net(net, "net.prototxt")) == []
    assert _names(filter_net(net, "net.prototxt", stages=["t"])) == ["a"]


def test_an_empty_rule_is_always_met() -> None:
    net = parse_prototxt('layer { name: "a" include { } } layer { name: "b" exclude { } }', "net.prototxt")
    assert _names(filter_net(net, "net.prototxt")) == ["a"]
    assert NetStateRule().ListFields() == []


def test_both_kinds_of_rules_are_refused() -> None:
    net = parse_prototxt('layer { name: "a" type: "ReLU" include { } exclude { } }', "net.prototxt")
    with pytest.raises(NetworkError, match=r"net.prototxt, layer 'a' \(ReLU\): .*both include and exclude rules"):
        filter_net(net, "net.prototxt")
