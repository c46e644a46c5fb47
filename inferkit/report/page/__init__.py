"""The HTML report: one page for a run, and everything that stands on it."""
