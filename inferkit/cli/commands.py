"""The table of commands in groups, and their parsers: the module of a command is imported only when it is chosen."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any

from inferkit.cli.exit_codes import exit_code_lines
from inferkit.cli.help_text import HelpLines
from inferkit.version import __version__

# What one wants to do -> command -> (module with `configure(parser)` and `run(args) -> exit code`, one line of help)
GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "measure and compare": {
        "compare": ("inferkit.cli.compare", "compare two benchmark JSON files case by case"),
        "ab": ("inferkit.cli.ab", "compare two commits, models or settings, measured interleaved"),
        "bisect": ("inferkit.cli.bisect", "find the first commit that made a case slower, larger or less accurate"),
        "repro": ("inferkit.cli.repro", "write a case as an archive that another machine can measure"),
        "baseline": ("inferkit.cli.baseline", "make a run the baseline of this machine, or show baselines"),
        "gate": ("inferkit.cli.gate", "test the gate here: false-alarm rate, detectable changes"),
        "scale": ("inferkit.cli.scale", "run a network on several GPUs at once: scaling, interference"),
        "sweep": ("inferkit.cli.sweep", "run the study: every data type over its batch sizes"),
    },
    "networks and engines": {
        "zoo": ("inferkit.cli.zoo", "list the built-in networks, or write their Caffe files"),
        "import": ("inferkit.cli.import_", "convert a Caffe model to an ONNX model"),
        "build": ("inferkit.cli.build", "build an engine file from a model"),
        "inspect": ("inferkit.cli.inspect", "the layers of a network, or the metadata of an engine file"),
        "top": ("inferkit.cli.top", "time per layer of one batch, slowest first"),
        "diff": ("inferkit.cli.diff", "differences between two networks, engines or runs"),
    },
    "accuracy and calibration": {
        "accuracy": ("inferkit.cli.accuracy", "compare two precisions, backends or models on the same images"),
        "evaluate": ("inferkit.cli.evaluate", "top-1 and top-5 over a dataset, here or on a Ray cluster"),
        "calibrate": ("inferkit.cli.calibrate", "calibrate INT8 and FP8, and write a calibration cache"),
    },
    "serve": {
        "serve": ("inferkit.cli.serve", "serve a model over HTTP and gRPC (Open Inference Protocol)"),
        "serve-bench": ("inferkit.cli.serve_bench", "run MLPerf's load scenarios against a model behind the batcher"),
    },
    "history and reports": {
        "history": ("inferkit.cli.history", "results over time: change points and gradual regressions"),
        "report": ("inferkit.cli.report", "show a run, alone or against others, as one HTML file"),
        "plot": ("inferkit.cli.plot", "write every chart of a run as an SVG file, and PNG"),
    },
    "machine": {
        "doctor": ("inferkit.cli.doctor", "check installation, backends, and whether this machine can gate"),
        "completion": ("inferkit.cli.completion", "print the completion script for bash, zsh or fish"),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}


class Parser(argparse.ArgumentParser):
    """Takes options by their whole names: --calibration must not be taken for --calibration-images."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **keywords})


class _Inferkit(Parser):
    """Lists its commands by GROUPS."""

    def format_help(self) -> str:
        formatter = self._get_formatter()
        formatter.add_usage(self.usage, self._actions, self._mutually_exclusive_groups)
        formatter.add_text(self.description)
        (commands,) = (action for action in self._actions if isinstance(action, argparse._SubParsersAction))
        listed = {choice.dest: choice for choice in commands._choices_actions}
        options = [action for action in self._actions if action is not commands]
        groups = {title: [listed[name] for name in names] for title, names in GROUPS.items()}
        for title, actions in {**groups, "options": options}.items():
            formatter.start_section(title)
            formatter.add_arguments(actions)
            formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()


def parser_of(chosen: Collection[str]) -> argparse.ArgumentParser:
    """The parser of `inferkit`, with the options of these commands; only their modules are imported."""
    return parsers(chosen)[0]


def parsers(chosen: Collection[str]) -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """That parser, and those of the commands by name."""
    parser = _Inferkit(
        prog="inferkit",
        description="Build and run inference engines; fail the build when one got worse.",
        epilog="`inferkit COMMAND --help` shows a command's options and exit codes.",
    )
    parser.add_argument("--version", action="version", version=f"inferkit {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    made = {}
    for name, (module, line) in COMMANDS.items():
        made[name] = commands.add_parser(name, help=line, description=line)
        if name in chosen:
            import_module(module).configure(made[name])
            _explain_exit_codes(made[name], exit_code_lines(name))
    return parser, made


def _explain_exit_codes(parser: argparse.ArgumentParser, lines: str) -> None:
    """Put these lines at the end of the command's help, and of the help of the commands inside of it."""
    parser.formatter_class = HelpLines
    parser.epilog = "\n\n".join(filter(None, (parser.epilog, lines)))
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _explain_exit_codes(inner, lines)
