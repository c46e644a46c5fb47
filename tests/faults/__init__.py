"""Faults done for real: what is killed, fills up, is read-only, or dies beside us; the table is docs/faults.md."""
