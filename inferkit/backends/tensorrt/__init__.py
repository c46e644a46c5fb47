"""TensorRT 10 and 11 and TensorRT-RTX: engines built from strongly typed graphs, run with PyCUDA."""

from inferkit.backends.tensorrt.backend import TensorRTBackend
from inferkit.backends.tensorrt.engine import TensorRTEngine, load_engine

BACKEND = TensorRTBackend()

__all__ = ["BACKEND", "TensorRTBackend", "TensorRTEngine", "load_engine"]
