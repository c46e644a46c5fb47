"""Reads a prototxt's network: upgrades older formats, filters layers, and extracts the part for inference."""
