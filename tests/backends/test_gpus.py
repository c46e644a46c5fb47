"""Choosing a GPU by index or UUID. The list of GPUs is given here; reading it from a driver is tested on a GPU."""

from __future__ import annotations

import pytest

from inferkit.backends import gpus as module
from inferkit.backends.gpus import Gpu, find_gpu, narrowed, visible_gpus
from inferkit.errors import BackendUnavailable, UsageError

TWO = (
    Gpu(0, "GPU-aaaaaaaa-1111-2222-3333-444444444444", "NVIDIA H100 80GB HBM3", (9, 0), 80 << 30, "13.0"),
    Gpu(1, "GPU-aaaabbbb-1111-2222-3333-444444444444", "NVIDIA L4", (8, 9), 24 << 30, "13.0"),
)


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "visible_gpus", lambda: TWO)
    monkeypatch.delenv("INFERKIT_GPU", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    "wanted, index",
    [
        (None, 0),
        (0, 0),
        (1, 1),
        ("1", 1),
        (TWO[1].uuid, 1),
        (TWO[1].uuid.upper(), 1),
        ("aaaabbbb", 1),
        ("GPU-aaaaaaaa", 0),
        ("MIG-aaaabbbb", 1),  # what nvidia-smi calls a slice, which CUDA calls a GPU
    ],
)
def test_by_index_or_uuid(wanted: int | str | None, index: int) -> None:
    assert find_gpu(wanted) is TWO[index]


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("wanted", [2, "7", "GPU-cccc", "aaaa", "gpu-", "-1", "first"])
def test_what_is_not_there_or_not_clear_is_refused_with_what_there_is(wanted: int | str) -> None:
    with pytest.raises(UsageError, match=r"0 = GPU-aaaaaaaa.*H100.*1 = GPU-aaaabbbb.*L4"):
        find_gpu(wanted)


@pytest.mark.usefixtures("two")
def test_the_environment_chooses_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERKIT_GPU", TWO[1].uuid)
    assert find_gpu() is TWO[1]
    assert find_gpu(0) is TWO[0]


@pytest.mark.usefixtures("two")
def test_a_process_is_kept_to_the_gpu_that_its_session_would_take(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = TWO[0].uuid, TWO[1].uuid
    assert narrowed() == {"CUDA_VISIBLE_DEVICES": first, "INFERKIT_GPU": first}
    monkeypatch.setenv("INFERKIT_GPU", "1")  # an index, which would mean another GPU where only one is seen
    assert narrowed() == {"CUDA_VISIBLE_DEVICES": second, "INFERKIT_GPU": second}
    assert narrowed("GPU-aaaaaaaa") == {"CUDA_VISIBLE_DEVICES": first, "INFERKIT_GPU": first}


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("wanted", [0, "1", "no such GPU"])
def test_a_process_whose_session_counts_gpus_sees_them_all(wanted: int | str) -> None:
    assert narrowed(wanted) == {}


def test_there_is_nothing_to_hide_where_there_is_one_gpu_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "visible_gpus", lambda: TWO[:1])
    assert narrowed() == {}

    def none() -> tuple[Gpu, ...]:
        raise BackendUnavailable("no NVIDIA GPU is visible")

    monkeypatch.setattr(module, "visible_gpus", none)
    assert narrowed() == {}


@pytest.mark.usefixtures("two")
def test_hidden_gpus_are_hinted_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    with pytest.raises(UsageError, match="CUDA_VISIBLE_DEVICES=3,4 hides others"):
        find_gpu(5)


@pytest.mark.gpu
def test_a_real_driver_lists_its_gpus() -> None:
    try:
        found = visible_gpus()
    except BackendUnavailable as error:
        pytest.skip(error.reason)
    assert [gpu.index for gpu in found] == list(range(len(found)))
    for gpu in found:
        assert gpu.uuid.startswith("GPU-")
        assert gpu.capability >= (5, 0)
        assert gpu.memory_bytes > 1 << 30
        assert find_gpu(gpu.uuid) is gpu
