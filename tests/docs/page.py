"""What a documentation page tells its reader to write and to run, done in a folder with a real environment.

Before a block stands what it is: `<!-- file: NAME -->` is to be written, `<!-- run -->` to be run line by line (the
lines that begin with `$ `), `<!-- run: exit 1, says WORD -->` with what its last line ends as. HTML comments, so that
the page shows none of it.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^<!-- (?P<told>(?:run|file)[^\n]*?) -->\s*\n```(?P<head>[^\n]*)\n(?P<body>.*?)^```", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """One marked block: `file` is the name to write `body` to, else `commands` are run."""

    body: str
    file: str | None = None
    exit_code: int = 0
    says: tuple[str, ...] = ()

    @property
    def commands(self) -> list[str]:
        """The lines after `$ `, with what a backslash continues."""
        joined = self.body.replace("\\\n", " ")
        return [line[2:] for line in joined.splitlines() if line.startswith("$ ")]


def blocks(page: Path) -> Iterator[Block]:
    """Every marked block of a page, in order."""
    for found in _BLOCK.finditer(page.read_text()):
        kind, _, rest = found["told"].partition(":")
        if kind == "file":
            yield Block(found["body"], file=rest.strip())
            continue
        words = [word.strip() for word in rest.split(",") if word.strip()]
        codes = [int(word.removeprefix("exit ")) for word in words if word.startswith("exit ")]
        says = tuple(word.removeprefix("says ") for word in words if word.startswith("says "))
        yield Block(found["body"], exit_code=codes[0] if codes else 0, says=says)


def follow(page: Path, folder: Path, environment: Mapping[str, str]) -> int:
    """Do what the page says, in `folder`; AssertionError where a command ends otherwise. Returns how many were run."""
    count = 0
    for block in blocks(page):
        if block.file is not None:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.body)
            continue
        output = ""
        for number, command in enumerate(block.commands):
            last = number == len(block.commands) - 1
            done = subprocess.run(
                ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
            )
            output = done.stdout + done.stderr
            expected = block.exit_code if last else 0
            assert done.returncode == expected, f"{command}: exit code {done.returncode}, not {expected}\n{output}"
            count += 1
        for word in block.says:
            assert word in output, f"{block.commands[-1]} does not say {word!r}:\n{output}"
    return count
