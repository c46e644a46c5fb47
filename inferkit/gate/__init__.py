"""Is it worse: fingerprint, baseline, statistics, verdicts."""
