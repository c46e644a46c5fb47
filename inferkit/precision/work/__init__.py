"""How much a network computes: operations, weights, and the share of them at a precision."""
