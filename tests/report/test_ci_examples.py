"""The example workflows: valid to GitHub's and GitLab's own schemas, and every command in them exists as written."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from inferkit.cli.main import main
from inferkit.suite.session.options import OPTIONS

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "ci"
# Options of pytest-benchmark and of pytest itself that the examples use.
OTHERS = {"--benchmark-json", "--junit-xml"}


@pytest.mark.parametrize(
    "file, schema", [("github-gpu.yml", "vendor.github-workflows"), ("gitlab-gpu.yml", "vendor.gitlab-ci")]
)
def test_the_examples_fit_the_schemas_of_their_hosts(file, schema):
    pytest.importorskip("check_jsonschema", reason="PyPI's check-jsonschema is not installed")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(EXAMPLES / file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", sorted(path.name for path in EXAMPLES.iterdir()))
def test_every_command_in_them_exists(file, capsys):
    text = (EXAMPLES / file).read_text()
    commands = re.findall(r"^[\s-]*(?:run: )?((?:inferkit|pytest bench|pip install) .*)$", text, re.MULTILINE)
    assert len(commands) >= 3
    known = {f"--{option.name}" for option in OPTIONS} | OTHERS
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for command in commands:
        words = shlex.split(command)
        if words[0] == "pytest":
            assert {word for word in words if word.startswith("--")} <= known
        elif words[0] == "pip":
            assert re.fullmatch(r"\.\[(.*)\]", words[2])[1] in extras
        else:
            with pytest.raises(SystemExit) as ended:
                main([words[1], "--help"])
            assert ended.value.code == 0
            told = capsys.readouterr().out
            assert all(word in told for word in words[2:] if word.startswith("-")), command
