"""The gate's own figures, and what they are made from: `python -m tools.gate PART` prints those of docs/gate.md."""
