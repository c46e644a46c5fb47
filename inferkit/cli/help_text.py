"""How `--help` looks: descriptions and epilogs keep their lines."""

from __future__ import annotations

import argparse
import textwrap


class HelpLines(argparse.HelpFormatter):
    """Help whose description and epilog keep their lines; each is wrapped by itself, indented as it begins."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(self._wrapped(line, width, indent) for line in text.splitlines())

    @staticmethod
    def _wrapped(line: str, width: int, indent: str) -> str:
        begin = line[: len(line) - len(line.lstrip())]
        hanging = " " * 7 if begin else ""
        return textwrap.fill(line, width, initial_indent=indent, subsequent_indent=indent + hanging)
