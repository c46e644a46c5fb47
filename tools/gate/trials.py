"""Whole suites of the default matrix, screened and confirmed: how many unchanged are red, how many slowdowns found.

Each trial is one line of the log: what was done, every case's verdict before and after it was measured in turns, and
the seconds of both stages. The repository must have no uncommitted changes: its commit is the base.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.outcome import FAILING, by_case, deciding
from inferkit.gate.run import Origin
from inferkit.suite.campaign.campaign import Campaign, CampaignSettings
from inferkit.suite.campaign.records import CaseRecord, run_of
from inferkit.suite.interleaved.confirm import Confirmation
from inferkit.suite.matrix.read import load_matrix
from inferkit.suite.repository import commit_of, git, repository_of


def main(argv: list[str] | None = None) -> None:
    """Measure a baseline where there is none, then as many unchanged and slowed suites as asked for."""
    parser = argparse.ArgumentParser(prog="python -m tools.gate.trials", description=__doc__)
    parser.add_argument("log", type=Path, help="JSON lines; what is there already counts, and is added to")
    parser.add_argument("--matrix", type=Path, default=Path("bench/matrix.toml"))
    parser.add_argument("--baselines", type=Path, required=True, help="a folder for the baseline of these trials")
    parser.add_argument("--unchanged", type=int, default=0, help="suites in which nothing changed")
    parser.add_argument("--slowed", type=int, default=0, help="suites in which one case became slower")
    parser.add_argument("--share", type=float, default=0.03, help="by how much (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    matrix, store = load_matrix(args.matrix), BaselineStore(args.baselines)
    repository = repository_of(Path.cwd())
    assert not git(repository, "status", "--porcelain", what="git status"), "commit or remove what git does not have"
    declared = matrix.suite
    settings = CampaignSettings(declared.replicates, declared.min_time, reference=declared.reference)
    cases = list(matrix.cases())
    if not store.files():
        with Campaign(matrix, store, replace(settings, for_baseline=True)) as campaign:
            campaign.run(cases)
            kinds = campaign.references.measured(), campaign.memory_references.measured()
            run = run_of([record for record in campaign.latency.values() if record.replicates], *kinds)
            for slug in run.fingerprints:
                store.write(replace(run.of(slug), invalid={}, origin=Origin(commit=commit_of(repository, "HEAD"))))
    chance = random.Random(args.seed)
    for share in [0.0] * args.unchanged + [args.share] * args.slowed:
        slowed = chance.choice(cases).id if share else ""
        line = _trial(Campaign(matrix, store, replace(settings, inject={slowed: {"latency": share}})), args, slowed)
        with args.log.open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(f"{line['slowed'] or 'unchanged'}: {line['seconds']:.0f} s, red: {', '.join(line['red']) or 'none'}")
    _summary([json.loads(line) for line in args.log.read_text().splitlines()])


def _trial(campaign: Campaign, args: argparse.Namespace, slowed: str) -> dict[str, Any]:
    with campaign:
        confirmation = Confirmation(campaign, args.matrix, budget=campaign.matrix.suite.confirm_budget)
        began = time.monotonic()
        campaign.run(list(campaign.matrix.cases()))
        screened = time.monotonic()
        lines = confirmation.run()
        ended = time.monotonic()
        outcomes = [outcome for record in campaign.latency.values() for outcome in record.outcomes]
        red = [deciding(each).line for each in by_case(outcomes).values() if deciding(each).verdict in FAILING]
        return {
            "slowed": slowed,
            "red": red,
            "found": any(line.startswith(f"{slowed} ") for line in red) if slowed else None,
            "seconds": round(ended - began, 2),
            "screening": round(screened - began, 2),
            "lines": lines,
            "cases": {record.case.id: _case(record) for record in campaign.latency.values()},
        }


def _case(record: CaseRecord) -> dict[str, Any]:
    outcome = record.outcome
    return {
        "screened": str(record.screened.verdict) if record.screened else None,
        "confirmed": record.confirmed,
        "verdict": str(outcome.verdict) if outcome else record.failure,
        "change": outcome.change if outcome else None,
        "blocks": len(record.base),
    }


def _summary(lines: list[Mapping[str, Any]]) -> None:
    unchanged, slowed = [x for x in lines if not x["slowed"]], [x for x in lines if x["slowed"]]
    if unchanged:
        seconds = statistics.median(each["seconds"] for each in unchanged)
        print(f"unchanged: {sum(bool(x['red']) for x in unchanged)} of {len(unchanged)} red, median {seconds:.0f} s")
    if slowed:
        print(f"slowed: {sum(x['found'] for x in slowed)} of {len(slowed)} found")


if __name__ == "__main__":
    main()
