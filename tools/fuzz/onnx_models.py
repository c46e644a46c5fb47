"""ONNX files, with external data beside them and without."""

from __future__ import annotations

from functools import cache

import numpy as np

from inferkit.network.onnx_file import read_onnx
from inferkit.network.open_dimensions import require_sizes
from inferkit.network.outline import check_files, files_of, inputs_of
from tools.fuzz.target import Target, a_file

_DATA = bytes(range(64))


@cache
def models() -> tuple[bytes, ...]:
    """A convolution: its weights inside, in a file beside the model, and in an attribute."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.frombuffer(_DATA, np.uint8).astype(np.float32)[:54].reshape(2, 3, 3, 3)
    nodes = [helper.make_node("Conv", ["data", "w"], ["y"], kernel_shape=[3, 3], pads=[1] * 4)]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size, 4, 4])
        for name, size in (("data", 3), ("y", 2))
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(weights, "w")])
    inside = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    beside = onnx.ModelProto.FromString(inside.SerializeToString())
    tensor = beside.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.dims[:] = [2, 3, 1, 1]
    beside.graph.node[0].attribute[0].ints[:] = [1, 1]
    beside.graph.node[0].attribute[1].ints[:] = [0] * 4
    for key, value in (("location", "data"), ("offset", "4"), ("length", "24")):
        tensor.external_data.add(key=key, value=value)
    constant = onnx.ModelProto.FromString(inside.SerializeToString())
    del constant.graph.initializer[:]
    constant.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(weights, "w")))
    return tuple(bytes(model.SerializeToString()) for model in (inside, beside, constant))


def read_model(content: bytes) -> None:
    """As far as a Network and its digest."""
    with a_file(content, "model.onnx") as path:
        path.with_name("data").write_bytes(_DATA)
        read_onnx(path).digest  # noqa: B018


def look_at_model(content: bytes) -> None:
    """What is asked of a file before anything is measured: its files, its inputs."""
    with a_file(content, "model.onnx") as path:
        path.with_name("data").write_bytes(_DATA)
        check_files(path)
        files_of(path)
        require_sizes(inputs_of(path))


_WORDS = (b"location", b"../data", b"/etc/passwd", b"offset", b"length", b"Conv")
TARGETS = (
    Target("onnx", read_model, models, _WORDS),
    Target("outline", look_at_model, models, _WORDS),
)
