"""The zoo's files: written whole, kept in the cache, written again when damaged, safe for two processes at once."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from pathlib import Path

import pytest

import inferkit
from inferkit.cache import VARIABLE, CacheError
from inferkit.errors import UsageError
from inferkit.network import zoo
from inferkit.network.caffe.files.read import read_caffemodel, read_prototxt
from inferkit.network.zoo.store import TRAINED

NAME = "squeezenet1_1"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of the test's own."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_both_files_are_written_to_a_new_folder(tmp_path: Path) -> None:
    prototxt, model = zoo.write(NAME, tmp_path / "new" / "folder")
    assert prototxt.read_text() == zoo.prototxt(NAME)
    assert sorted(path.name for path in prototxt.parent.iterdir()) == [f"{NAME}.caffemodel", f"{NAME}.prototxt"]
    stored = {layer.name for layer in read_caffemodel(model).net.layer}
    assert stored == {layer.name for layer in zoo.build(NAME).layers if layer.blobs}


def test_the_cached_files_are_those_that_write_writes(cache: Path, tmp_path: Path) -> None:
    source = zoo.files(NAME)
    assert cache in source.prototxt.parents
    assert source.caffemodel is not None
    prototxt, model = zoo.write(NAME, tmp_path)
    assert source.prototxt.read_bytes() == prototxt.read_bytes()
    assert source.caffemodel.read_bytes() == model.read_bytes()


def test_cached_files_are_not_written_twice(cache: Path) -> None:
    model = zoo.files(NAME).caffemodel
    assert model is not None
    written = model.stat().st_mtime_ns, model.stat().st_ino
    assert zoo.files(NAME).caffemodel == model
    assert (model.stat().st_mtime_ns, model.stat().st_ino) == written


@pytest.mark.parametrize("damage", ["truncated", "one bit", "removed", "record removed", "record damaged", "prototxt"])
def test_damaged_files_in_the_cache_are_made_anew(cache: Path, damage: str) -> None:
    source = zoo.files(NAME)
    model = source.caffemodel
    assert model is not None
    content, record = model.read_bytes(), model.with_suffix(".json")
    if damage == "truncated":
        model.write_bytes(content[:-1])
    elif damage == "one bit":
        model.write_bytes(content[:1000] + bytes([content[1000] ^ 1]) + content[1001:])
    elif damage == "removed":
        model.unlink()
    elif damage == "record removed":
        record.unlink()
    elif damage == "record damaged":
        record.write_text("[1, 2")
    else:
        source.prototxt.write_text("layer {")
    assert zoo.files(NAME) == source
    assert model.read_bytes() == content
    assert source.prototxt.read_text() == zoo.prototxt(NAME)
    assert json.loads(record.read_text())["sha256"] == hashlib.sha256(content).hexdigest()


def _files(barrier: multiprocessing.synchronize.Barrier, answers: multiprocessing.Queue[str]) -> None:
    barrier.wait()
    source = zoo.files(NAME)
    assert source.caffemodel is not None
    answers.put(hashlib.sha256(source.caffemodel.read_bytes()).hexdigest())


def test_processes_that_ask_at_once_all_get_whole_files(cache: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(3), context.Queue()
    processes = [context.Process(target=_files, args=(barrier, answers)) for _ in range(3)]
    for process in processes:
        process.start()
    digests = {answers.get(timeout=120) for _ in processes}
    for process in processes:
        process.join()
    assert len(digests) == 1
    leftovers = [path.name for path in cache.rglob("*") if path.suffix == ".tmp"]
    assert leftovers == []


def test_a_cache_that_cannot_be_written_to_is_named_with_the_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "zoo").write_text("in the way")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(CacheError, match=f"{VARIABLE}"):
        zoo.files(NAME)
    (tmp_path / "zoo").unlink()
    (tmp_path / "zoo" / "recipe-1" / f"{NAME}.caffemodel").mkdir(parents=True)
    with pytest.raises(CacheError, match=f"{NAME}.*{VARIABLE}"):
        zoo.files(NAME)


def test_an_unknown_name_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    for action in (lambda: zoo.write("lenett", tmp_path), lambda: zoo.files("lenett")):
        with pytest.raises(UsageError, match="lenet"):
            action()
    assert list(tmp_path.iterdir()) == []


def test_a_network_loads_by_name_and_knows_its_files(cache: Path) -> None:
    network = inferkit.load(NAME)
    assert (network.name, network.source) == (NAME, zoo.files(NAME))
    assert [(info.name, info.shape) for info in network.inputs] == [("data", (None, 3, 227, 227))]
    assert [info.name for info in network.outputs] == ["prob"]
    assert network.notes == ()


@pytest.mark.parametrize("name", [name for name in zoo.names() if zoo.is_trained(name)])
def test_trained_files_are_the_builder_s_network_with_the_weights_on_the_card(name: str, tmp_path: Path) -> None:
    source, card = zoo.files(name), zoo.card(name)
    assert source.caffemodel is not None
    assert source.prototxt.read_text() == zoo.prototxt(name)
    assert hashlib.sha256(source.caffemodel.read_bytes()).hexdigest() == card["sha256"]
    prototxt, model = zoo.write(name, tmp_path)
    assert prototxt.read_bytes() == source.prototxt.read_bytes()
    assert model.read_bytes() == source.caffemodel.read_bytes()
    shapes = {layer.name: layer.blobs for layer in zoo.build(name).layers if layer.blobs}
    stored = read_caffemodel(model).net.layer
    assert {layer.name: tuple(tuple(blob.shape.dim) for blob in layer.blobs) for layer in stored} == shapes


def test_the_trained_networks_are_small_enough_to_be_stored() -> None:
    assert sum(path.stat().st_size for path in TRAINED.iterdir()) < 8_000_000


def test_only_trained_networks_have_a_card() -> None:
    with pytest.raises(UsageError, match="not trained"):
        zoo.card("vgg16")


def test_the_prototxt_is_readable_by_the_import(tmp_path: Path) -> None:
    prototxt, _ = zoo.write(NAME, tmp_path)
    assert len(read_prototxt(prototxt).layer) == len(zoo.build(NAME).layers) + 1
