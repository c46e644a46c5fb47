"""Older prototxt formats are upgraded to the current one exactly as Caffe's own upgrade tools do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import inferkit
from inferkit.backends.caffe.root import CaffeRoot
from inferkit.errors import NetworkError
from inferkit.network.caffe.files.read import parse_prototxt
from inferkit.network.caffe.files.schema import NetParameter, V1LayerParameter
from inferkit.network.caffe.prototxt.definition import read_upgraded
from inferkit.network.caffe.prototxt.upgrade import upgrade, v1_type_name
from tests.network.caffe.files.caffe_messages import nets
from tests.network.caffe.pycaffe_oracle import CaffeAborted, oracle

V0 = """
name: "net"
input: "data" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 9
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "data" top: "pad" }
layers {
  layer {
    name: "conv" type: "conv" num_output: 4 kernelsize: 3 stride: 2 group: 1 biasterm: true
    weight_filler { type: "gaussian" std: 0.01 } bias_filler { type: "constant" value: 1 }
    blobs_lr: 1. blobs_lr: 2. weight_decay: 1. weight_decay: 0.
  }
  bottom: "pad" top: "conv"
}
layers { layer { name: "relu" type: "relu" } bottom: "conv" top: "conv" }
layers { layer { name: "norm" type: "lrn" local_size: 5 alpha: 0.0001 beta: 0.75 } bottom: "conv" top: "norm" }
layers { layer { name: "pool" type: "pool" pool: AVE kernelsize: 3 stride: 2 } bottom: "norm" top: "pool" }
layers { layer { name: "drop" type: "dropout" dropout_ratio: 0.4 } bottom: "pool" top: "pool" }
layers { layer { name: "fc" type: "innerproduct" num_output: 10 } bottom: "pool" top: "fc" }
layers { layer { name: "join" type: "concat" concat_dim: 1 } bottom: "fc" bottom: "fc" top: "join" }
layers { layer { name: "prob" type: "softmax" } bottom: "join" top: "prob" }
"""

V1 = """
name: "net"
input: "data" input_shape { dim: 1 dim: 3 dim: 9 dim: 9 }
layers {
  name: "conv" type: CONVOLUTION bottom: "data" top: "conv"
  blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0
  convolution_param {
    num_output: 4 kernel_size: 3 pad: 1 stride: 2 group: 1 bias_term: true
    weight_filler { type: "gaussian" std: 0.01 } bias_filler { type: "constant" value: 1 }
  }
}
layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
layers { name: "norm" type: LRN bottom: "conv" top: "norm" lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 } }
layers { name: "pool" type: POOLING bottom: "norm" top: "pool" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layers { name: "drop" type: DROPOUT bottom: "pool" top: "pool" dropout_param { dropout_ratio: 0.4 } }
layers { name: "fc" type: INNER_PRODUCT bottom: "pool" top: "fc" inner_product_param { num_output: 10 } }
layers { name: "join" type: CONCAT bottom: "fc" bottom: "fc" top: "join" concat_param { concat_dim: 1 } }
layers { name: "prob" type: SOFTMAX bottom: "join" top: "prob" }
"""

V2 = """
name: "net"
layer { name: "input" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
layer {
  name: "conv" type: "Convolution" bottom: "data" top: "conv"
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param {
    num_output: 4 kernel_size: 3 pad: 1 stride: 2 group: 1 bias_term: true
    weight_filler { type: "gaussian" std: 0.01 } bias_filler { type: "constant" value: 1 }
  }
}
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "norm" type: "LRN" bottom: "conv" top: "norm" lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 } }
layer { name: "pool" type: "Pooling" bottom: "norm" top: "pool" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "drop" type: "Dropout" bottom: "pool" top: "pool" dropout_param { dropout_ratio: 0.4 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 10 } }
layer { name: "join" type: "Concat" bottom: "fc" bottom: "fc" top: "join" concat_param { concat_dim: 1 } }
layer { name: "prob" type: "Softmax" bottom: "join" top: "prob" }
"""


def _upgraded(text: str) -> NetParameter:
    net = parse_prototxt(text, "net.prototxt")
    upgrade(net, "net.prototxt")
    return net


def test_the_three_forms_of_one_network_become_the_same() -> None:
    assert _upgraded(V0) == _upgraded(V1) == _upgraded(V2)


def test_todays_form_is_left_alone() -> None:
    assert _upgraded(V2) == parse_prototxt(V2, "net.prototxt")


@given(st.sampled_from(["v0", "v1", "v2"]).flatmap(nets))
@settings(max_examples=60, deadline=None)
def test_upgrading_twice_changes_nothing_more(net: NetParameter) -> None:
    try:
        upgrade(net, "net.prototxt")
    except NetworkError:
        return
    once = NetParameter.FromString(net.SerializeToString())
    assert upgrade(net, "net.prototxt") == []
    assert net == once


@pytest.mark.pycaffe
@pytest.mark.parametrize("form", ["v0", "v1", "v2"])
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_random_networks_come_out_as_from_caffes_upgrade_tool(
    caffe_root: CaffeRoot, tmp_path: Path, form: str, data: st.DataObject
) -> None:
    net = data.draw(nets(form))
    binary = data.draw(st.booleans())
    by_caffe, warned = _caffes_upgrade(caffe_root, net, tmp_path, binary)
    if by_caffe is None:
        with pytest.raises(NetworkError, match=r"net\.prototxt"):
            upgrade(net, "net.prototxt")
        return
    warnings = upgrade(net, "net.prototxt")
    assert net == by_caffe
    assert bool(warnings) == warned


def _caffes_upgrade(root: CaffeRoot, net: NetParameter, folder: Path, binary: bool) -> tuple[NetParameter | None, bool]:
    """What Caffe's tool makes of the net, None where it aborts; and whether it complained."""
    source, target = folder / "source", folder / "target"
    target.unlink(missing_ok=True)
    if binary:
        source.write_bytes(net.SerializeToString())
    else:
        source.write_text(text_format.MessageToString(net, as_utf8=True), encoding="utf-8")
    tool = "upgrade_net_proto_binary" if binary else "upgrade_net_proto_text"
    command, environment = root.command([tool, str(source), str(target)])
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    if not target.exists():
        return None, True
    complaint = b"Encountered error(s) while upgrading" in done.stderr
    if binary:
        return NetParameter.FromString(target.read_bytes()), complaint
    return text_format.Parse(target.read_text(encoding="utf-8"), NetParameter()), complaint


