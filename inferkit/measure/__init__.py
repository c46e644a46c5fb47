"""How long, how much, how right: traces, statistics, telemetry, memory, accuracy."""
