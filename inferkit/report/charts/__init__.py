"""Charts: the data of each, and their SVG and PNG."""
