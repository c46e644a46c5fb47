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
    """Do what the page says, in `folder` and in one shell, as a reader does it; returns how many commands were run.

    AssertionError where a command ends otherwise than told, or does not say what it should.
    """
    steps, count = _steps(page)
    script = "\n".join(part for step in steps for part in step.script)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1200,
    )
    outputs = done.stdout.split(_MARK)
    assert done.returncode == 0, f"{steps[len(outputs) - 1].line}: exit code {done.returncode}\n{outputs[-1]}"
    for step, output in zip(steps, outputs, strict=False):
        for word in step.says:
            assert word in output, f"{step.line} does not say {word!r}:\n{output}"
    return count


_MARK = "\n@@@ done\n"


@dataclass(frozen=True)
class _Step:
    """One line of a block, or a file: what the shell runs for it, and what it has to say."""

    line: str
    script: tuple[str, ...]
    says: tuple[str, ...] = ()


def _steps(page: Path) -> tuple[list[_Step], int]:
    steps: list[_Step] = []
    count = 0
    for block in blocks(page):
        if block.file is not None:
            folder = str(Path(block.file).parent)
            writing = f"mkdir -p {folder} && cat > {block.file} <<'@@@ end'\n{block.body}@@@ end"
            steps.append(_Step(block.file, (writing, _mark(0))))
            continue
        for number, line in enumerate(block.commands, 1):
            last = number == len(block.commands)
            steps.append(_Step(line, (line, _mark(block.exit_code if last else 0)), block.says if last else ()))
            count += 1
    return steps, count


def _mark(expected: int) -> str:
    """End the script, with what the line ended with (1 for a success that should have failed), or go on."""
    return rf"code=$?; [ $code -eq {expected} ] || exit $((code > 0 ? code : 1)); printf '\n@@@ done\n'"
