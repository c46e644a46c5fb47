"""An ONNX graph under rewriting: nodes, constants, types, and what can be computed beforehand."""
