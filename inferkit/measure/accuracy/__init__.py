"""Accuracy over a dataset, and the differences between the outputs of two engines."""
