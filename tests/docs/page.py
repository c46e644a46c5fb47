"""What a documentation page tells its reader to write and to run, done in a folder with a real environment.

Before a block stands what it is: `<!-- file: NAME -->` is to be written, `<!-- run -->` to be run line by line (the
lines that begin with `$ `), `<!-- run: exit 1, says WORD -->` with what its last line ends as. Where that line measures
(`<!-- run: measures -->`), a machine that others use may find something slower: exit code 1 will do too, if it says
REGRESSED. HTML comments, so that the page shows none of it.
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
    measures: bool = False

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
        yield Block(found["body"], exit_code=codes[0] if codes else 0, says=says, measures="measures" in words)


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
    *outputs, rest = _MARK.split(done.stdout)
    assert done.returncode == 0, f"{steps[len(outputs) // 2].line}: exit code {done.returncode}\n{rest}"
    for step, output, code in zip(steps, outputs[::2], outputs[1::2], strict=True):
        for word in step.says if int(code) == step.exit_code else ("REGRESSED",):
            assert word in output, f"{step.line} does not say {word!r}:\n{output}"
    return count


_MARK = re.compile(r"\n@@@ ended with (\d+)\n")


@dataclass(frozen=True)
class _Step:
    """One line of a block, or a file: what the shell runs for it, how it should end, and what it has to say."""

    line: str
    command: str
    exit_code: int = 0
    says: tuple[str, ...] = ()
    measures: bool = False

    @property
    def script(self) -> tuple[str, str]:
        """The command, and what ends the script where it did not end as it should (with 1 for a needless success)."""
        right = f"[ $code -eq {self.exit_code} ]" + (" || [ $code -eq 1 ]" if self.measures else "")
        stop = "exit $((code > 0 ? code : 1))"
        return self.command, rf"code=$?; {{ {right}; }} || {stop}; printf '\n@@@ ended with %s\n' $code"


def _steps(page: Path) -> tuple[list[_Step], int]:
    steps: list[_Step] = []
    count = 0
    for block in blocks(page):
        if block.file is not None:
            folder = str(Path(block.file).parent)
            writing = f"mkdir -p {folder} && cat > {block.file} <<'@@@ end'\n{block.body}@@@ end"
            steps.append(_Step(block.file, writing))
            continue
        *first, last = block.commands
        steps += [_Step(line, line) for line in first]
        steps.append(_Step(last, last, block.exit_code, block.says, block.measures))
        count += len(block.commands)
    return steps, count
