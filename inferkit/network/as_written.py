"""ONNX Runtime running a model as it is written, to learn what the model itself says."""

from __future__ import annotations

import re
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


# Pattern, and what stands in place of it.
_NOISE: tuple[tuple[re.Pattern[str], Any], ...] = (
    (re.compile(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : "), ""),
    (re.compile(r"(Fatal error|Error in execution|Exception during initialization): "), ""),
    (
        re.compile(r"Non-zero status code returned while running (\w+) node\. Name:'([^']*)' Status Message: "),
        lambda match: f"{match[1]} node {match[2]!r}: " if match[2] else f"a {match[1]} node: ",
    ),
    # file:line, the function's signature, and the condition that did not hold
    (re.compile(r"/\S*/onnxruntime/\S+:\d+ ([\w:<>~]+\([^()]*\)( const)? )?(\[[^\]]*\] )?"), ""),
    (re.compile(r"[^.:]* was false\. "), " "),
    (re.compile(r" {2,}"), " "),
)


def reason_of(error: Exception) -> str:
    """The message of an exception of ONNX Runtime on one line: without its codes, its source files and conditions."""
    text = " ".join(str(error).split())
    for pattern, kept in _NOISE:
        text = pattern.sub(kept, text)
    return text.strip(" :") or str(error)
