"""The network that shows in what precision an engine adds up has the sum that it is said to have."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from tools.gpu.arithmetic import LENGTHS, long_sum


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kind", ["conv", "inner product"])
def test_the_long_sum_grows_in_fp32_and_stays_in_fp16(kind: str, length: int) -> None:
    model, exact = long_sum(kind, length)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (info,) = session.get_inputs()
    (got,) = session.run(None, {"x": np.ones(info.shape, np.float16)})
    assert float(got.flat[0]) == exact  # ONNX Runtime's CPU adds up in FP32
    assert np.float16(4032) + np.float16(1 / 16) == 4032
