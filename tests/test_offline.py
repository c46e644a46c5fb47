"""Nothing is fetched: loading, calibrating, building, running and a whole suite work where no socket can be opened."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.suite.tiny_project import make_project, write_files

# Python's own audit events tell of every socket that Python opens, by whatever library. Libraries that are not Python
# are cut off too, where this process may make a network of its own (Linux, as root or with user namespaces), in which
# not even the loopback interface is up; its children are cut off with it.
CUT_OFF = """
import ctypes, sys

def refuse(event, arguments):
    opened = event == "socket.__new__" and arguments[1] != 1  # 1 is AF_UNIX
    if opened or event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"):
        raise AssertionError(f"reached for the network: {event} {arguments}")

sys.addaudithook(refuse)
NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
libc.unshare(NEW_NETWORK) == 0 or libc.unshare(NEW_USER | NEW_NETWORK)
"""

ROUND = """
import inferkit
from inferkit.data import open_dataset

network = inferkit.load("lenet")
with open_dataset("fashion_mnist") as dataset:
    images = next(iter(dataset.batches(8, limit=8))).images.astype("float32") / 256
reduced = inferkit.at_precision(network, "int8", calibration=[images], method="max")
for each in (network, reduced):
    with inferkit.build(each, backend="onnxruntime", max_batch=8, warm_start=True).session() as session:
        assert session.run(images)["prob"].shape == (8, 10)
"""

SUITE = """
import pytest

sys.exit(pytest.main(["bench", "-p", "no:cacheprovider", "--replicates=1", "--benchmark-json=run.json"]))
"""


def cut_off(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The code in a Python that has no network."""
    environment = make_project(folder, folder.parent / "files").environment(INFERKIT_CACHE=str(folder.parent / "cache"))
    return subprocess.run(
        [sys.executable, "-c", CUT_OFF + code], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def test_a_whole_round_needs_no_network(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    write_files(tmp_path / "files")
    done = cut_off(ROUND, tmp_path / "round")
    assert done.returncode == 0, done.stderr
    done = cut_off(SUITE, tmp_path / "suite")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "suite" / "run.json").exists()


def test_what_reaches_for_the_network_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    done = cut_off('import socket\nsocket.create_connection(("127.0.0.1", 9), 1)', tmp_path / "probe")
    assert "reached for the network" in done.stderr
