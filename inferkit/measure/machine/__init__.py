"""The machine around a measurement: host, GPU, memory, quiet cores, and leases on devices."""
