"""The rule that judges latencies where none is named: one place to change it."""

from __future__ import annotations

from inferkit.gate.rules.rule import Rule


def default_rule(measuring: bool = True) -> Rule:
    """The rule of `pytest bench`; without `measuring`, of `inferkit compare` and `inferkit baseline promote`.

    What cannot be measured further is analysed once, so its whole error is spent on that analysis.
    """
    from inferkit.gate.rules.moderated import ModeratedRule  # needs scipy, which collecting cases must not wait for

    return ModeratedRule() if measuring else ModeratedRule(analyses=())
