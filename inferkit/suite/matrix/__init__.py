"""The matrix: the networks and cases that a project declares in matrix.toml."""
