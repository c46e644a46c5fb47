"""The reference networks never change: times that were stored belong to these very weights."""

import hashlib

import numpy as np
import pytest

import inferkit
from inferkit.network import zoo

# Of the files that every backend reads: prototxt, caffemodel. A change here would make every machine look as if it had
# moved: a new network gets a new name, `reference-3`, and these stay.
DIGESTS = {
    "reference-1": (
        "81fbb84cf4332289aa3b1e15aa395b472aa9e89dbe120590ab75dd2379d685ac",
        "d4738e58db43ee890f227c4743c0c26137a969348e7db1f96654036ba443f94c",
    ),
    "reference-2": (
        "de2bce5b6d20a74958699e2f33386a7f008d067cfe55f73df87dc070dccc776c",
        "6e37a65e606cac1429fa7bca3b67074fb65f21bb9e6ce407e8657c13ab361db6",
    ),
}


@pytest.mark.parametrize("name", DIGESTS)
def test_it_is_what_it_always_was_and_stands_in_no_list(name):
    files = zoo.files(name)
    assert (
        tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in (files.prototxt, files.caffemodel))
        == DIGESTS[name]
    )
    assert name not in zoo.names()


def test_one_is_a_millisecond_of_work():
    net = zoo.build("reference-1")
    assert 50e6 < net.macs < 100e6
    assert 4 * net.parameters > 8e6  # bytes of weights: more than a core's own cache


def test_the_other_is_many_small_layers():
    net = zoo.build("reference-2")
    assert 10e6 < net.macs < 12e6
    assert net.prototxt().count('"Convolution"') == 24


@pytest.mark.parametrize(("name", "shape"), [("reference-1", (2, 3, 64, 64)), ("reference-2", (2, 16, 14, 14))])
def test_it_computes_something_on_the_backend_that_is_everywhere(name, shape):
    engine = inferkit.build(inferkit.load(name), backend="onnxruntime", max_batch=2)
    images = np.random.default_rng(0).normal(0, 64, shape).astype(np.float32)
    with engine.session() as session:
        (output,) = session.run(images).values()
    assert output.shape == (2, 10)
    assert not np.allclose(output[0], output[1])
