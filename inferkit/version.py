"""The version of this package, for files and messages that name it."""

__version__ = "0.1.0"
