"""What MkDocs is told beside mkdocs.yml: pages made from the commands themselves, and pages that nav does not name."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from inferkit.cli import infer_caffe, infer_caffe_trt
from inferkit.cli.commands import COMMANDS, GROUPS, parser_of
from inferkit.cli.exit_codes import table
from inferkit.exit_codes import ExitCode

_WIDTH = 78  # of a command's usage in its page


def on_config(config: Any) -> Any:
    """Pages in docs/ that nav does not name get a section of their own: none is left out by an oversight."""
    named = set(_named(config.nav))
    folder = Path(config.docs_dir)
    rest = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.md"))
    rest = [path for path in rest if path not in named]
    if rest:
        config.nav.append({"More": rest})
    return config


def _named(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        for inner in nav.values():
            yield from _named(inner)
    else:
        for inner in nav:
            yield from _named(inner)


def on_files(files: Files, config: Any) -> Files:
    """The reference of the commands and their exit codes, from argparse."""
    for path, text in (("reference/commands.md", commands_page()), ("reference/exit-codes.md", exit_codes_page())):
        files.append(File.generated(config, path, content=text))
    return files


def commands_page() -> str:
    """Every command with its usage and options."""
    inferkit = parser_of(COMMANDS)
    (choices,) = (action.choices for action in inferkit._actions if isinstance(action, argparse._SubParsersAction))
    parts = [
        "# Commands",
        "Made from the commands' own parsers; each shows the same with `--help`. "
        "`--json` prints JSON, and nothing else, on stdout: text for people then goes to stderr. Colours are for "
        "terminals; `NO_COLOR` and `TERM=dumb` switch them off. Progress of long work is shown on a terminal only.",
    ]
    for title, names in GROUPS.items():
        parts.append(f"## {title[:1].upper()}{title[1:]}")
        for name in names:
            parts += _command(choices[name], COMMANDS[name][1])
    parts += ["## The study's tools", "They take the study's options, and are programs of their own."]
    for tool in (infer_caffe, infer_caffe_trt):
        parser = tool.parser()
        parts += _command(parser, parser.description or "")
    return "\n\n".join(parts) + "\n"


def _command(parser: argparse.ArgumentParser, line: str, level: int = 3) -> Iterator[str]:
    """Heading, usage, table of options; commands inside of it follow."""
    yield f"{'#' * level} `{parser.prog}`"
    yield f"{_sentence(line)}"
    yield f"```text\n{_usage(parser)}\n```"
    rows = []
    inner: list[argparse._SubParsersAction[Any]] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            inner.append(action)
        elif not isinstance(action, argparse._HelpAction):
            rows.append(f"| {_name(action)} | {_help(action, parser)} |")
    if rows:
        yield "| option | meaning |\n| --- | --- |\n" + "\n".join(rows)
    if parser.epilog:
        text, _, codes = parser.epilog.partition("exit codes:")
        if text.strip():
            yield "\n".join(f"    {each}" for each in text.rstrip().splitlines())
        if codes and not inner:
            yield f"Exit codes: {'; '.join(' '.join(line.split()) for line in codes.strip().splitlines())}"
    for action in inner:
        lines = {choice.dest: choice.help or "" for choice in action._choices_actions}
        for name, command in action.choices.items():
            yield from _command(command, lines.get(name, ""), level + 1)


def _usage(parser: argparse.ArgumentParser) -> str:
    def formatter(prog: str) -> argparse.HelpFormatter:
        return argparse.HelpFormatter(prog, width=_WIDTH)

    parser.formatter_class = formatter  # type: ignore[assignment]
    return parser.format_usage().strip()


def _name(action: argparse.Action) -> str:
    metavar = action.metavar if action.metavar is not None else (action.dest or "")
    value = " ".join(metavar) if isinstance(metavar, tuple) else metavar
    if action.choices is not None and action.metavar is None:
        value = " ".join(map(str, action.choices))
    if not action.option_strings:
        return f"`{value}`"
    takes = "" if action.nargs == 0 else f" {value}"
    return ", ".join(f"`{option}{takes}`" for option in action.option_strings)


def _help(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    text = (action.help or "") % {**vars(action), "prog": parser.prog}
    return text.replace("|", "\\|").replace("<", "&lt;")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def exit_codes_page() -> str:
    """What each code means, and one table: commands down, codes across."""
    lines = [
        "# Exit codes",
        "",
        "Of a command 1 means that something got worse, and nothing else. What went wrong unexpectedly is 2; the "
        "message names the file with its details.",
        "",
        "| code | meaning |",
        "| --- | --- |",
        *(f"| {code} | {code.meaning} |" for code in ExitCode),
        "",
        "| command | 0 | 1 | others |",
        "| --- | --- | --- | --- |",
    ]
    for name, meanings in table().items():
        others = "; ".join(f"**{code}** {text}" for code, text in meanings.items() if code > ExitCode.REGRESSED)
        lines.append(f"| `{name}` | {meanings[ExitCode.OK]} | {meanings.get(ExitCode.REGRESSED, '')} | {others} |")
    lines += [
        "",
        "## pytest",
        "",
        "| code | meaning |",
        "| --- | --- |",
        "| 0 | every case PASS or IMPROVED, WAIVED, or not judged (NO_BASELINE, SCREENED, INCONCLUSIVE, UNSUPPORTED) |",
        "| 1 | REGRESSED, MISSING, FAILED cases, what fails by `--inferkit-strict` or `[require]`; needless waivers |",
        "| 2, 3, 4, 5 | pytest's own: interrupted (what is required is missing), internal error, usage, no tests |",
        "| 10 | nothing failed, and a measurement is INVALID: the machine was not in a state to measure |",
        "| 12 | every case is UNSUPPORTED: a gate that measured nothing must not look green |",
    ]
    return "\n".join(lines) + "\n"
