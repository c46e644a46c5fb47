"""Cases measured on several separately built engines: when, how many, and the spread between builds."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from inferkit.backends import backend
from inferkit.gate.builds import build_spread
from inferkit.gate.outcome import Outcome
from inferkit.gate.run import CaseRun
from inferkit.suite.campaign.records import CaseRecord
from inferkit.suite.campaign.services import with_service_spread
from inferkit.suite.matrix.read import MOST_BUILDS as MOST

AUTOMATIC = 3  # builds where something asks for more than one
PER_BUILD = 2  # processes of each: with fewer, builds and processes could not be told apart


def plan_builds(record: CaseRecord, wanted: int | None, stored: CaseRun | None) -> None:
    """Decide on how many builds a case is measured. `wanted` is what was asked for; None decides by the baseline.

    Only for backends whose engines are files: the others build in every process anyway.
    """
    if not backend(record.case.backend).facts.keeps_engine_files:
        return
    if wanted is not None:
        record.builds = min(wanted, MOST)
    elif stored is not None and stored.network is not None and stored.network != record.network_digest:
        record.builds, record.builds_reason = AUTOMATIC, "the network differs from the baseline's"
    elif stored is not None and stored.several_builds:
        record.builds, record.builds_reason = AUTOMATIC, "the baseline has several builds"


def next_build(record: CaseRecord) -> int | None:
    """Which build the next replicate is of: the one with the fewest; None where there is one, from the cache."""
    if record.builds == 1:
        return None
    counts = Counter(replicate.build for replicate in record.replicates)
    return min(range(record.builds), key=lambda build: (counts[build], build))


def lacking(record: CaseRecord) -> int:
    """How many replicates a case of several builds still needs, so that every build has its processes."""
    return 0 if record.builds == 1 or not record.open else max(PER_BUILD * record.builds - len(record.replicates), 0)


def more_processes(record: CaseRecord, replicates: int) -> int:
    """How many processes the rule's wish for more replicates means: engines, where engines are the replicates."""
    if record.builds == 1:
        return replicates
    record.builds = min(record.builds + replicates, MOST)
    return lacking(record)


def with_spread(outcome: Outcome, record: CaseRecord) -> Outcome:
    """The outcome with the spread between builds and within one in its reason, where there are several.

    That of an undecided service names the spread of its processes.
    """
    outcome = with_service_spread(outcome, record)
    builds = record.build_numbers
    if len(set(builds)) < 2:
        return outcome
    spread = build_spread(record.log_medians, builds).text
    if record.builds_reason:
        spread += f" ({record.builds_reason})"
    return replace(outcome, reason="; ".join(part for part in (outcome.reason, spread) if part))
