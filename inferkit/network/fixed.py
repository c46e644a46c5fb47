"""Does a model whose open dimensions were fixed compute what it computed before? Asked of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inferkit.errors import NetworkError
from inferkit.network.as_written import session_as_written
from inferkit.network.network import dims_of
from inferkit.network.random_inputs import DRAWING, random_values

if TYPE_CHECKING:
    import onnx

_ROWS = 2  # along what is still open: the batch


def require_same_outputs(base: onnx.ModelProto, head: onnx.ModelProto, source: str) -> None:
    """Run both models on random inputs of the shapes of `head`, and compare their outputs and the shapes it states.

    The nodes are the same, and so are the results, to the bit. NetworkError with the name of an output that differs,
    and where ONNX Runtime refuses `head` alone. Not compared is what it cannot run, or what draws random numbers.
    """
    import numpy as np

    if any(node.op_type in DRAWING for node in base.graph.node):
        return
    try:
        feeds = _random(head)
        expected = _run(base, feeds)
    except Exception:  # ONNX Runtime's exceptions have no common class below Exception
        return
    hint = "give other dimensions, or export the model with fixed ones"
    try:
        actual = _run(head, feeds)
    except Exception as error:
        raise NetworkError(f"{source}: ONNX Runtime refuses the model with fixed dimensions: {error}; {hint}") from None
    for value in head.graph.output:
        base_value, head_value = expected[value.name], actual[value.name]
        if not isinstance(base_value, np.ndarray):
            continue
        equal_nan = base_value.dtype.kind == "f"
        if not np.array_equal(base_value, head_value, equal_nan=equal_nan):
            raise NetworkError(f"{source}: with fixed dimensions output {value.name!r} has other values; {hint}")
        dims = value.type.tensor_type.shape.dim
        stated = [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]
        if value.type.tensor_type.HasField("shape") and not _fits(stated, head_value.shape):
            raise NetworkError(
                f"{source}: output {value.name!r} states the shape {stated}, and has {list(head_value.shape)}; {hint}"
            )


def _fits(stated: list[int | None], shape: tuple[int, ...]) -> bool:
    return len(stated) == len(shape) and all(
        want is None or want == have for want, have in zip(stated, shape, strict=True)
    )


def _random(model: onnx.ModelProto) -> dict[str, Any]:
    constants = {tensor.name for tensor in model.graph.initializer}
    return {
        value.name: random_values(value, [dim if isinstance(dim, int) else _ROWS for dim in dims_of(value)])
        for value in model.graph.input
        if value.name not in constants
    }


def _run(model: onnx.ModelProto, feeds: Mapping[str, Any]) -> dict[str, Any]:
    session = session_as_written(model)
    names = list(dict.fromkeys(output.name for output in session.get_outputs()))
    return dict(zip(names, session.run(names, feeds), strict=True))
