"""Code written by tools/generate_schema.py, and the few lines that bring it to life."""
