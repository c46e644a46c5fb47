"""What the pages tell a reader to do is done: from the built wheel, in an environment that holds nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs.page import blocks, follow

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "own_project"
# Who commits what a page has committed.
AUTHOR = {f"GIT_{who}_{what}": "reader@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@pytest.mark.slow
def test_a_project_without_a_conftest_runs_gates_and_reports(installed, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("images", "*.onnx", "run.*", "report.html"))
    assert not list(folder.rglob("conftest.py"))
    assert len((folder / "test_engine.py").read_text().splitlines()) <= 10
    every_command = (folder / "README.md").read_text().count("\n$ ")
    assert follow(folder / "README.md", folder, {**installed, **AUTHOR}) == every_command > 5
    (baseline,) = (folder / "baselines").glob("*.json")
    assert len(json.loads(baseline.read_text())["cases"]) == 4
    verdicts = {
        bench["extra_info"]["case"]: bench["extra_info"]["verdict"]
        for bench in json.loads((folder / "run.json").read_text())["benchmarks"]
    }
    assert [case for case, verdict in verdicts.items() if verdict == "REGRESSED"] == [
        f"stripes-{precision}-b{batch}-onnxruntime" for precision in ("fp32", "int8") for batch in (1, 8)
    ]
    assert "REGRESSED" in (folder / "report.html").read_text()


def test_pages_are_read_as_they_are_written(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        'text\n\n<!-- file: a/b.txt -->\n```toml title="b.txt"\nkey = 1\n```\n\n```console\n$ not this\n```\n'
        "<!-- run: exit 3, says hello -->\n```console\n$ cat a/b.txt\nkey = 1\n$ echo hello; \\\n  (exit 3)\n```\n"
    )
    written, run = blocks(page)
    assert (written.file, written.body) == ("a/b.txt", "key = 1\n")
    assert (run.exit_code, run.says, len(run.commands)) == (3, ("hello",), 2)
    assert follow(page, tmp_path, {"PATH": "/usr/bin:/bin"}) == 2
    page.write_text(page.read_text().replace("exit 3,", "exit 0,"))
    with pytest.raises(AssertionError, match="exit code 3"):
        follow(page, tmp_path, {"PATH": "/usr/bin:/bin"})


def test_only_a_slower_engine_excuses_a_line_that_measures(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- run: measures, says PASS -->\n```console\n$ echo REGRESSED; (exit 1)\n```\n")
    assert follow(page, tmp_path, {"PATH": "/usr/bin:/bin"}) == 1
    page.write_text(page.read_text().replace("exit 1", "exit 0"))
    with pytest.raises(AssertionError, match="'PASS'"):
        follow(page, tmp_path, {"PATH": "/usr/bin:/bin"})
    page.write_text(page.read_text().replace("REGRESSED", "PASS").replace("exit 0", "exit 1"))
    with pytest.raises(AssertionError, match="'REGRESSED'"):
        follow(page, tmp_path, {"PATH": "/usr/bin:/bin"})
    page.write_text(page.read_text().replace("measures, ", ""))
    with pytest.raises(AssertionError, match="exit code 1"):
        follow(page, tmp_path, {"PATH": "/usr/bin:/bin"})


@pytest.mark.slow
def test_the_tutorial_goes_as_it_says(tmp_path):
    """In a home folder of its own, with the clone where the page has it."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "inferkit").symlink_to(ROOT)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST_", "VIRTUAL"))}
    # The registry's files are kept where they were: a home that is empty would fetch gigabytes again.
    cache = {"PIP_CACHE_DIR": str(Path.home() / ".cache" / "pip"), "INFERKIT_CACHE": str(home / "cache")}
    page = ROOT / "docs" / "tutorial.md"
    every_command = page.read_text().count("\n$ ")
    assert follow(page, home, {**kept, **AUTHOR, **cache, "HOME": str(home)}) == every_command > 20


@pytest.mark.slow
def test_a_backend_is_added_as_its_page_says(installed, tmp_path):
    """By pip, which writes the metadata that the fast tests of backends lay down themselves."""
    page = ROOT / "docs" / "how-to" / "add-backend.md"
    try:
        assert follow(page, tmp_path, installed) == page.read_text().count("\n$ ") == 2
    finally:
        subprocess.run(["pip", "uninstall", "--yes", "--quiet", "numpy-backend"], env=installed, check=True)
