"""The files that users keep: run files, baselines and layer tables, read strictly and written whole."""
