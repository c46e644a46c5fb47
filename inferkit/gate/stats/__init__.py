"""The gate's statistics: pure functions of numbers, without I/O. Replicates are log-medians of fresh processes."""
