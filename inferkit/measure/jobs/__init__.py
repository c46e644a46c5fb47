"""Measurements in fresh processes: what one is asked for, how it is started, and how it ends."""
