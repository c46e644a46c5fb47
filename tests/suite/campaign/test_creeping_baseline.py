"""A run of pytest names a baseline that creeps from git alone: nobody kept a history."""

import json

import pytest

from tests.git_folder import git
from tests.suite.tiny_project import store_baseline

pytestmark = pytest.mark.slow  # each a run of pytest in a process of its own

CASE = "tiny-fp32-b1-onnxruntime"


def test_a_run_names_what_became_slower_over_several_promotions(project):
    folder = project.folder
    git(folder, "init", "-q")
    for step in range(3):  # of a nanosecond or so: whatever this machine needs is slower
        logs = [-20.0 + 0.01 * step + 0.001 * each for each in (-1, 0, 1)]
        store_baseline(folder / "baselines", {CASE: logs})
        git(folder, "add", "baselines")
        git(folder, "commit", "-qm", f"step {step}")
        if step == 0:
            git(folder, "tag", "v1.2")
    run = project.run("-k", "latency and b1", "--inferkit-confirm=never", "--verdict-json=verdicts.json")
    assert f"gradual regression: {CASE} latency since v1.2 (2 accepted steps): REGRESSED" in run.text
    ratchet = json.loads((folder / "verdicts.json").read_text())["ratchet"]
    assert [each["metric"] for each in ratchet] == ["latency since v1.2 (2 accepted steps)"]
