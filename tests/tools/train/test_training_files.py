"""What trains the embedded networks describes the very networks that are stored."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from google.protobuf import text_format

import inferkit
from inferkit.network import zoo
from inferkit.network.caffe.files import schema
from inferkit.network.zoo.caffemodel import caffemodel
from inferkit.network.zoo.weights import made_up
from tools import ROOT

TRAINED_LAYERS = ("Convolution", "Pooling", "InnerProduct", "ReLU")


def layers(text: str) -> list[tuple[Any, ...]]:
    """What decides a network's result: names, types, bottoms, tops and settings, without fillers and rates."""
    net = text_format.Parse(text, schema.NetParameter())
    found = []
    for layer in net.layer:
        if layer.type in TRAINED_LAYERS:
            for settings in (layer.convolution_param, layer.inner_product_param):
                settings.ClearField("weight_filler")
                settings.ClearField("bias_filler")
            parameters = (layer.convolution_param, layer.pooling_param, layer.inner_product_param)
            texts = tuple(settings.SerializeToString(deterministic=True) for settings in parameters)
            found.append((layer.name, layer.type, list(layer.bottom), list(layer.top), *texts))
    return found


def test_lenet_is_trained_with_the_layers_that_it_is_stored_with() -> None:
    assert layers((ROOT / "tools/train/lenet_train_val.prototxt").read_text()) == layers(zoo.prototxt("lenet"))


def test_lenet_is_trained_on_pixels_scaled_as_its_card_says() -> None:
    net = text_format.Parse((ROOT / "tools/train/lenet_train_val.prototxt").read_text(), schema.NetParameter())
    scales = {layer.transform_param.scale for layer in net.layer if layer.type == "Data"}
    assert scales == {zoo.card("lenet")["preprocessing"]["scale"]}


def test_the_solver_s_seed_is_the_card_s() -> None:
    lines = (ROOT / "tools/train/lenet_solver.prototxt").read_text().splitlines()
    assert f"random_seed: {zoo.card('lenet')['seed']}" in lines
    assert (ROOT / zoo.card("lenet")["recipe"]).is_file()


@pytest.mark.parametrize("name", ["fashion_vgg", "fashion_resnet", "lenet"])
def test_torch_trains_what_the_import_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="only training needs torch")
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.delitem(sys.modules, "tools", raising=False)
    from tools.train.caffe_in_torch import CaffeNet

    net = zoo.build(name)
    blobs = {layer.name: arrays for layer, arrays in made_up(net) if arrays}
    model = CaffeNet(net).eval()
    model.load(blobs)
    prototxt, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    prototxt.write_text(net.prototxt())
    exported = model.blobs()
    weights.write_bytes(
        b"".join(
            caffemodel(name, [(layer.name, layer.type, exported[layer.name]) for layer in net.layers if layer.blobs])
        )
    )
    imported = inferkit.load(prototxt, weights)
    images = np.random.default_rng(1).random((3, *net.shapes["data"]), np.float32) * 8
    with torch.no_grad():
        expected = torch.softmax(model(torch.from_numpy(images)), dim=1).numpy()
    session = onnxruntime.InferenceSession(imported.model.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["prob"], {"data": images})[0], expected, atol=1e-4 * expected.max())
