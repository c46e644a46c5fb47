"""`inferkit baseline`: promote a run to this machine's baseline, or show what the baselines hold."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.errors import BaselineError, UsageError

if TYPE_CHECKING:
    from inferkit.gate.promotion import Promotion
    from inferkit.gate.run import Measured, Run

EXIT_NOTHING = 12


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = (
        "exit codes: 0 written or shown · 1 a file is damaged, or a regression has no reason · 2 usage · "
        "12 there is no baseline to show"
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    promote = actions.add_parser("promote", help="make a run's figures the baseline; shows what that changes")
    promote.add_argument(
        "run",
        metavar="RUN.json",
        nargs="+",
        help="what `pytest bench --benchmark-json RUN.json` wrote; several runs of one commit are pooled, such as "
        "those of several machines of one kind",
    )
    promote.add_argument(
        "--accept-regression",
        metavar="REASON",
        help="take regressed and INVALID cases too; the reason is stored with them",
    )
    promote.add_argument(
        "--skip-invalid", action="store_true", help="cases measured as INVALID keep what the baseline had"
    )
    promote.add_argument("--dry-run", action="store_true", help="show what would change, and write nothing")
    show = actions.add_parser("show", help="list the baselines, or the cases of one")
    show.add_argument("baseline", nargs="?", metavar="NAME", help="a baseline's file, or its name without .json")
    for command in (promote, show):
        command.add_argument(
            "--baseline-dir", type=Path, default=Path("baselines"), metavar="DIR", help="default: baselines"
        )
        command.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Do one action; returns the exit code."""
    return _promote(args) if args.action == "promote" else _show(args)


def _promote(args: argparse.Namespace) -> int:
    from inferkit.gate.files.baseline import BaselineStore
    from inferkit.gate.files.pooling import pooled, require_alike
    from inferkit.gate.files.run_file import read_run
    from inferkit.gate.promotion import plan_promotion, promote

    reason = args.accept_regression
    if reason is not None and not reason.strip():
        raise UsageError("--accept-regression wants a reason that a reader can judge")
    store = BaselineStore(args.baseline_dir)
    runs = [read_run(path) for path in args.run]
    if len(runs) > 1:
        require_alike(runs)
    run = pooled(runs)
    promotions = plan_promotion(run, store, accept=reason, skip_invalid=args.skip_invalid)
    if not any(promotion.head.cases or promotion.head.accuracy for promotion in promotions):
        raise BaselineError(f"{run.name}: holds nothing that could be promoted")
    if args.json:
        print(json.dumps([_as_json(promotion) for promotion in promotions], indent=1))
    else:
        for promotion in promotions:
            _print_promotion(promotion)
    if args.dry_run:
        if not args.json:
            print("nothing is written (--dry-run)")
        return 1 if any(promotion.refused for promotion in promotions) else 0
    for path in promote(promotions, store):
        if not args.json:
            print(f"written: {path}; commit it, so that it is reviewed like code")
    return 0


def _print_promotion(promotion: Promotion) -> None:
    from inferkit.report.outcomes import outcome_lines
    from inferkit.report.table import stdout_look

    width, color = stdout_look()
    print(f"{promotion.path}{'' if promotion.base else ' (new)'}")
    for line in outcome_lines(promotion.outcomes, width=width, color=color):
        print(line)
    for name, found in promotion.head.accuracy.items():
        if name in promotion.kept:
            continue
        base = promotion.base.accuracy.get(name) if promotion.base else None
        was = f", base {base.top1:.2f} %" if base else ""
        print(f"{name}: top-1 {found.top1:.2f} % of {found.images} images{was}")
    for cases, what in (
        (promotion.removed, "removed, no longer declared"),
        ([name for name in promotion.kept if name not in promotion.failed], "kept as they are, not in this run"),
        ([name for name in promotion.kept if name in promotion.failed], "kept as they are, FAILED in this run"),
        (promotion.left_out, "left out, measured as INVALID"),
    ):
        if cases:
            print(f"{what}: {', '.join(cases)}")
    for remark in promotion.remarks:
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
        "remarks": promotion.remarks,
    }


def _show(args: argparse.Namespace) -> int:
    from inferkit.gate.files.baseline import BaselineStore, baseline_bytes, read_baseline

    store = BaselineStore(args.baseline_dir)
    files = [_named(store.folder, args.baseline)] if args.baseline else store.files()
    if not files:
        print("[]" if args.json else f"no baseline in {store.folder}; `inferkit baseline promote RUN.json` makes one")
        return EXIT_NOTHING
    found = [(path, read_baseline(path)) for path in files]
    if args.json:
        content = [{"path": str(path), **json.loads(baseline_bytes(baseline))} for path, baseline in found]
        print(json.dumps(content, indent=1))
        return 0
    for path, baseline in found:
        _print_baseline(path, baseline, cases=bool(args.baseline))
    return 0


def _named(folder: Path, name: str) -> Path:
    here = folder / (name if name.endswith(".json") else f"{name}.json")
    return here if here.exists() else Path(name)


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
        known = f"replicates {len(case.log_medians)}{_accepted(case)}"
        print(f"  {name}: {seconds(centre(case.log_medians))}{noise}, {known}")
    for name, found in baseline.accuracy.items():
        known = f"{found.images} images{_accepted(found)}"
        top5 = "" if found.top5 is None else f", top-5 {percent(found.top5)}"
        print(f"  {name}: top-1 {percent(found.top1)}{top5} of {known}")


def _accepted(case: Measured) -> str:
    return f", accepted: {case.accepted}" if case.accepted else ""
