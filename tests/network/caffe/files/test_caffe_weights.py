"""Learned blobs are assigned to layers as Caffe's CopyTrainedLayersFrom and its parameter sharing do."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inferkit.errors import NetworkError
from inferkit.network.caffe.files.fillers import UNSTATED, WrongFiller, fill
from inferkit.network.caffe.files.read import parse_prototxt
from inferkit.network.caffe.files.schema import BlobProto, FillerParameter, NetParameter
from inferkit.network.caffe.files.weights import BlobSpec, Weights, shapes_agree
from inferkit.network.caffe.files.wire import put_values
from inferkit.network.caffe.prototxt.definition import read_upgraded
from inferkit.wire import varint
from tests.network.caffe.pycaffe_oracle import CaffeAborted, oracle

CONSTANT = FillerParameter(value=0.5)
RANDOM = FillerParameter(type="gaussian", std=0.1)


def _blob(shape: list[int], first: float = 0, legacy: bool = False) -> BlobProto:
    blob = BlobProto()
    if legacy:
        blob.num, blob.channels, blob.height, blob.width = [1] * (4 - len(shape)) + shape
    else:
        blob.shape.dim.extend(shape)
    put_values(blob, np.arange(prod(shape)) + first)
    return blob


def _weights(text: str, model: NetParameter | None, folder: Path) -> Weights:
    net = parse_prototxt(text, "net.prototxt")
    if model is None:
        return Weights(net, None, "net.prototxt")
    path = folder / "m.caffemodel"
    path.write_bytes(model.SerializeToString())
    return Weights(net, read_upgraded(path), "net.prototxt")


def _model(**blobs: list[BlobProto]) -> NetParameter:
    model = NetParameter()
    for name, parts in blobs.items():
        model.layer.add(name=name, type="X").blobs.extend(parts)
    return model


# Against Caffe: a Parameter layer's top is its blob, so a net of them shows what every blob holds.


@st.composite
def sharing_nets(draw: st.DrawFn) -> tuple[str, NetParameter, list[list[int]]]:
    """A prototxt of Parameter layers that share by name, a caffemodel for it, and the shapes of the layers."""
    text, shapes = "", []
    shape = st.sampled_from([[2, 3], [3, 2], [6], [1, 6], [4]])
    common = draw(shape)
    usual = st.one_of(st.just(common), st.just(common), st.just(common), shape)
    for number in range(draw(st.integers(1, 5))):
        shapes.append(draw(usual))
        param = draw(
            st.sampled_from(
                [
                    "",
                    'param { name: "w" }',
                    'param { name: "w" share_mode: PERMISSIVE }',
                    'param { name: "v" share_mode: STRICT }',
                    "param { lr_mult: 0 }",
                ]
            )
        )
        dims = " ".join(f"dim: {dim}" for dim in shapes[-1])
        name = draw(st.sampled_from([f"l{number}", f"l{number}", f"l{number}", "l0"]))
        text += (
            f'layer {{ name: "{name}" type: "Parameter" top: "t{number}" {param} '
            f"parameter_param {{ shape {{ {dims} }} }} }}\n"
        )
    model = NetParameter()
    for position, name in enumerate(draw(st.lists(st.sampled_from(["l0", "l1", "l2", "l3", "other"]), max_size=5))):
        target = shapes[int(name[1:])] if name != "other" and int(name[1:]) < len(shapes) else [5]
        blob = _blob(draw(st.sampled_from([target] * 6 + [[6]])), 10.0 * (position + 1), draw(st.booleans()))
        model.layer.add(name=name, type="Parameter").blobs.extend([blob] * draw(st.sampled_from([1] * 8 + [0, 2])))
    return text, model, shapes


@pytest.mark.pycaffe
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=sharing_nets())
def test_every_blob_holds_what_it_holds_in_caffe(
    tmp_path: Path, case: tuple[str, NetParameter, list[list[int]]]
) -> None:
    text, model, shapes = case
    path, weights_path = tmp_path / "net.prototxt", tmp_path / "m.caffemodel"
    path.write_text(text)
    model.layer.add(name="beside", type="Silence")  # a file with no layer at all is refused, though Caffe takes it
    weights_path.write_bytes(model.SerializeToString())
    weights = _weights(text, model, tmp_path)
    try:
        (by_caffe,) = oracle().run(path, weights=weights_path, feeds=[{}]).results
    except CaffeAborted:
        with pytest.raises(NetworkError, match=r"layer 'l\d' \(Parameter\)"):
            [weights.blobs(index, [BlobSpec(tuple(shape))]) for index, shape in enumerate(shapes)]
        return
    for index, shape in enumerate(shapes):
        (ours,) = weights.blobs(index, [BlobSpec(tuple(shape))])
        np.testing.assert_array_equal(ours, by_caffe[f"t{index}"])


@pytest.mark.pycaffe
@pytest.mark.parametrize("kernel", range(1, 9))
def test_the_bilinear_filler_is_caffes(tmp_path: Path, kernel: int) -> None:
    """A Deconvolution of a single 1 at stride `kernel` shows its kernel."""
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "i" type: "Input" top: "i" input_param { shape { dim: 1 dim: 1 dim: 1 dim: 1 } } }'
        'layer { name: "d" type: "Deconvolution" bottom: "i" top: "d" convolution_param { num_output: 2 '
        f'kernel_size: {kernel} bias_term: false weight_filler {{ type: "bilinear" }} }} }}'
    )
    (result,) = oracle().run(path, feeds=[{"i": np.ones((1, 1, 1, 1), np.float32)}]).results
    ours = fill((1, 2, kernel, kernel), FillerParameter(type="bilinear"))
    np.testing.assert_allclose(ours, result["d"], atol=1e-6)  # Caffe computes it in single precision


# The rules one by one


def test_layers_are_matched_by_name_and_others_ignored(tmp_path: Path) -> None:
    model = _model(other=[_blob([9])], conv=[_blob([2, 1, 1, 1]), _blob([2], 7)])
    weights = _weights('layer { name: "conv" type: "Convolution" }', model, tmp_path)
    kernel, bias = weights.blobs(0, [BlobSpec((2, 1, 1, 1)), BlobSpec((2,))])
    assert kernel.shape == (2, 1, 1, 1)
    assert bias.tolist() == [7, 8]


def test_the_first_of_two_layers_with_one_name_gets_the_blobs(tmp_path: Path) -> None:
    text = 'layer { name: "a" type: "X" } layer { name: "a" type: "X" }'
    weights = _weights(text, _model(a=[_blob([2], 1)]), tmp_path)
    assert weights.blobs(0, [BlobSpec((2,), CONSTANT)])[0].tolist() == [1, 2]
    assert weights.blobs(1, [BlobSpec((2,), CONSTANT)])[0].tolist() == [0.5, 0.5]
    with pytest.raises(NetworkError, match="an earlier layer has the same name"):
        _weights(text, _model(a=[_blob([2], 1)]), tmp_path).blobs(1, [BlobSpec((2,), RANDOM)])


def test_the_last_of_two_layers_with_one_name_in_the_model_counts(tmp_path: Path) -> None:
    model = _model(a=[_blob([2], 1)])
    model.layer.add(name="a").blobs.append(_blob([2], 5))
    weights = _weights('layer { name: "a" type: "X" }', model, tmp_path)
    assert weights.blobs(0, [BlobSpec((2,))])[0].tolist() == [5, 6]


def test_shared_blobs_are_one_memory_and_the_last_copied_counts(tmp_path: Path) -> None:
    text = 'layer { name: "a" param { name: "w" } } layer { name: "b" param { name: "w" } }'
    model = _model(b=[_blob([2], 5)], a=[_blob([2], 1)])
    weights = _weights(text, model, tmp_path)
    (first,), (second,) = weights.blobs(0, [BlobSpec((2,))]), weights.blobs(1, [BlobSpec((2,))])
    assert first.tolist() == second.tolist() == [1, 2]
    assert np.shares_memory(first, second)


def test_a_shared_blob_without_weights_is_filled_by_its_owner(tmp_path: Path) -> None:
    text = 'layer { name: "a" param { name: "w" } } layer { name: "b" param { name: "w" } }'
    weights = _weights(text, None, tmp_path)
    assert weights.blobs(0, [BlobSpec((2,), CONSTANT)])[0].tolist() == [0.5, 0.5]
    assert weights.blobs(1, [BlobSpec((2,), RANDOM)])[0].tolist() == [0.5, 0.5]


def test_sharing_layers_must_agree_in_shape_or_at_least_in_count(tmp_path: Path) -> None:
    text = 'layer { name: "a" param { name: "w" } } layer { name: "b" type: "X" param { name: "w" %s } }'
    for mode, shape, allowed in (("", (3, 2), False), ("share_mode: PERMISSIVE", (3, 2), True)):
        weights = _weights(text % mode, None, tmp_path)
        weights.blobs(0, [BlobSpec((2, 3))])
        if allowed:
            assert weights.blobs(1, [BlobSpec(shape)])[0].shape == shape
        else:
            with pytest.raises(NetworkError, match=r"layer 'b' .*\[3, 2\].*'w' with layer 'a'.*\[2, 3\].*PERMISSIVE"):
                weights.blobs(1, [BlobSpec(shape)])
    with pytest.raises(NetworkError, match=r"\[7\].*\[2, 3\]$"):
        weights.blobs(1, [BlobSpec((7,))])


def test_values_written_in_the_prototxt_come_before_the_filler(tmp_path: Path) -> None:
    text = 'layer { name: "a" type: "X" blobs { shape { dim: 2 } data: 3 data: 4 } }'
    assert _weights(text, None, tmp_path).blobs(0, [BlobSpec((2,), RANDOM)])[0].tolist() == [3, 4]
    weights = _weights(text, _model(a=[_blob([2], 8)]), tmp_path)
    assert weights.blobs(0, [BlobSpec((2,), RANDOM)])[0].tolist() == [8, 9]


@pytest.mark.parametrize("kind", ["uniform", "gaussian", "xavier", "msra", "positive_unitball"])
def test_random_fillers_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    text = 'layer { name: "a" type: "Convolution" }'
    spec = [BlobSpec((2,), CONSTANT), BlobSpec((2,), FillerParameter(type=kind))]
    with pytest.raises(NetworkError, match=rf"net.prototxt, layer 'a' \(Convolution\): blob 1 .*no caffemodel.*{kind}"):
        _weights(text, None, tmp_path).blobs(0, spec)
    with pytest.raises(NetworkError, match=rf"blob 1 has no weights: .*m.caffemodel has no layer of that name.*{kind}"):
        _weights(text, _model(b=[]), tmp_path).blobs(0, spec)


def test_deterministic_fillers_are_taken() -> None:
    assert fill((2,), None).tolist() == [0, 0]
    assert fill((2,), FillerParameter()).tolist() == [0, 0]
    assert fill((2,), CONSTANT).tolist() == [0.5, 0.5]
    assert fill((2,), FillerParameter(type="uniform", min=3, max=3)).tolist() == [3, 3]
    with pytest.raises(WrongFiller, match="square"):
        fill((1, 1, 2, 3), FillerParameter(type="bilinear"))
    with pytest.raises(WrongFiller, match="no filler 'Gaussian'"):
        fill((1,), FillerParameter(type="Gaussian"))


@given(st.lists(st.integers(1, 5), max_size=6))
def test_old_shapes_are_filled_up_by_ones_in_front(shape: list[int]) -> None:
    blob = BlobProto(num=1, channels=1, height=1, width=1)
    four = [1, 1, 1, 1, *shape][-4:]
    blob.num, blob.channels, blob.height, blob.width = four
    assert shapes_agree(shape, blob) == (len(shape) <= 4)
    blob.width += 1
    assert not shapes_agree(shape, blob)


@given(st.lists(st.integers(0, 5), max_size=6), st.lists(st.integers(0, 5), max_size=6))
def test_new_shapes_agree_only_when_equal(wanted: list[int], given_: list[int]) -> None:
    blob = BlobProto()
    blob.shape.dim.extend(given_)
    assert shapes_agree(wanted, blob) == (wanted == given_)


@pytest.mark.parametrize(
    "blobs, reason",
    [
        ([_blob([3, 2])], r"blob 0 has the shape \[3, 2\], the network expects \[2, 3\]"),
        ([_blob([2, 3], legacy=True), _blob([1])], "has 2 blobs, the network expects 1"),
        ([], "has 0 blobs, the network expects 1"),
        ([_blob([3, 2], legacy=True)], r"blob 0 has the shape \[1, 1, 3, 2\], the network expects \[2, 3\]"),
        ([BlobProto(shape={"dim": [2, 3]}, data=[1, 2])], r"blob 0 has 2 elements for its shape \[2, 3\]; .* damaged"),
        ([BlobProto(shape={"dim": [2, 3]})], "blob 0 has 0 elements"),
        ([BlobProto(data=[1, 2])], r"blob 0 has the shape \[\], the network expects"),
        ([BlobProto(shape={"dim": [-2, -3]})], r"has the shape \[-2, -3\]"),
    ],
)
def test_disagreement_names_file_layer_blob_and_both_shapes(
    tmp_path: Path, blobs: list[BlobProto], reason: str
) -> None:
    weights = _weights('layer { name: "a" type: "X" }', _model(a=blobs), tmp_path)
    with pytest.raises(NetworkError, match=rf"m.caffemodel, layer 'a' \(X\): .*{reason}"):
        weights.blobs(0, [BlobSpec((2, 3), CONSTANT)])


@pytest.mark.parametrize(
    "filler, reason",
    [
        (FillerParameter(type="orthogonal"), "no filler 'orthogonal'"),
        (FillerParameter(type=""), "no filler ''"),
        (FillerParameter(type="bilinear"), "square kernel"),
        (FillerParameter(type="gaussian", sparse=3), "sparse is 3"),
    ],
)
def test_a_wrong_filler_is_refused_where_weights_are_given_too(
    tmp_path: Path, filler: FillerParameter, reason: str
) -> None:
    weights = _weights('layer { name: "a" type: "X" }', _model(a=[_blob([2, 3])]), tmp_path)
    with pytest.raises(NetworkError, match=rf"net.prototxt, layer 'a' \(X\): blob 0: .*{reason}"):
        weights.blobs(0, [BlobSpec((2, 3), filler)])
    assert weights.blobs(0, [BlobSpec((2, 3), UNSTATED)])[0].tolist() == [[0, 1, 2], [3, 4, 5]]


def _foreign(number: int, content: bytes, kind: int | None = None) -> BlobProto:
    """A blob of shape [2, 3] with bytes in a field, and field 10 (the type of raw_data) where `kind` is given."""
    blob = BlobProto(shape={"dim": [2, 3]})
    typed = b"" if kind is None else varint(10 << 3) + varint(kind)
    blob.MergeFromString(typed + varint(number << 3 | 2) + varint(len(content)) + content)
    return blob


NUMBERS = np.array([[0, 0.5, -1], [2, 3, 65504]])


@pytest.mark.parametrize("kind, dtype", [(None, "<f8"), (0, "<f8"), (1, "<f4"), (2, "<f2")])
def test_the_raw_data_of_nvcaffe_is_read(tmp_path: Path, kind: int | None, dtype: str) -> None:
    blob = _foreign(12, NUMBERS.astype(dtype).tobytes(), kind)
    weights = _weights('layer { name: "a" type: "X" }', _model(a=[blob]), tmp_path)
    np.testing.assert_array_equal(weights.blobs(0, [BlobSpec((2, 3))])[0], NUMBERS.astype(np.float32))


def test_caffes_own_field_comes_before_raw_data(tmp_path: Path) -> None:
    blob = _blob([2, 3], 7)
    blob.MergeFromString(_foreign(12, NUMBERS.astype("<f4").tobytes(), 1).SerializeToString())
    del blob.shape.dim[2:]  # merging appended the same shape again
    weights = _weights('layer { name: "a" type: "X" }', _model(a=[blob]), tmp_path)
    assert weights.blobs(0, [BlobSpec((2, 3))])[0].tolist() == [[7, 8, 9], [10, 11, 12]]


@pytest.mark.parametrize(
    "blob, reason",
    [
        (_foreign(12, bytes(24), 3), r"field 10 \(raw_data_type\) and field 12 \(raw_data\), which Caffe 1.0 lacks"),
        (_foreign(12, bytes(24), 9), r"field 12 \(raw_data\), which Caffe 1.0 lacks"),
        (_foreign(21, bytes(12)), "has field 21, which Caffe 1.0 lacks: a fork wrote the file"),
        (_foreign(12, bytes(20), 1), "has 5 elements for its shape .* damaged"),
    ],
)
def test_weights_in_a_field_that_is_not_read_name_the_field(tmp_path: Path, blob: BlobProto, reason: str) -> None:
    weights = _weights('layer { name: "a" type: "X" }', _model(a=[blob]), tmp_path)
    with pytest.raises(NetworkError, match=rf"m.caffemodel, layer 'a' \(X\): blob 0 .*{reason}"):
        weights.blobs(0, [BlobSpec((2, 3), CONSTANT)])


def test_raw_data_that_ends_within_a_number_is_damage(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"the raw_data at byte .* takes 23 bytes"):
        _weights("layer { }", _model(a=[_foreign(12, bytes(23), 1)]), tmp_path)


def test_a_layer_with_its_weights_in_a_field_that_is_not_read_names_the_field(tmp_path: Path) -> None:
    model = _model(a=[])
    model.layer[0].MergeFromString(varint(900 << 3 | 2) + varint(4) + bytes(4))
    weights = _weights('layer { name: "a" type: "X" }', model, tmp_path)
    with pytest.raises(NetworkError, match=r"has no blobs; it has field 900, which Caffe 1.0 lacks"):
        weights.blobs(0, [BlobSpec((2,), CONSTANT)])
    assert weights.blobs(0, []) == []


def test_more_param_entries_than_blobs_are_refused(tmp_path: Path) -> None:
    weights = _weights('layer { name: "a" type: "ReLU" param { lr_mult: 1 } }', None, tmp_path)
    with pytest.raises(NetworkError, match=r"layer 'a' \(ReLU\): 1 param entries for 0 learned blobs"):
        weights.blobs(0, [])
