"""The example workflows: valid to GitHub's and GitLab's own schemas, and every command in them exists as written."""

import configparser
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
    pattern = r"^[\s-]*(?:run: )?((?:inferkit|pytest bench|pip install|tox (?:exec )?-e) .*)$"
    commands = re.findall(pattern, text, re.MULTILINE)
    assert len(commands) >= 3
    for command in commands:
        check(shlex.split(command, comments=True), capsys)


def check(words, capsys):
    """That the command is there, as are the options that it is given."""
    if words[0] == "tox":
        at = words.index("--")
        assert words[at - 1] in tox_environments()
        check(words[at + 1 :] if words[1] == "exec" else ["pytest", *words[at + 1 :]], capsys)
    elif words[0] == "pytest":
        known = {f"--{option.name}" for option in OPTIONS} | OTHERS
        assert {word for word in words if word.startswith("--")} <= known
    elif words[0] == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert words[2] == "tox" or re.fullmatch(r"\.\[(.*)\]", words[2])[1] in extras
    else:
        with pytest.raises(SystemExit) as ended:
            main([words[1], "--help"])
        assert ended.value.code == 0
        told = capsys.readouterr().out
        assert all(word in told for word in words[2:] if word.startswith("-")), words


def tox_environments():
    """Names of environments in tox.ini, a name of several (`gpu{,-rtx}`) written out."""
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    names = set()
    for section in tox.sections():
        stem, _, factors = section.removeprefix("testenv:").partition("{")
        names |= {stem + factor for factor in factors.rstrip("}").split(",")}
    return names
