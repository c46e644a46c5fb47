"""ONNX Runtime running a model as it is written, to learn what the model itself says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx


def session_as_written(model: onnx.ModelProto) -> Any:
    """An `onnxruntime.InferenceSession` on the CPU that optimizes nothing and prints nothing.

    Raises what ONNX Runtime raises: its exceptions have no common class below Exception.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors come back as exceptions
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
