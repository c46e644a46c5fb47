"""The README names every command, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inferkit.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]


def test_every_command_stands_in_the_table():
    table = (ROOT / "README.md").read_text().partition("## Commands")[2]
    assert [name for name in COMMANDS if not re.search(rf"`(inferkit )?{name}\b", table)] == []


@pytest.mark.parametrize("page", ["README.md", "examples/own_project/README.md"])
def test_links_lead_to_files(page):
    found = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text())
    assert found
    assert [link for link in found if "://" not in link and not (ROOT / page).parent.joinpath(link).exists()] == []
