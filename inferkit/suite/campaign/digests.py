"""What an engine is made of, in a few digits: equal digits of base and head mean that no software changed it.

Kept in run files and baselines, so that a later run knows of a case what changed before it measures it again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from inferkit.suite.matrix.definition import BackendSettings

_DIGITS = 12


def digest_of_network(facts: Mapping[str, Any]) -> str | None:
    """Of a prepared network by its `facts`; None where an earlier version prepared it, which kept none."""
    digest = facts.get("digest")
    return digest[:_DIGITS] if isinstance(digest, str) else None


def digest_of_settings(settings: BackendSettings, mode: str, injected: Mapping[str, float] | None = None) -> str:
    """Of what an engine is built and run with, and of what was injected to slow it down."""
    content = [settings.build, settings.session, mode, injected or {}]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:_DIGITS]
