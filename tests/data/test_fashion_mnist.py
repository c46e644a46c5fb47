"""The embedded dataset is complete and always the same, also with several processes and after a killed one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inferkit.data import LmdbDataset, open_dataset
from inferkit.data import fashion_mnist as embedded
from inferkit.errors import DataError

OPEN = (
    "from inferkit.data import open_dataset; d = open_dataset('fashion_mnist'); print(len(d), d.labels.sum(), d.source)"
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INFERKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "datasets"


def folders(cache: Path) -> list[str]:
    return sorted(name for name in os.listdir(cache) if not name.endswith(".lock"))


def test_ten_thousand_images_of_ten_classes(cache: Path) -> None:
    dataset = open_dataset("fashion_mnist")
    assert isinstance(dataset, LmdbDataset)
    assert len(dataset) == 10_000
    assert dataset.shape == (1, 28, 28)
    assert np.bincount(dataset.labels).tolist() == [1000] * 10
    assert dataset.labels[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
    images, labels = embedded.read_embedded()
    batch = next(dataset.batches(10_000, dtype="uint8"))
    np.testing.assert_array_equal(batch.images[:, 0], images)
    np.testing.assert_array_equal(batch.labels, labels)
    assert batch.keys[1] == "00000001_t10k-00001"


def test_it_is_built_once(cache: Path) -> None:
    open_dataset("fashion_mnist")
    (folder,) = folders(cache)
    modified = os.stat(cache / folder / "data.mdb").st_mtime_ns
    open_dataset("fashion_mnist")
    assert os.stat(cache / folder / "data.mdb").st_mtime_ns == modified


def test_several_processes_at_once_find_one_whole_dataset(cache: Path) -> None:
    running = [subprocess.Popen([sys.executable, "-c", OPEN], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = {process.communicate()[0] for process in running}
    assert len(said) == 1
    assert said.pop().startswith("10000 45000 ")
    assert len(folders(cache)) == 1


@pytest.mark.parametrize("moment", ["_put_all", "sync_folder"])
def test_a_process_killed_while_building_leaves_nothing_that_is_used(cache: Path, moment: str) -> None:
    # Killed by itself at a known point: while records are written, and between the rename and the end.
    code = (
        "import os, signal\nfrom inferkit.data import open_dataset\nfrom inferkit.data.lmdb import write\n"
        f"original = write.{moment}\n"
        "def killed(*arguments):\n    original(*arguments)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"write.{moment} = killed\nopen_dataset('fashion_mnist')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    leftovers = os.listdir(cache)
    dataset = open_dataset("fashion_mnist")
    assert len(dataset) == 10_000
    assert folders(cache) == [Path(dataset.source).name]
    if moment == "_put_all":
        assert any(name.endswith(".tmp") for name in leftovers)


@pytest.mark.parametrize("length", [0, 5000, 5_000_000])
def test_a_damaged_dataset_is_built_again(cache: Path, length: int) -> None:
    path = Path(open_dataset("fashion_mnist").source)
    os.truncate(path / "data.mdb", length)
    dataset = open_dataset("fashion_mnist")
    assert isinstance(dataset, LmdbDataset)
    assert dataset.labels.sum() == 45_000


def test_where_the_cache_cannot_be_written_the_images_come_from_memory_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("INFERKIT_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="served from memory.*INFERKIT_CACHE"):
        dataset = open_dataset("fashion_mnist")
    assert len(dataset) == 10_000
    assert next(dataset.batches(2)).keys == ("00000000_t10k-00000", "00000001_t10k-00001")


def test_a_full_disk_is_told_and_leaves_nothing(cache: Path) -> None:
    # A file may have 1 MB: the LMDB has 10.
    code = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
    ) + OPEN
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("10000 45000 fashion_mnist")
    assert "served from memory" in done.stderr
    assert folders(cache) == []


def test_damaged_files_of_the_package_are_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_IMAGES", (embedded._IMAGES[0], "0" * 64))
    with pytest.raises(DataError, match="checksum"):
        open_dataset("fashion_mnist")
    monkeypatch.setattr(embedded, "_IMAGES", ("missing.gz", "0" * 64))
    with pytest.raises(DataError, match=r"missing\.gz"):
        embedded.read_embedded()
