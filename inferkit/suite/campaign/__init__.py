"""The campaign: every selected case measured in fresh processes, and judged."""
