"""One network on several devices at the same time."""
