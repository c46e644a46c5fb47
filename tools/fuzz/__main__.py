"""Fuzz every parser, one after another, each in a process of its own; what is found lies in files afterwards.

    python -m tools.fuzz                                  # every target for two minutes
    python -m tools.fuzz lmdb onnx --seconds 600
    python -m tools.fuzz onnx --reproduce results/fuzz/onnx/crash-…

It needs `pip install atheris`. Inputs that reach new code are kept in the work folder and are where the next run
begins. Exit code 1 where something was found: a crash, an exception that is no InferkitError, an input that took over
20 seconds, or more than 2 GiB of memory. A finding that is fixed belongs in tests/tools/fuzz/corpus/TARGET/, where
every run begins as well.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools import ROOT
from tools.fuzz.target import Target, survive, targets
from tools.fuzz.worker import last_input

RSS_LIMIT_MB = 2048
TIMEOUT = 20  # seconds for one input
FOUND = ("crash-", "oom-", "timeout-", "killed-")
WORKER = ("-m", "tools.fuzz.worker")
KEPT = ROOT / "tests" / "tools" / "fuzz" / "corpus"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the targets named (default: all); prints a line for each."""
    known = targets()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(known)} (default: all)")
    parser.add_argument("--seconds", type=int, default=120, help="time for each target (120)")
    parser.add_argument(
        "--work", type=Path, default=Path("results/fuzz"), help="corpus, logs and findings (results/fuzz)"
    )
    parser.add_argument(
        "--reproduce", type=Path, metavar="FILE", help="run one input through one target, uninstrumented"
    )
    args = parser.parse_args(argv)
    unknown = [name for name in args.targets if name not in known]
    if unknown or (args.reproduce and len(args.targets) != 1):
        parser.error(f"unknown target {unknown[0]!r}" if unknown else "--reproduce needs the one target")
    if args.reproduce:
        print("read" if survive(known[args.targets[0]], args.reproduce.read_bytes()) else "refused")
        return 0
    print("| target | executions | coverage | corpus | found |\n| --- | ---: | ---: | ---: | --- |", flush=True)
    findings = 0
    for name in args.targets or known:
        row, found = fuzz(known[name], args.seconds, args.work / name)
        findings += len(found)
        print(f"| {name} | {row} | {', '.join(found) or 'nothing'} |", flush=True)
    return 1 if findings else 0


def fuzz(target: Target, seconds: int, folder: Path, worker: Sequence[str] = WORKER) -> tuple[str, list[str]]:
    """One target: its figures (executions, coverage points, corpus size), and the names of new findings.

    `worker` is what Python is started with; it takes tools/fuzz/worker.py's arguments.
    """
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    kept = [path.read_bytes() for path in sorted((KEPT / target.name).glob("*"))]
    for number, seed in enumerate([*target.seeds(), *kept]):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = folder / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
    before = set(_findings(folder))
    last = folder / "last-input"
    last.unlink(missing_ok=True)
    options = [
        *(f"-max_total_time={seconds}", f"-timeout={TIMEOUT}", f"-rss_limit_mb={_memory_limit_mb()}"),
        *(f"-max_len={target.most_bytes}", f"-artifact_prefix={folder}/", "-print_final_stats=1"),
        *([f"-dict={words}"] if target.words else []),
    ]
    command = [sys.executable, *worker, target.name, str(last), *options, str(corpus)]
    with (folder / "log").open("wb") as log:
        code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT).returncode
    text = (folder / "log").read_text(errors="replace")
    found = sorted(set(_findings(folder)) - before)
    if code and not found:
        found = [*_rescued(last, folder), f"exit code {code}, see {folder / 'log'}"]
    coverage = re.findall(r"cov: (\d+)", text)
    executions = re.findall(r"number_of_executed_units: (\d+)", text) or re.findall(r"^#(\d+)", text, re.MULTILINE)
    size = len(list(corpus.iterdir()))
    return f"{int(executions[-1]) if executions else 0:,} | {coverage[-1] if coverage else 0} | {size}", found


def _memory_limit_mb() -> int:
    """What the worker may take: on Linux its peak begins at this process's own, which exec() hands on."""
    return RSS_LIMIT_MB + resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # ru_maxrss is in KiB


def _rescued(last: Path, folder: Path) -> list[str]:
    """The finding's name, where the process ended without one and an input was being run."""
    content = last_input(last)
    if content is None:
        return []
    name = f"killed-{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"
    (folder / name).write_bytes(content)
    return [name]


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _findings(folder: Path) -> Iterator[str]:
    return (path.name for path in folder.iterdir() if path.name.startswith(FOUND))


if __name__ == "__main__":
    sys.exit(main())
