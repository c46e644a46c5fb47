"""Files are replaced whole or left alone."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from inferkit.files import is_special, is_writable, replacing, write_atomically


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


def test_of_a_link_the_file_that_it_names_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "shared.bin", tmp_path / "link.bin"
    target.write_bytes(b"old")
    target.chmod(0o600)
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"new", 0o600)
    target.unlink()
    write_atomically(link, b"made where the link points")
    assert target.read_bytes() == b"made where the link points"
    assert link.is_symlink()
    assert os.listdir(target.parent) == ["shared.bin"]


def test_a_link_to_itself_is_an_error_and_stays(tmp_path: Path) -> None:
    link = tmp_path / "loop"
    link.symlink_to(link)
    with pytest.raises(OSError, match="loop"):
        write_atomically(link, b"new")
    assert link.is_symlink()
    assert not is_writable(link)


def test_a_pipe_is_written_through(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    content = b"more than a pipe holds at once" * 10_000
    write_atomically(pipe, content)
    reader.join()
    assert received == [content]
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_device_and_a_link_to_one_are_written_through(tmp_path: Path) -> None:
    device, link = tmp_path / "null", tmp_path / "link"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        device.write_bytes(b"")
    except PermissionError:
        pytest.skip("making a device needs root, and a file system that allows devices")
    link.symlink_to(device)
    for path in (device, link):
        assert is_special(path)
        assert is_writable(path)
        write_atomically(path, b"gone")
        assert stat.S_ISCHR(device.lstat().st_mode)
    assert sorted(os.listdir(tmp_path)) == ["link", "null"]


def test_what_can_be_written_is_seen_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "file" / "below a file")
    writable = {name: is_writable(tmp_path / name) for name in ("new", "a/b/new", "file", "file/new", "link", ".")}
    assert writable == {"new": True, "a/b/new": True, "file": True, "file/new": False, "link": False, ".": False}
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]


def _write_half(target: Path) -> None:
    with replacing(target) as file:
        file.write(b"half of the new")
        raise KeyboardInterrupt
