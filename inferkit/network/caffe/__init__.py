"""Caffe 1.0 networks to ONNX."""
