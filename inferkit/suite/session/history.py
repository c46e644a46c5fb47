"""Appends a run to the history, and compares it with earlier runs: gradual regressions."""

from __future__ import annotations

import os
from pathlib import Path

from inferkit.errors import HistoryError, InferkitError, UsageError
from inferkit.gate.history.creep import creep
from inferkit.gate.history.ratchet import slips
from inferkit.gate.outcome import Outcome
from inferkit.suite.baseline_log import baseline_log
from inferkit.suite.campaign.records import run_of
from inferkit.suite.session.options import HISTORY_INI, option
from inferkit.suite.session.state import Suite

_NONE = "none"


def history_file(suite: Suite) -> Path | None:
    """Where this run is remembered: --history, else the ini file's, else in the cache. None: nowhere.

    Nowhere also where nothing was measured for a verdict (--benchmark-disable).
    """
    from inferkit.gate.history.store import default_path

    config = suite.config
    smoke = any(campaign.settings.smoke for campaign in suite.campaigns.values())
    if option(config, "no-history") or smoke or any(worker_run.record["smoke"] for worker_run in suite.gathered):
        return None
    if not (suite.gathered or any(campaign.records() for campaign in suite.campaigns.values())):
        return None
    given = option(config, "history")
    if given is not None:
        return Path(os.path.abspath(config.invocation_params.dir / given))
    stated = str(config.getini(HISTORY_INI) or "").strip()
    if stated == _NONE:
        return None
    folder = config.inipath.parent if config.inipath is not None else config.rootpath
    return folder / stated if stated else default_path()


def remember(suite: Suite, path: Path, content: bytes) -> None:
    """Append a run's JSON to the history, and leave the ratchet's outcomes and notes in the suite.

    An error is reported and fails nothing: the run's verdicts do not rest on it.
    """
    from inferkit.gate.files.checked_json import parse_json
    from inferkit.gate.files.run_file import run_of
    from inferkit.gate.history.store import History
    from inferkit.gate.history.summary import summary_of
    from inferkit.suite.session.releases import ratchet_of

    try:
        run = run_of(parse_json(content, "this run"))
        if not (run.cases or run.accuracy):
            return
        summary = summary_of(run)
        history = History(path)
        history.append([summary])
        ratchet = ratchet_of(history, summary.run, suite.config.rootpath)
    except UsageError as error:
        suite.notes.append(f"the run could not be compared with earlier runs: {error}")
    except HistoryError as error:
        suite.notes.append(f"ERROR: the run was not added to the history: {error}")
    except InferkitError as error:
        suite.notes.append(f"ERROR: the run could not be added to the history: {error}")
    else:
        _found(suite, ratchet.outcomes)


def compare_with_earlier_baselines(suite: Suite) -> None:
    """Leave in the suite what git's earlier versions of the baselines say of this run: no other history is needed."""
    for campaign in suite.campaigns.values():
        judged = [record for record in campaign.latency.values() if record.outcome is not None]
        run = run_of(judged, campaign.references.measured(), campaign.memory_references.measured())
        for slug, stored in campaign.baselines.found().items():
            log = baseline_log(Path(stored.name))
            if log is not None and not campaign.settings.smoke:
                _found(suite, tuple(creep(log, run.of(slug))))


def _found(suite: Suite, outcomes: tuple[Outcome, ...]) -> None:
    suite.ratchet += outcomes
    suite.notes += [f"gradual regression: {outcome.line}" for outcome in slips(outcomes)]
