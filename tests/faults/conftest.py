"""The tiny project of the suite's tests."""

from tests.suite.conftest import project, tiny_files

__all__ = ["project", "tiny_files"]
