"""`inferkit doctor`: what is installed, which backends run, and whether this machine can gate."""

from __future__ import annotations

import argparse
import textwrap

from inferkit.cli.output import add_json, print_json
from inferkit.exit_codes import ExitCode


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Check and print; returns the exit code."""
    from inferkit.report.doctor import can_run, examine
    from inferkit.report.table import stdout_look
    from inferkit.suite.checkup import suite

    findings = examine((suite,))
    runs = can_run(findings)
    if args.json:
        print_json({"can_run": runs, "findings": [finding.as_dict() for finding in findings]})
    else:
        width, _ = stdout_look()
        for finding in findings:
            print(textwrap.fill(finding.line, width, subsequent_indent=" " * 8) if width else finding.line)
        print("the default suite can run" if runs else "the default suite cannot run; see the problems above")
    return ExitCode.OK if runs else ExitCode.INVALID
