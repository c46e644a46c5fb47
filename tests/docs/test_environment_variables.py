"""Every environment variable that the package reads is in the reference."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INTERNAL = {"INFERKIT_CAFFE_PROBED"}  # what one process tells those that it starts


def test_every_variable_is_documented():
    sources = [path.read_text() for path in (ROOT / "inferkit").rglob("*.py")]
    read = {name for text in sources for name in re.findall(r"\bINFERKIT_[A-Z_]+\b", text)} - INTERNAL
    page = (ROOT / "docs" / "reference" / "files.md").read_text()
    assert len(read) >= 9
    assert read == set(re.findall(r"`(INFERKIT_[A-Z_]+)`", page))
