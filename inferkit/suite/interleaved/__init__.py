"""Base and head measured in turns: two commits or two settings, block by block."""
