"""Distributions with backends of their own, laid into a folder as pip would lay them."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tests.docs.page import blocks

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "add-backend.md"
GROUP = "inferkit.backends"


def distribution(folder: Path, name: str, points: dict[str, str], version: str = "1.0", **modules: str) -> Path:
    """The folder, with modules by name, and the metadata of a distribution that announces `points`."""
    folder.mkdir(parents=True, exist_ok=True)
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"[{GROUP}]", *(f"{point} = {value}" for point, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder


def from_page(folder: Path) -> Path:
    """The distribution of docs/how-to/add-backend.md, as the page writes it."""
    files = {block.file: block.body for block in blocks(PAGE) if block.file is not None}
    project = tomllib.loads(files.pop("pyproject.toml"))["project"]
    modules = {str(file).removesuffix(".py"): body for file, body in files.items()}
    return distribution(folder, project["name"], project["entry-points"][GROUP], project["version"], **modules)
