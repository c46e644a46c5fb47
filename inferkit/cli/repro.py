"""`inferkit repro`: a case as one archive that another machine can measure."""

from __future__ import annotations

import argparse
from pathlib import Path

from inferkit.cli.case_options import add_busy_option, matrix_file
from inferkit.cli.output import add_json, print_json
from inferkit.exit_codes import ExitCode
from inferkit.suite.terminable import terminable


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("case", metavar="CASE", help="id of a case of the matrix, such as lenet-int8-b8-onnxruntime")
    parser.add_argument(
        "--run", metavar="RUN.json", help="the run whose figures are head (default: the case is measured now)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="archive to write, .tar.gz or .zip (default: repro-CASE.tar.gz)"
    )
    parser.add_argument(
        "--network",
        action=argparse.BooleanOptionalAction,
        help="with the network, or only with its SHA-256 (default: with it up to 512 MB)",
    )
    parser.add_argument("--matrix", metavar="FILE", help="table of cases (default: matrix.toml, bench/matrix.toml)")
    parser.add_argument(
        "--baseline-dir", type=Path, default=Path("baselines"), metavar="DIR", help="default: baselines"
    )
    add_busy_option(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Write the archive; returns the exit code."""
    from inferkit.gate.files.baseline import BaselineStore
    from inferkit.gate.files.run_file import read_run
    from inferkit.gate.units import size
    from inferkit.report.progress import progress_on_stderr
    from inferkit.suite.matrix.read import load_matrix
    from inferkit.suite.reproduction.pack import pack

    path = matrix_file(args)
    with terminable():
        packed = pack(
            args.case,
            path,
            load_matrix(path),
            BaselineStore(args.baseline_dir),
            args.out or Path(f"repro-{args.case}.tar.gz"),
            run=None if args.run is None else read_run(args.run),
            with_network=args.network,
            progress=progress_on_stderr(),
        )
    contents = packed.contents
    if args.json:
        facts = {"path": str(packed.path), "network_bytes": packed.network_bytes, "disturbed": packed.disturbed}
        print_json({**facts, **contents.as_dict()})
        return ExitCode.OK
    if packed.disturbed:
        print(f"head was measured while the machine was disturbed: {'; '.join(packed.disturbed)}")
    if contents.base is None:
        print("there is no base: no baseline of head's machine has the case")
    if not contents.included:
        print(f"the network ({size(packed.network_bytes)}) is not in it, only its SHA-256; --network puts it there")
    print(f"written: {packed.path}; unpack it anywhere, pip install pytest-inferkit, python repro.py")
    return ExitCode.OK
