"""Baselines of other machines: a screen where there is none of this one, and what a new one takes over."""
