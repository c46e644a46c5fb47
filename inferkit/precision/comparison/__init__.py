"""Compares a rewritten graph with the graph before, node by node, on inputs that exercise it."""
