"""Files are replaced whole or left alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inferkit.files import replacing, write_atomically


def test_content_in_pieces_takes_the_place_of_the_old(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "file.bin"
    with replacing(target) as file:
        file.write(b"one")
        file.write(b"two")
    assert target.read_bytes() == b"onetwo"
    write_atomically(target, b"three")
    assert target.read_bytes() == b"three"
    assert os.listdir(target.parent) == ["file.bin"]


def test_what_does_not_wait_for_the_disk_is_whole_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file.bin"
    write_atomically(target, b"old")
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    write_atomically(target, b"new", durable=False)
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file.bin"]
    assert not synced
    write_atomically(target, b"newer")
    assert len(synced) == 2, "the file and its folder"


def test_a_writer_that_raises_leaves_the_old_content_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    write_atomically(target, b"old")
    with pytest.raises(KeyboardInterrupt):
        _write_half(target)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_a_replaced_file_keeps_its_mode_and_a_new_one_gets_the_umask_s(tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    old = os.umask(0o027)
    try:
        write_atomically(target, b"new")
    finally:
        os.umask(old)
    assert target.stat().st_mode & 0o777 == 0o640
    target.chmod(0o600)
    write_atomically(target, b"newer")
    assert target.stat().st_mode & 0o777 == 0o600


def _write_half(target: Path) -> None:
    with replacing(target) as file:
        file.write(b"half of the new")
        raise KeyboardInterrupt
