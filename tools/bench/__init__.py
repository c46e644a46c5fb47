"""Benchmarks of this machine: each prints the table that docs/ shows, one program a file."""
