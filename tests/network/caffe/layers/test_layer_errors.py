"""What Caffe aborts on is a NetworkError that names file, layer, type and reason; so is what cannot be imported."""

from __future__ import annotations

from pathlib import Path

import pytest

import inferkit
from inferkit.errors import NetworkError
from inferkit.network.caffe.files.read import parse_prototxt
from tests.network.caffe.layers.caffe_checks import ABORTS as UNSHAPED_ABORTS
from tests.network.caffe.layers.caffe_checks import ACCEPTED
from tests.network.caffe.layers.caffe_errors import ABORTS, REFUSED
from tests.network.caffe.pycaffe_oracle import CaffeAborted, oracle


def _cases(table: dict[str, tuple[str, str]]) -> list:
    return [pytest.param(text, reason, id=name) for name, (text, reason) in table.items()]


@pytest.mark.parametrize("text, reason", _cases(ABORTS | UNSHAPED_ABORTS | REFUSED))
def test_the_error_names_file_layer_type_and_reason(text: str, reason: str, tmp_path: Path) -> None:
    prototxt = tmp_path / "net.prototxt"
    prototxt.write_text(text)
    with pytest.raises(NetworkError, match=reason) as caught:
        inferkit.load(prototxt)
    message = str(caught.value)
    assert str(prototxt) in message
    layers = parse_prototxt(text, "net").layer
    assert len(layers) == 1 or any(layer.name in message and f"({layer.type})" in message for layer in layers)


@pytest.mark.pycaffe
@pytest.mark.parametrize(
    "text", [pytest.param(text, id=name) for name, (text, _) in (ABORTS | UNSHAPED_ABORTS).items()]
)
def test_caffe_aborts_on_it_too(text: str, tmp_path: Path) -> None:
    prototxt = tmp_path / "net.prototxt"
    prototxt.write_text(text)
    with pytest.raises(CaffeAborted):
        oracle().run(prototxt)


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in ACCEPTED.items()])
def test_what_only_looks_wrong_is_imported(text: str, tmp_path: Path) -> None:
    prototxt = tmp_path / "net.prototxt"
    prototxt.write_text(text)
    assert inferkit.load(prototxt).outputs


@pytest.mark.pycaffe
@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in ACCEPTED.items()])
def test_caffe_loads_it_too(text: str, tmp_path: Path) -> None:
    prototxt = tmp_path / "net.prototxt"
    prototxt.write_text(text)
    oracle().run(prototxt)
