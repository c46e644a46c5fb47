"""The reference network never changes: times that were stored belong to these very weights."""

import hashlib

import numpy as np

import inferkit
from inferkit.network import zoo

# Of the files that every backend reads. A change here would make every machine look as if it had moved:
# a new network gets a new name, `reference-2`, and this one stays.
PROTOTXT = "81fbb84cf4332289aa3b1e15aa395b472aa9e89dbe120590ab75dd2379d685ac"
CAFFEMODEL = "d4738e58db43ee890f227c4743c0c26137a969348e7db1f96654036ba443f94c"


def test_reference_1_is_what_it_always_was():
    files = zoo.files("reference-1")
    assert hashlib.sha256(files.prototxt.read_bytes()).hexdigest() == PROTOTXT
    assert hashlib.sha256(files.caffemodel.read_bytes()).hexdigest() == CAFFEMODEL


def test_it_is_a_millisecond_of_work_and_stands_in_no_list():
    net = zoo.build("reference-1")
    assert 50e6 < net.macs < 100e6
    assert 4 * net.parameters > 8e6  # bytes of weights: more than a core's own cache
    assert "reference-1" not in zoo.names()


def test_it_computes_something_on_the_backend_that_is_everywhere():
    engine = inferkit.build(inferkit.load("reference-1"), backend="onnxruntime", max_batch=2)
    images = np.random.default_rng(0).normal(0, 64, (2, 3, 64, 64)).astype(np.float32)
    with engine.session() as session:
        (output,) = session.run(images).values()
    assert output.shape == (2, 10)
    assert not np.allclose(output[0], output[1])
