"""What is measured: a network at a precision, made ready once, and engines that are files."""
