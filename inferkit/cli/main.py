"""The `inferkit` command: a table of subcommands, each imported only when it is the one called."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module

from inferkit import __version__
from inferkit.errors import InferkitError, UsageError

# name -> (module with `configure(parser)` and `run(args) -> exit code`, one line of help)
COMMANDS: dict[str, tuple[str, str]] = {
    "ab": ("inferkit.cli.ab", "compare two commits, models, engines or settings, interleaved on this machine"),
    "accuracy": ("inferkit.cli.accuracy", "two precisions, backends or models on the same images, and layer by layer"),
    "baseline": ("inferkit.cli.baseline", "make a run the baseline of this machine, or show what the baselines hold"),
    "build": ("inferkit.cli.build", "build an engine file from a model"),
    "calibrate": ("inferkit.cli.calibrate", "find the ranges for INT8 and FP8 from images: a calibration cache"),
    "completion": ("inferkit.cli.completion", "print what completes these commands in bash, zsh or fish"),
    "compare": ("inferkit.cli.compare", "compare two benchmark JSON files case by case"),
    "diff": ("inferkit.cli.diff", "what differs between two networks, engines or runs"),
    "doctor": ("inferkit.cli.doctor", "what is installed, which backends run, and whether this machine can gate"),
    "evaluate": ("inferkit.cli.evaluate", "top-1 and top-5 over a whole dataset, in one process or on a Ray cluster"),
    "gate": ("inferkit.cli.gate", "try the gate on this machine: false alarms, power, what each case can detect"),
    "history": (
        "inferkit.cli.history",
        "how the cases went over time, where they changed, what slipped bit by bit",
    ),
    "import": ("inferkit.cli.import_", "turn a Caffe model into an ONNX model"),
    "inspect": ("inferkit.cli.inspect", "the layers of a network, or what is known of an engine file"),
    "plot": ("inferkit.cli.plot", "every chart of a run as an SVG file, and PNG"),
    "report": ("inferkit.cli.report", "show a run, alone or against others, as one HTML file"),
    "scale": ("inferkit.cli.scale", "run one network on several GPUs at once: scaling and interference"),
    "serve": ("inferkit.cli.serve", "serve a model over HTTP and gRPC (Open Inference Protocol, KServe v2)"),
    "serve-bench": ("inferkit.cli.serve_bench", "put MLPerf's load scenarios on a model behind the batcher"),
    "sweep": ("inferkit.cli.sweep", "run the study's whole experiment: every data type over its batch sizes"),
    "top": ("inferkit.cli.top", "where the time of a batch goes, layer by layer"),
    "zoo": ("inferkit.cli.zoo", "list the networks known by name, or write their Caffe files"),
}


# Of these, 1 says that something got worse or differs: what could not be done at all must not look like that.
_ONE_IS_A_VERDICT = ("ab", "accuracy", "compare", "diff", "gate", "history")


def parser_of(chosen: Collection[str]) -> argparse.ArgumentParser:
    """The parser of `inferkit`, with the options of these commands; only their modules are imported."""
    return _parsers(chosen)[0]


def _parsers(chosen: Collection[str]) -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """That parser, and those of the commands by name."""
    parser = argparse.ArgumentParser(
        prog="inferkit", description="Build and run inference engines; fail the build when one got worse."
    )
    parser.add_argument("--version", action="version", version=f"inferkit {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    made = {}
    for name, (module, line) in COMMANDS.items():
        made[name] = commands.add_parser(name, help=line, description=line)
        if name in chosen:
            import_module(module).configure(made[name])
    return parser, made


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns its exit code. Errors made on purpose print one line, without a traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser, commands = _parsers([word for word in arguments if not word.startswith("-")][:1])
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        commands[args.command].error(f"unrecognized arguments: {' '.join(unknown)}")
    failed = 2 if args.command in _ONE_IS_A_VERDICT else 1
    try:
        code: int = import_module(COMMANDS[args.command][0]).run(args)
    except UsageError as error:
        print(f"inferkit {args.command}: {error}", file=sys.stderr)
        return 2
    except InferkitError as error:
        print(f"inferkit {args.command}: {error}", file=sys.stderr)
        return failed
    except BrokenPipeError:
        return failed
    except OSError as error:  # what no command has a better word for: a full disk, a file that cannot be written
        where = f"{error.filename}: " if error.filename else ""
        print(f"inferkit {args.command}: {where}{error.strerror or error}", file=sys.stderr)
        return failed
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
