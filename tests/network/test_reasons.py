"""What ONNX Runtime says is reduced to the node and the cause."""

import pytest

from inferkit.network.as_written import reason_of

PLACE = (
    "/onnxruntime_src/onnxruntime/core/providers/cpu/tensor/reshape_helper.h:84 onnxruntime::ReshapeHelper::"
    "ReshapeHelper(const onnxruntime::TensorShape&, onnxruntime::TensorShapeVector&, bool) size != 0 && "
    "(input_shape_size % size) == 0 was false. "
)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            "[ONNXRuntimeError] : 1 : FAIL : Fatal error: my.ops:Wobble(-1) is not a registered function/op",
            "my.ops:Wobble(-1) is not a registered function/op",
        ),
        (
            "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Reshape node. "
            f"Name:'flat' Status Message: {PLACE}The input tensor cannot be reshaped. Input shape:{{1,3}}\n",
            "Reshape node 'flat': The input tensor cannot be reshaped. Input shape:{1,3}",
        ),
        ("Got invalid dimensions for input: x\n  index: 1 Got: 4 Expected: 3", None),
        ("", ""),
    ],
)
def test_a_reason_is_one_line_without_codes_and_places(message, reason):
    assert reason_of(RuntimeError(message)) == (" ".join(message.split()) if reason is None else reason)
