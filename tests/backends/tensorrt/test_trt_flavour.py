"""Choosing a flavour, and what each of them can do."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from inferkit.backends.gpus import driver_problem
from inferkit.backends.tensorrt import flavour as module
from inferkit.backends.tensorrt.flavour import USED, USED_OF_RTX, Flavour, chosen_flavour, load_flavour
from inferkit.errors import BackendUnavailable, UsageError


def rtx_of_version(rtx: Flavour, version: str) -> Flavour:
    """The real library under another version number: what is asked is only arithmetic on the number."""
    return Flavour("tensorrt_rtx", SimpleNamespace(**{**vars(rtx.module), "__version__": version}))


def test_explicit_choice_wins_over_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERKIT_TENSORRT", "tensorrt")
    assert chosen_flavour() == "tensorrt"
    assert chosen_flavour("tensorrt_rtx") == "tensorrt_rtx"


def test_nothing_chosen_leaves_it_to_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INFERKIT_TENSORRT", raising=False)
    assert chosen_flavour() is None


def test_unknown_flavour_is_refused_with_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERKIT_TENSORRT", "tensort")
    with pytest.raises(UsageError, match=r"tensort.*INFERKIT_TENSORRT.*tensorrt, tensorrt_rtx"):
        load_flavour()


@pytest.mark.tensorrt_rtx
def test_chosen_but_missing_flavour_is_not_replaced_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        import tensorrt  # noqa: F401

        pytest.skip("tensorrt is installed here")
    except ImportError:
        pass
    monkeypatch.setenv("INFERKIT_TENSORRT", "tensorrt")
    with pytest.raises(BackendUnavailable, match=r"tensorrt cannot be imported.*pip install"):
        load_flavour()


def test_the_whole_api_that_is_used_is_there(rtx: Flavour) -> None:
    for table in (USED, USED_OF_RTX):
        for name, members in table.items():
            missing = [member for member in members if not hasattr(getattr(rtx.module, name), member)]
            assert not missing, f"{name} lacks {missing}"


def test_every_class_that_is_taken_from_the_library_is_in_the_table() -> None:
    sources = [path.read_text() for path in Path(module.__file__).parent.rglob("*.py")]
    taken = {name for text in sources for name in re.findall(r"\bmodule\.([A-Z]\w+)", text)}
    assert {"Builder", "IProgressMonitor"} <= taken <= {*USED, *USED_OF_RTX}


def test_networks_are_strongly_typed(rtx: Flavour) -> None:
    builder = rtx.module.Builder(rtx.logger)
    network = rtx.create_network(builder)
    assert network.get_flag(rtx.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_is_set_or_cleared_never_left(rtx: Flavour, tf32: bool) -> None:
    config = rtx.module.Builder(rtx.logger).create_builder_config()
    rtx.configure(config, tf32=tf32, workspace=1 << 25, targets=())
    assert config.get_flag(rtx.module.BuilderFlag.TF32) is tf32
    assert config.get_memory_pool_limit(rtx.module.MemoryPoolType.WORKSPACE) == 1 << 25


def test_a_version_that_is_strict_only_by_its_environment_asks_for_it(
    rtx: Flavour, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = rtx_of_version(rtx, "1.4.0.76")
    assert old.environment("fp32") == {"NVIDIA_TF32_OVERRIDE": "0"}
    assert rtx_of_version(rtx, "1.6.1.120").environment("fp32") == {"NVIDIA_TF32_OVERRIDE": "0"}
    assert old.environment("tf32") == old.environment("fp16") == {}
    assert rtx_of_version(rtx, "1.7.1.116").environment("fp32") == {}
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert old.caveats("fp32") == ()


def test_a_version_that_cannot_be_strict_says_so(rtx: Flavour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    (caveat,) = rtx_of_version(rtx, "1.4.0.76").caveats("fp32")
    assert "TF32" in caveat
    assert "NVIDIA_TF32_OVERRIDE=0" in caveat
    assert rtx_of_version(rtx, "1.4.0.76").caveats("tf32") == ()
    assert rtx_of_version(rtx, "1.7.1.116").caveats("fp32") == ()


def test_tf32_that_the_environment_forbids_says_so(rtx: Flavour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    (caveat,) = rtx.caveats("tf32")
    assert "computed in FP32; unset it" in caveat
    assert rtx.caveats("fp16") == ()


def test_errors_of_something_else_are_not_told(rtx: Flavour) -> None:
    rtx.recorder.forget()
    rtx.recorder.record("ERROR", "an earlier build failed")
    rtx.recorder.forget()
    assert rtx.recorder.last_errors() == " (TensorRT logged no error)"
    rtx.recorder.record("ERROR", "no memory")
    assert rtx.recorder.last_errors() == ": no memory"
    assert rtx.recorder.last_errors() == " (TensorRT logged no error)"


def test_targets_reach_the_builder(rtx: Flavour) -> None:
    config = rtx.module.Builder(rtx.logger).create_builder_config()
    rtx.configure(config, tf32=False, workspace=None, targets=("sm86", "sm89"))
    capability = rtx.module.ComputeCapability
    assert [config.get_compute_capability(index) for index in range(2)] == [capability.SM86, capability.SM89]


def test_unknown_targets_are_refused_with_the_known_ones(rtx: Flavour) -> None:
    with pytest.raises(UsageError, match=r"sm90.*sm89"):
        rtx.check_targets(("sm90",))
    with pytest.raises(UsageError, match="alone"):
        rtx.check_targets(("current", "sm89"))


@pytest.mark.parametrize(
    "version, precision, capability, reason",
    [
        ("1.4.0.76", "fp16", (9, 0), None),
        ("1.4.0.76", "int8", (9, 0), "no INT8 convolutions"),
        ("1.6.1.120", "int8", None, "no INT8 convolutions"),
        ("1.5.0.114", "fp8", (9, 0), "crashes on FP8"),
        ("1.6.1.120", "fp8", (8, 9), None),
        ("1.6.1.120", "fp8", (8, 6), "8.9 or newer"),
        ("1.7.1.116", "int8", (8, 9), None),
        ("1.7.1.116", "fp32", (9, 0), "this GPU has 9.0; 1.6.1.120 runs there"),
        ("1.7.1.116", "fp32", (7, 0), "this GPU has 7.0"),
        ("1.4.0.76", "fp32", (7, 0), "does not run on compute capability 7.0"),
    ],
)
def test_what_a_version_of_rtx_refuses(
    rtx: Flavour, version: str, precision: str, capability: tuple[int, int] | None, reason: str | None
) -> None:
    refusal = rtx_of_version(rtx, version).refusal(precision, capability)
    assert refusal is None if reason is None else reason in str(refusal)


def test_a_driver_older_than_the_libraries_is_named() -> None:
    assert driver_problem("13.0", 13) is None
    assert driver_problem("13.0", 12) is None
    assert driver_problem("12.8", None) is None
    assert "12.8, too old for libraries built for CUDA 13" in str(driver_problem("12.8", 13))


def test_the_cuda_version_of_the_libraries_is_read_from_their_package(rtx: Flavour) -> None:
    assert rtx.cuda_major in (12, 13)


def test_one_flavour_object_per_process(rtx: Flavour) -> None:
    assert module.load_flavour("tensorrt_rtx") is rtx
