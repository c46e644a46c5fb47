"""What is measured and checked on a GPU machine: `python -m tools.gpu PART...`."""
