"""Engines made: prepared for other parts, built again and again, and what of TensorRT building them uses."""
