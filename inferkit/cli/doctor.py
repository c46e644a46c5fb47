"""`inferkit doctor`: what is installed, what runs, and whether this machine can gate."""

from __future__ import annotations

import argparse
import json


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = "exit codes: 0 the default suite can run · 1 it cannot · 2 usage"
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Look and print; returns the exit code."""
    from inferkit.report.doctor import can_run, examine
    from inferkit.suite.checkup import suite

    findings = examine((suite,))
    runs = can_run(findings)
    if args.json:
        print(json.dumps({"can_run": runs, "findings": [finding.as_dict() for finding in findings]}, indent=1))
    else:
        for finding in findings:
            print(finding.line)
        print("the default suite can run" if runs else "the default suite cannot run; see the problems above")
    return 0 if runs else 1
