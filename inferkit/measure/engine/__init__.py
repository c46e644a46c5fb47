"""What is measured: a network prepared at a precision, and engine files."""
