"""Blob names are resolved as Caffe resolves them: what reads what, what is an output, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inferkit.errors import NetworkError
from inferkit.network.caffe.files.read import parse_prototxt
from inferkit.network.caffe.flow import Flow, Top, trace_flow
from tests.network.caffe.pycaffe_oracle import CaffeAborted, oracle

INPUT = 'layer { name: "i" type: "Input" top: "a" top: "b" input_param { shape { dim: 2 dim: 2 } } }\n'
BLOB_NAMES = ["a", "b", "c", "d", "B", "é"]
BLOBS = st.sampled_from(BLOB_NAMES)


def _flow(text: str) -> Flow:
    return trace_flow(parse_prototxt(text, "net.prototxt"), "net.prototxt")


def _names(flow: Flow, tops: list[Top] | tuple[Top, ...]) -> list[str]:
    return [flow.name(top) for top in tops]


@st.composite
def wirings(draw: st.DrawFn) -> str:
    """Nets of layers that take any blobs of one shape, wired at random: in place, read twice, unknown, made twice."""
    text = INPUT
    for number in range(draw(st.integers(1, 5))):
        kind, most = draw(st.sampled_from([("Power", 1), ("ReLU", 1), ("Eltwise", 2), ("Split", 1), ("Silence", 1)]))
        bottoms = draw(st.lists(BLOBS, min_size=most, max_size=most))
        count = {"Split": 2, "Silence": 0}.get(kind, 1)
        fresh = [name for name in BLOB_NAMES if kind != "Split" or name not in bottoms]  # Split is never in place
        tops = draw(st.lists(st.sampled_from(fresh), min_size=count, max_size=count))
        if kind != "Split" and draw(st.booleans()):
            tops = bottoms
        names = [f'bottom: "{name}"' for name in bottoms] + [f'top: "{name}"' for name in tops[:count]]
        text += f'layer {{ name: "l{number}" type: "{kind}" {" ".join(names)} }}\n'
    return text


@pytest.mark.pycaffe
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=wirings())
def test_caffe_takes_the_same_wirings_and_finds_the_same_outputs(tmp_path: Path, text: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(text, encoding="utf-8")
    try:
        outputs = oracle().run(path).outputs
    except CaffeAborted:
        with pytest.raises(NetworkError, match=r"net\.prototxt, layer 'l\d'"):
            trace_flow(parse_prototxt(text, path), path)
        return
    flow = _flow(text)
    assert _names(flow, flow.unread()) == outputs


def test_outputs_are_what_nothing_reads_in_the_order_of_their_names() -> None:
    flow = _flow(
        INPUT
        + 'layer { name: "z" type: "Power" bottom: "a" top: "z" }'
        + 'layer { name: "c" type: "Power" bottom: "a" top: "c" }'
    )
    assert _names(flow, flow.unread()) == ["b", "c", "z"]


def test_in_place_layers_make_a_new_top_of_the_same_name() -> None:
    flow = _flow(
        INPUT
        + 'layer { name: "r" type: "ReLU" bottom: "a" top: "a" } layer { name: "p" type: "Power" bottom: "a" top: "p" }'
    )
    assert flow.bottoms[1] == (Top(0, 0),)
    assert flow.bottoms[2] == (Top(1, 0),)
    assert flow.readers[Top(0, 0)] == ((1, 0),)
    assert _names(flow, flow.unread()) == ["b", "p"]


@pytest.mark.parametrize(
    "layers, reason",
    [
        ('layer { name: "n" type: "ReLU" bottom: "x" top: "y" }', "no earlier layer produces its bottom 'x'$"),
        (
            'layer { name: "n" type: "ReLU" bottom: "x" top: "y" }'
            'layer { name: "m" type: "ReLU" bottom: "a" top: "x" }',
            r"no earlier layer produces its bottom 'x' \(layer 'm' produces it, but comes later\)",
        ),
        ('layer { name: "n" type: "ReLU" bottom: "a" top: "b" }', "an earlier layer produces 'b' too"),
        (
            'layer { name: "m" type: "ReLU" bottom: "a" top: "c" }'
            'layer { name: "n" type: "ReLU" bottom: "a" top: "a" }',
            "it changes 'a' in place, which layer 'm' reads too",
        ),
        ('layer { name: "n" type: "Split" bottom: "a" top: "c" top: "c" }', "it has two tops named 'c'"),
    ],
)
def test_what_caffe_refuses_is_refused(layers: str, reason: str) -> None:
    with pytest.raises(NetworkError, match=rf"^net.prototxt, layer 'n' \(\w+\): .*{reason}"):
        _flow(INPUT + layers)