@pytest.mark.pycaffe
def test_every_old_type_becomes_one_that_caffe_has(caffe_root: CaffeRoot) -> None:
    listed = caffe_root.run(["python3", "-c", "import caffe; print(*caffe.layer_type_list())"]).stdout
    values = V1LayerParameter.DESCRIPTOR.enum_types_by_name["LayerType"].values
    names = {v1_type_name(value.number) for value in values if value.name != "NONE"}
    assert len(names) == 39
    assert names <= set(listed.splitlines()[-1].split())
    assert v1_type_name(V1LayerParameter.NONE) == ""


def test_parameters_shared_by_name_keep_name_and_mode() -> None:
    net = _upgraded('layers { type: CONVOLUTION param: "w" param: "b" blob_share_mode: PERMISSIVE blobs_lr: 1 }')
    assert [(spec.name, spec.share_mode, spec.lr_mult) for spec in net.layer[0].param] == [("w", 1, 1), ("b", 0, 1)]


def test_transform_fields_move_out_of_old_data_layers() -> None:
    net = _upgraded(
        'layers { type: DATA data_param { source: "db" scale: 0.5 crop_size: 7 mirror: true mean_file: "m" } }'
        "layers { type: IMAGE_DATA }"
    )
    transform = net.layer[0].transform_param
    assert (transform.scale, transform.crop_size, transform.mirror, transform.mean_file) == (0.5, 7, True, "m")
    assert net.layer[0].data_param.source == "db"
    assert not net.layer[0].data_param.HasField("crop_size")


