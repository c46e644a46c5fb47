"""How a campaign measures: what the matrix and the options say together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class CampaignSettings:
    """Seconds. `smoke`: one short replicate per case, nothing is judged. `for_baseline`: noisy cases are measured on
    until a baseline of them can gate at their margin. `reference`: the reference network is measured with the cases.

    `builds` is on how many separately built engines a case is measured where engines are files (None: on several where
    the baseline asks for it, see builds.py). `inject` injects slowdowns, by case id: see
    measure/engine/inject.py. `logs` is the folder for the logs of load generators; without it they go to a temporary
    one, which stays. `family` is how many cases are judged in all where the campaign is given them one by one.
    """

    replicates: int = 3
    min_time: float = 0.5
    time_budget: float | None = None
    smoke: bool = False
    for_baseline: bool = False
    reference: bool = True
    family: int | None = None
    inject: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    builds: int | None = None
    logs: Path | None = None
