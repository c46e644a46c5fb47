"""Fuzzing of every parser, guided by coverage: `python -m tools.fuzz` (one file here for each family of formats)."""
