"""`inferkit serve` and `serve-bench` with an engine file: it says itself how it runs, and is not built again."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import pytest

import inferkit
from inferkit.backends import backend
from inferkit.cli.main import main
from inferkit.cli.serving import add_served_model, settle
from inferkit.errors import EngineError, NetworkError, UsageError

pytestmark = pytest.mark.tensorrt_rtx


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LeNet in FP16 for batches of 2 to 6."""
    path = tmp_path_factory.mktemp("engines") / "lenet.plan"
    options = ["--precision", "fp16", "--min-batch", "2", "--max-batch", "6", "--target", "sm89", "--no-cache"]
    assert main(["build", "lenet", *options, "-o", str(path)]) == 0
    return path


def settled(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_served_model(parser)
    args = parser.parse_args(words)
    settle(args)
    return args


def test_backend_precision_and_batch_are_the_engine_s_own(plan: Path) -> None:
    args = settled(str(plan))
    assert (args.backend, args.precision, args.max_batch) == ("tensorrt", "fp16", 6)
    assert settled(str(plan), "--max-batch", "4", "--precision", "HALF").max_batch == 4
    other = settled("lenet")
    assert (other.backend, other.precision, other.max_batch) == ("onnxruntime", "fp32", 32)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--backend", "onnxruntime"), "an engine of tensorrt"),
        (("--precision", "int8"), "an engine of fp16"),
        (("--max-batch", "7"), "batches of 2 to 6"),
        (("--max-batch", "1"), "batches of 2 to 6"),
        (("--keep", "conv1", "--calibration", "x"), "an engine file: --keep, --calibration cannot change it"),
        (("--uint8-input", "--mean", "3"), "an engine file: --uint8-input, --mean cannot change it"),
        (("-w", "lenet.caffemodel"), "an engine file: --weights cannot change it"),
    ],
)
def test_options_that_do_not_fit_it_are_refused(plan: Path, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        settled(str(plan), *words)


def test_a_damaged_one_is_named(plan: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "lenet.plan"
    damaged.write_bytes(plan.read_bytes()[:1000])
    shutil.copy(f"{plan}.json", f"{damaged}.json")
    with pytest.raises(EngineError, match="truncated"):
        settled(str(damaged))


@pytest.mark.parametrize("command", [("serve",), ("serve-bench", "--scenario", "offline")])
def test_without_a_gpu_the_reason_is_told(
    plan: Path, command: tuple[str, ...], no_gpu: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command[0], str(plan), *command[1:]]) == 2
    assert "GPU" in capsys.readouterr().err


def test_where_a_network_is_wanted_an_engine_is_called_one(plan: Path) -> None:
    with pytest.raises(NetworkError, match="an engine file, not a network"):
        inferkit.load(plan)


@pytest.fixture
def no_gpu() -> None:
    if backend("tensorrt").availability().ok:
        pytest.skip("there is a GPU")
