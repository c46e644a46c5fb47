"""Latency of every case in matrix.toml, in fresh processes, against the baseline of this machine."""


def test_latency(inferkit_latency):
    inferkit_latency.check()
