"""An engine at work: buffers, graphs, and the two ways of running batches."""