def test_several_inputs_become_one_layer_in_front() -> None:
    net = _upgraded('input: "a" input: "b" input_dim: [1, 2, 3, 4, 5, 6, 7, 8] layer { name: "x" type: "ReLU" }')
    assert [layer.type for layer in net.layer] == ["Input", "ReLU"]
    assert list(net.layer[0].top) == ["a", "b"]
    assert [list(shape.dim) for shape in net.layer[0].input_param.shape] == [[1, 2, 3, 4], [5, 6, 7, 8]]


@pytest.mark.parametrize(
    "text, reason",
    [
        ('layers { layer { name: "n" type: "eltwise" } }', r"layer 'n' \(eltwise\): Caffe had no such layer type"),
        (
            'layers { layer { name: "n" type: "conv" } bottom: "x" }',
            r"layer 'n' \(conv\): no earlier layer produces",
        ),
        (
            'layers { layer { name: "p" type: "padding" pad: 1 } bottom: "i" top: "p" }'
            'layers { layer { name: "n" type: "relu" } bottom: "p" top: "n" } input: "i"',
            r"layer 'n' \(relu\): padding \('p'\) can only precede conv and pool",
        ),
        (
            'input: "a" input: "b" input_dim: [1, 2, 3, 4, 5]',
            "2 inputs .* need four input_dim each.* 5",
        ),
        ('input: "a" input: "b" input_shape { dim: 1 }', "need one input_shape each, but there are 1"),
    ],
)
def test_what_cannot_be_upgraded_is_refused(text: str, reason: str) -> None:
    with pytest.raises(NetworkError, match=f"net.prototxt.*{reason}"):
        _upgraded(text)


def test_ignored_fields_are_warned_of() -> None:
    net = parse_prototxt('layers { layer { name: "n" type: "relu" stride: 2 } }', "net.prototxt")
    assert upgrade(net, "net.prototxt") == ["net.prototxt: layer 'n' (relu): field stride is ignored"]
    both = parse_prototxt('layers { layer { name: "n" type: "relu" } } layer { type: "TanH" }', "net.prototxt")
    assert "1 `layer` entries are ignored, as in Caffe" in upgrade(both, "net.prototxt")[0]
    assert [layer.type for layer in both.layer] == ["ReLU"]


OLD_AND_NEW = [
    'layers { name: "t" type: TANH bottom: "d" top: "t" } layer { name: "s" type: "Softmax" bottom: "t" top: "s" }',
    'layer { name: "s" type: "Softmax" bottom: "d" top: "s" } layers { name: "t" type: TANH bottom: "s" top: "t" }',
    'layers { name: "t" type: TANH bottom: "d" top: "t" } layer { }',
]


@pytest.mark.parametrize("layers", OLD_AND_NEW)
@pytest.mark.parametrize("inputs", ["input_dim: [1, 4, 1, 1]", "input_shape { dim: 4 }"])
def test_layers_of_two_forms_in_one_file_are_refused(tmp_path: Path, layers: str, inputs: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(f'input: "d" {inputs} {layers}')
    with pytest.raises(NetworkError, match=r"net.prototxt has 1 `layers` entries and 1 `layer` entries.*in one form"):
        inferkit.load(path)


@pytest.mark.pycaffe
@pytest.mark.parametrize("layers", OLD_AND_NEW)
def test_caffe_refuses_layers_of_two_forms_too(tmp_path: Path, layers: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(f'input: "d" input_dim: [1, 4, 1, 1] {layers}')
    with pytest.raises(CaffeAborted, match="Refusing to upgrade inconsistent"):
        oracle().run(path)


def test_a_caffemodel_of_two_forms_is_refused(tmp_path: Path) -> None:
    model = parse_prototxt(OLD_AND_NEW[0], "model")
    model.layer[0].blobs.add(data=[1.0]).shape.dim.append(1)
    (tmp_path / "both.caffemodel").write_bytes(model.SerializeToString())
    with pytest.raises(NetworkError, match=r"both.caffemodel has 1 `layers` entries and 1 `layer` entries"):
        read_upgraded(tmp_path / "both.caffemodel")
