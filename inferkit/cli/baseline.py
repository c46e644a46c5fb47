"""`inferkit baseline`: make a run the baseline of this machine, or show baselines."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.cli.case_options import matrix_file
from inferkit.cli.comparing import show_outcomes
from inferkit.cli.output import add_json, print_json
from inferkit.errors import BaselineError, UsageError, some
from inferkit.exit_codes import ExitCode
from inferkit.measure.machine import busy_host

if TYPE_CHECKING:
    from inferkit.gate.outcome import Outcome
    from inferkit.gate.promotion import Promotion
    from inferkit.gate.run import Measured, Run


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    promote = actions.add_parser("promote", help="make a run the baseline, and show what that changes")
    promote.add_argument(
        "run",
        metavar="RUN.json",
        nargs="+",
        help="file that `pytest --benchmark-json RUN.json` wrote; several runs of one commit are pooled, for "
        "example those of several machines of one kind",
    )
    promote.add_argument(
        "--accept-regression",
        metavar="REASON",
        help="also promote REGRESSED, WAIVED and INVALID cases; the reason is stored with them",
    )
    promote.add_argument(
        busy_host.OPTION, action="store_true", help="also promote what was measured while others used the CPUs"
    )
    promote.add_argument("--skip-invalid", action="store_true", help="keep the old baseline of INVALID cases")
    promote.add_argument(
        "--matrix",
        metavar="FILE",
        help="table of cases of the run, whose networks' files are kept in its store where git does not have them "
        "(default: matrix.toml, bench/matrix.toml)",
    )
    promote.add_argument(
        "--from",
        dest="source",
        metavar="NAME",
        help="baseline of another machine (file, or its name without .json) to take accuracies and engine sizes from: "
        "for the first baseline under a new driver, library or CPU",
    )
    promote.add_argument("--dry-run", action="store_true", help="show what would change, write nothing")
    show = actions.add_parser("show", help="list all baselines, or the cases of one")
    show.add_argument("baseline", nargs="?", metavar="NAME", help="baseline file, or its name without .json")
    for command in (promote, show):
        command.add_argument(
            "--baseline-dir", type=Path, default=Path("baselines"), metavar="DIR", help="default: baselines"
        )
        add_json(command)


def run(args: argparse.Namespace) -> int:
    """Promote or show; returns the exit code."""
    return _promote(args) if args.action == "promote" else _show(args)


def _promote(args: argparse.Namespace) -> int:
    from inferkit.gate.files.baseline import BaselineStore, read_baseline
    from inferkit.gate.files.pooling import pooled, require_alike
    from inferkit.gate.files.run_file import read_run
    from inferkit.gate.promotion import plan_promotion, promote

    reason = args.accept_regression
    if reason is not None and not reason.strip():
        raise UsageError("--accept-regression needs a reason, which reviewers will read")
    store = BaselineStore(args.baseline_dir)
    runs = [read_run(path) for path in args.run]
    if len(runs) > 1:
        require_alike(runs)
    run = pooled(runs)
    accept_busy_host = args.accept_busy_host or busy_host.is_accepted()
    source = read_baseline(_named(store.folder, args.source)) if args.source else None
    promotions = plan_promotion(
        run,
        store,
        accept=reason,
        skip_invalid=args.skip_invalid,
        accept_busy_host=accept_busy_host,
        source=source,
        engine_parts=() if source is None else _engine_parts(source),
    )
    if not any(promotion.head.cases or promotion.head.accuracy for promotion in promotions):
        raise BaselineError(f"{run.name}: has no case that could be promoted")
    gradual = _gradual(run, promotions)
    if args.json:
        slow = [outcome.as_dict() for outcome in gradual]
        print_json([_as_json(promotion) | {"gradual": slow} for promotion in promotions])
    else:
        for promotion in promotions:
            _print_promotion(promotion)
        for outcome in gradual:
            print(f"gradual regression: {outcome.line}")
    refused = {outcome.verdict for promotion in promotions for outcome in promotion.refused}
    code = ExitCode.REGRESSED if refused & {"REGRESSED", "WAIVED"} else ExitCode.INVALID if refused else ExitCode.OK
    lines = [] if refused else _keep_files(run, args)
    if not args.json:
        for line in lines:
            print(line)
    if args.dry_run:
        if not args.json:
            print("nothing is written (--dry-run)")
        return code
    try:
        written = promote(promotions, store)
    except BaselineError as error:
        if not refused:
            raise
        print(f"inferkit baseline: {error}", file=sys.stderr)
        return code
    if not args.json:
        for path in written:
            print(f"written: {path}; commit it, so that it is reviewed like code")
    return code


def _keep_files(run: Run, args: argparse.Namespace) -> list[str]:
    """Put what git lacks of the promoted networks into the store, and say so; or say what follows without one."""
    from inferkit.content_store import chosen_store
    from inferkit.suite.matrix.read import load_matrix
    from inferkit.suite.sources import keep, missing_in_git

    if not any(case.files for case in run.cases.values()):
        return []
    try:
        path = matrix_file(args)
    except UsageError as error:
        if args.matrix:
            raise
        return [f"no file is stored: {error}"]
    sources = missing_in_git(run, path.parent)
    absent = [name for name in sources.files if not (path.parent / name).is_file()]
    if absent and not args.matrix:
        return [
            f"no file is stored: {some(absent, what='files')} of the run: not there beside {path}; name the run's own "
            "table by --matrix"
        ]
    store = chosen_store(load_matrix(path).suite.store) if sources.files else None
    if store is None:
        return [sources.cannot_be_confirmed] if sources.files else []
    if args.dry_run:
        return [f"would be stored in {store.place}: {', '.join(sources.files)}"]
    stored = keep(sources, path.parent, store)
    return [f"stored in {store.place}: {', '.join(stored)}"] if stored else []


def _gradual(run: Run, promotions: Sequence[Promotion]) -> list[Outcome]:
    """What became slower over several promotions, this one too, by git's earlier versions of the baselines."""
    from inferkit.gate.history.creep import creep
    from inferkit.gate.history.ratchet import slips
    from inferkit.suite.baseline_log import baseline_log

    outcomes: list[Outcome] = []
    for promotion in promotions:
        (slug,) = promotion.head.fingerprints
        log = baseline_log(promotion.path)
        outcomes += [] if log is None else creep(log, run.of(slug), promoting=True)
    return slips(outcomes)


