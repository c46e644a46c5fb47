"""The rules that judge latencies: what they are given, what they answer, and when they want more replicates."""
