"""Measurements: traces, statistics, telemetry, memory, accuracy."""
