"""A Slice along the batch gives Caffe's parts for every batch, and an error for the batches that Caffe aborts on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import inferkit
from inferkit.errors import InferkitError
from tests.network.caffe.layers.caffe_cases import data, layer
from tests.network.caffe.pycaffe_oracle import CaffeAborted, oracle

HALVES = data(4, 3, 2) + layer("Slice", "slice_param { axis: 0 }", tops="a b") + layer("Eltwise", "", "a b", "sum")
THIRDS = (
    data(6, 5) + layer("Slice", "slice_param { slice_dim: 0 }", tops="a b c") + layer("Eltwise", "", "a b c", "sum")
)
OF_ROWS = (
    data(2, 9)
    + layer("Reshape", "reshape_param { shape { dim: -1 dim: 3 } }", tops="rows")
    + layer("Slice", "slice_param { axis: 0 }", "rows", "a b")
    + layer("Concat", "concat_param { axis: 1 }", "a b", "both")
)
LATER_AXIS = (
    data(4, 3, 2)
    + layer("Reshape", "reshape_param { shape { dim: 2 dim: -1 dim: 3 } }", tops="rows")
    + layer("Slice", "slice_param { axis: 1 }", "rows", "a b")
    + layer("Eltwise", "eltwise_param { operation: MAX }", "a b", "most")
)
AT_A_POINT = data(3, 2) + layer("Slice", "slice_param { axis: 0 slice_point: 1 }", tops="a b")
MERGED = data(4, 3) + layer("Reshape", "reshape_param { shape { dim: -1 dim: 6 } }", tops="pairs")


@pytest.mark.pycaffe
@pytest.mark.parametrize(
    "text, right, wrong",
    [
        (HALVES, (2, 4, 6), (1, 3, 5)),
        (THIRDS, (3, 6), (1, 2, 4, 5, 7)),
        (OF_ROWS, (2, 4), (1, 3)),
        (LATER_AXIS, (2, 4), (1, 3)),
        (AT_A_POINT, (2, 3, 5), (1,)),
        (MERGED, (2, 4), (1, 3)),
    ],
    ids=["halves", "thirds", "rows", "a later axis", "at a point", "merged"],
)
def test_each_batch_is_computed_as_by_caffe_or_refused_as_by_caffe(
    text: str, right: tuple[int, ...], wrong: tuple[int, ...], tmp_path: Path
) -> None:
    prototxt = tmp_path / "net.prototxt"
    prototxt.write_text(text)
    network = inferkit.load(prototxt)
    shape = network.inputs[0].shape
    assert shape is not None
    assert shape[0] is None
    with inferkit.build(network, max_batch=8).session() as session:
        for batch in right:
            images = np.random.default_rng(batch).standard_normal((batch, *shape[1:])).astype(np.float32)  # type: ignore[arg-type]
            (by_caffe,) = oracle().run(prototxt, feeds=[{"data": images}]).results
            outputs = session.run(images)
            assert outputs.keys() == by_caffe.keys()
            for name, values in by_caffe.items():
                np.testing.assert_array_equal(outputs[name], values)  # numbers are moved, added or compared in order
        for batch in wrong:
            images = np.ones((batch, *shape[1:]), np.float32)  # type: ignore[arg-type]
            with pytest.raises(CaffeAborted):
                oracle().run(prototxt, feeds=[{"data": images}])
            with pytest.raises(InferkitError):
                session.run(images)
