"""The cache's folder follows the environment, and says so where it cannot be made."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferkit.cache import cache_dir, cache_root
from inferkit.errors import InferkitError


def test_the_variable_wins_over_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("INFERKIT_CACHE", raising=False)
    assert cache_root() == tmp_path / "xdg" / "inferkit"
    monkeypatch.setenv("INFERKIT_CACHE", str(tmp_path / "mine"))
    assert cache_dir("a", "b") == tmp_path / "mine" / "a" / "b"
    assert (tmp_path / "mine" / "a" / "b").is_dir()


def test_a_cache_that_cannot_be_made_names_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("INFERKIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(InferkitError, match="INFERKIT_CACHE"):
        cache_dir("a")
