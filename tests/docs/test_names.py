"""Nothing tells a user to install `inferkit` by its name: at PyPI that is another project's."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BY_NAME = re.compile(r"""pip install (?:-\S+ )*["']?inferkit(?:\[|["'\s`]|$)""", re.MULTILINE)


def test_no_hint_installs_another_projects_package():
    files = [ROOT / "README.md"]
    files += [
        path for folder in ("inferkit", "docs", "examples") for path in (ROOT / folder).rglob("*") if path.is_file()
    ]
    texts = {path: path.read_text() for path in files if path.suffix in (".py", ".md", ".yml", ".toml", "")}
    assert len(texts) > 100
    assert [str(path) for path, text in texts.items() if _BY_NAME.search(text.replace('" "', ""))] == []
