"""Everything that is measured on a GPU machine in one go: correctness, latency, throughput, and what others reach."""
