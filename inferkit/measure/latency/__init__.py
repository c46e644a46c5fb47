"""How long a batch takes: warm-up, iterations, raw traces, and the figures derived from them."""
