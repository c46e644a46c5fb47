"""What fails a build beside a regression, where a project says so: verdicts that are neutral otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from inferkit.gate.outcome import Verdict

ALL = "all"
# What was only screened has no baseline of its own machine.
STRICT: Mapping[str, frozenset[Verdict]] = {
    "no_baseline": frozenset({Verdict.NO_BASELINE, Verdict.SCREENED}),
    "unsupported": frozenset({Verdict.UNSUPPORTED}),
    "invalid": frozenset({Verdict.INVALID}),
    "inconclusive": frozenset({Verdict.INCONCLUSIVE}),
}
WORDS = (*STRICT, ALL)


def strict_verdicts(words: Iterable[str]) -> frozenset[Verdict]:
    """The verdicts that fail under these words; `all` is every one. ValueError for a word that is none of WORDS."""
    verdicts: frozenset[Verdict] = frozenset()
    for word in words:
        name = word.strip().lower().replace("-", "_")
        if name not in WORDS:
            raise ValueError(f"{word!r} is none of {', '.join(WORDS)}")
        verdicts |= frozenset().union(*STRICT.values()) if name == ALL else STRICT[name]
    return verdicts
