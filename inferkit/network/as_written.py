"""ONNX Runtime running a model as it is written, to learn what the model itself says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx


def session_as_written(model: onnx.ModelProto, threads: int = 0) -> Any:
    """An `onnxruntime.InferenceSession` on the CPU that optimizes nothing and prints nothing.

    `threads` are those within an operator, 0 for ONNX Runtime's choice; with 1 no threads are started, which takes
    longer than a small operator itself. Raises what ONNX Runtime raises: its exceptions have no common class below
    Exception.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors come back as exceptions
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
