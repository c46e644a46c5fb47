"""Code written by tools/build/generate_schema.py, and the few lines that bring it to life."""
