"""One pytest run over the suite: options, fixtures, files, and the exit code."""
