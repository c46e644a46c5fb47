"""Show it: terminal, JSON, Markdown, HTML, plots."""
