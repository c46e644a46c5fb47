"""Random inputs to try a model with, the same ones each time; and what draws random numbers itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

# Operators that compute something else in every run.
DRAWING = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)


def random_values(value: onnx.ValueInfoProto, shape: Sequence[int]) -> NDArray[Any]:
    """An array of this shape and of the type of an input: normal numbers, of integers zeros and ones."""
    import numpy as np
    from onnx import helper

    random = np.random.default_rng(list(value.name.encode()))
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    values = random.standard_normal(shape) if dtype.kind == "f" else random.integers(0, 2, shape)
    return np.asarray(values).astype(dtype)
