"""Rewriting ONNX graphs: nodes, constants, types, and constant folding."""
