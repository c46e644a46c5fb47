"""Calibration: the dynamic range of every tensor, from images, batch files or caches."""
