"""Code that a page quotes is that of the source: `<!-- from: FILE -->` before the block names the file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_QUOTE = re.compile(r"^<!-- from: (?P<file>\S+) -->\s*\n```[^\n]*\n(?P<code>.*?)^```", re.M | re.S)
QUOTES = [
    pytest.param(quote["file"], quote["code"], id=f"{page.name}: {quote['file']}")
    for page in sorted((ROOT / "docs").rglob("*.md"))
    for quote in _QUOTE.finditer(page.read_text())
]


@pytest.mark.parametrize("file, code", QUOTES)
def test_code_on_a_page_is_that_of_the_source(file: str, code: str) -> None:
    assert code in (ROOT / file).read_text()


def test_every_marked_block_is_compared() -> None:
    marks = sum(page.read_text().count("<!-- from: ") for page in (ROOT / "docs").rglob("*.md"))
    assert len(QUOTES) == marks > 0
