"""The README names every command, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inferkit.cli.commands import COMMANDS
from inferkit.gate.units import seconds, size

ROOT = Path(__file__).resolve().parents[2]


def test_every_command_stands_in_the_table():
    table = (ROOT / "README.md").read_text().partition("## Commands")[2]
    assert [name for name in COMMANDS if not re.search(rf"`(inferkit )?{name}\b", table)] == []


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_figures_of_sample_tables_are_written_as_the_code_writes_them(page):
    units = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "kB": 1e3, "MB": 1e6, "GB": 1e9}
    tables = "".join(re.findall(r"^```text\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S))
    found = re.findall(r"([\d.]+) (s|ms|µs|kB|MB|GB)\b", tables)
    assert {unit for _, unit in found} >= {"µs", "MB"}
    shown = [(size if unit.endswith("B") else seconds)(float(value) * units[unit]) for value, unit in found]
    assert [" ".join(figure) for figure in found] == shown


@pytest.mark.parametrize("page", ["README.md", "examples/own_project/README.md"])
def test_links_lead_to_files(page):
    found = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text())
    assert found
    assert [link for link in found if "://" not in link and not (ROOT / page).parent.joinpath(link).exists()] == []
