"""Fixtures of the suite's tests: see tiny_project.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.suite.tiny_project import Project, make_project, write_files


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny.onnx and images.npz."""
    folder = tmp_path_factory.mktemp("tiny")
    write_files(folder)
    return folder


@pytest.fixture
def project(tmp_path: Path, tiny_files: Path) -> Project:
    """A project of one test."""
    return make_project(tmp_path / "project", tiny_files)
