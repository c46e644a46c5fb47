"""What the caffemodel writer writes, protobuf and the import read back bit by bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from inferkit.network.caffe.files import schema
from inferkit.network.caffe.files.read import read_caffemodel
from inferkit.network.zoo.caffemodel import caffemodel

NAMES = st.text(min_size=1, max_size=200)
BLOBS = arrays.arrays(
    np.float32, arrays.array_shapes(max_dims=4, max_side=9), elements=st.floats(width=32, allow_nan=False)
)
LAYERS = st.lists(st.tuples(NAMES, NAMES, st.lists(BLOBS, max_size=3)), max_size=4)


@given(NAMES, LAYERS)
def test_every_layer_and_number_comes_back(name: str, layers: list[tuple[str, str, list[NDArray[np.float32]]]]) -> None:
    net = schema.NetParameter.FromString(b"".join(caffemodel(name, layers)))
    assert net.name == name
    assert [(layer.name, layer.type) for layer in net.layer] == [(layer, kind) for layer, kind, _ in layers]
    for stored, (_, _, blobs) in zip(net.layer, layers, strict=True):
        for blob, values in zip(stored.blobs, blobs, strict=True):
            assert tuple(blob.shape.dim) == values.shape
            np.testing.assert_array_equal(np.array(blob.data, np.float32), values.ravel())


def test_the_import_reads_it_as_protobuf_does(tmp_path: Path) -> None:
    values = np.arange(70_000, dtype=np.float32).reshape(7, 10_000)  # lengths that take three bytes
    path = tmp_path / "net.caffemodel"
    path.write_bytes(b"".join(caffemodel("net", [("ip", "InnerProduct", [values, values[0, :7]])])))
    model = read_caffemodel(path)
    (layer,) = model.net.layer
    np.testing.assert_array_equal(model.values(layer.blobs[0]), values.ravel())
    np.testing.assert_array_equal(model.values(layer.blobs[1]), values[0, :7])


def test_a_blob_that_is_not_contiguous_is_written_in_its_own_order(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4).T
    net = schema.NetParameter.FromString(b"".join(caffemodel("net", [("ip", "InnerProduct", [values])])))
    np.testing.assert_array_equal(np.array(net.layer[0].blobs[0].data, np.float32), values.ravel())


def test_doubles_are_refused() -> None:
    with pytest.raises(ValueError, match="layer ip: a blob is float64"):
        b"".join(caffemodel("net", [("ip", "InnerProduct", [np.zeros(3)])]))