def _engine_parts(baseline: Run) -> tuple[str, ...]:
    """What engines of the baseline's backend depend on; everything, where there is no such backend here."""
    from inferkit.backends import backend, backend_names

    (fingerprint,) = baseline.fingerprints.values()
    name = fingerprint.as_dict().get("backend", "")
    return backend(name).facts.engine_parts if name in backend_names() else tuple(fingerprint.as_dict())


def _print_promotion(promotion: Promotion) -> None:
    print(f"{promotion.path}{'' if promotion.base else ' (new)'}")
    show_outcomes(promotion.outcomes)
    for name, accuracy in promotion.head.accuracy.items():
        if name in promotion.kept:
            continue
        base = promotion.base.accuracy.get(name) if promotion.base else None
        was = f", base {base.top1:.2f} %" if base else ""
        print(f"{name}: top-1 {accuracy.top1:.2f} % of {accuracy.images} images{was}")
    elsewhere = {*promotion.failed, *promotion.carried.accuracy}
    for cases, what in (
        (promotion.removed, "removed, no longer declared"),
        ([name for name in promotion.kept if name not in elsewhere], "unchanged, not in this run"),
        ([name for name in promotion.kept if name in promotion.failed], "unchanged, FAILED in this run"),
        (promotion.left_out, "unchanged, INVALID in this run"),
    ):
        if cases:
            print(f"{what}: {', '.join(cases)}")
    for remark in filter(None, (promotion.carried.line, *promotion.remarks)):
        print(remark)


def _as_json(promotion: Promotion) -> dict[str, Any]:
    return {
        "path": str(promotion.path),
        "new": promotion.base is None,
        "outcomes": [outcome.as_dict() for outcome in promotion.outcomes],
        "refused": [outcome.as_dict() for outcome in promotion.refused],
        "removed": promotion.removed,
        "kept": promotion.kept,
        "left_out": promotion.left_out,
        "carried": {"accuracy": list(promotion.carried.accuracy), "engine size": list(promotion.carried.sizes)},
        "remarks": promotion.remarks,
    }


def _show(args: argparse.Namespace) -> int:
    from inferkit.gate.files.baseline import BaselineStore, baseline_bytes, read_baseline

    store = BaselineStore(args.baseline_dir)
    files = [_named(store.folder, args.baseline)] if args.baseline else store.files()
    if not files:
        print("[]" if args.json else f"no baseline in {store.folder}; `inferkit baseline promote RUN.json` makes one")
        return ExitCode.NOTHING
    baselines = [(path, read_baseline(path)) for path in files]
    if args.json:
        print_json([{"path": str(path), **json.loads(baseline_bytes(baseline))} for path, baseline in baselines])
        return ExitCode.OK
    for path, baseline in baselines:
        _print_baseline(path, baseline, cases=bool(args.baseline))
    return ExitCode.OK


def _named(folder: Path, name: str) -> Path:
    stored = folder / (name if name.endswith(".json") else f"{name}.json")
    return stored if stored.exists() else Path(name)


def _print_baseline(path: Path, baseline: Run, cases: bool) -> None:
    from inferkit.gate.files.baseline import origin_of
    from inferkit.gate.units import percent, seconds
    from inferkit.measure.latency.statistics import centre, spread

    print(f"{path}: {len(baseline.cases)} latency cases, {len(baseline.accuracy)} accuracy cases")
    (fingerprint,) = baseline.fingerprints.values()
    print("  " + ", ".join(f"{name} {value}" for name, value in fingerprint.fields))
    if origin := origin_of(baseline):
        print("  from " + ", ".join(f"{name} {value}" for name, value in origin.items()))
    if not cases:
        return
    for reference in baseline.references.values():
        logs = reference.log_medians
        print(f"  {reference.case} (the reference network): {seconds(centre(logs))}, replicates {len(logs)}")
    for name, case in baseline.cases.items():
        half = spread(case.log_medians)
        noise = "" if half is None else f" ±{half:.1%}"
        replicates = f"replicates {len(case.log_medians)}{_accepted(case)}"
        print(f"  {name}: {seconds(centre(case.log_medians))}{noise}, {replicates}")
    for name, accuracy in baseline.accuracy.items():
        images = f"{accuracy.images} images{_accepted(accuracy)}"
        top5 = "" if accuracy.top5 is None else f", top-5 {percent(accuracy.top5)}"
        print(f"  {name}: top-1 {percent(accuracy.top1)}{top5} of {images}")


def _accepted(case: Measured) -> str:
    return f", accepted: {case.accepted}" if case.accepted else ""
