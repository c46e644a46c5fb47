"""From a network to an InferenceSession: built afresh, or from an optimized model stored earlier (a warm start)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from inferkit.backends.onnxruntime.settings import Settings
from inferkit.cache import cache_dir
from inferkit.errors import BackendError, BackendUnavailable
from inferkit.files import write_atomically
from inferkit.network.as_written import reason_of
from inferkit.network.network import Network
from inferkit.precision.rewrite.nodes import attribute

_LOG = logging.getLogger("inferkit.onnxruntime")
_PROTOBUF_LIMIT = 2_000_000_000  # a protobuf message ends at 2 GiB; beyond it weights go into a file of their own


@dataclass(frozen=True, eq=False)
class BuiltSession:
    """An InferenceSession, and what making it took. `stored_bytes` is the optimized model's size where it is stored."""

    session: Any
    build_seconds: float
    from_cache: bool = False
    stored_bytes: int | None = None


def build_session(
    network: Network, settings: Settings, *, profile: Path | None = None, spent: float = 0.0
) -> BuiltSession:
    """Create the session with the graph optimized; `spent` seconds went into the graph before, and count as its build.

    BackendError with ONNX Runtime's words where it refuses.
    """
    start = time.perf_counter()
    session = _create(network, settings, settings.options(profile=profile))
    return BuiltSession(session, time.perf_counter() - start + spent)


def warm_session(network: Network, settings: Settings, folder: Path | None = None, spent: float = 0.0) -> BuiltSession:
    """As `build_session`, with the optimized model kept in `folder` (default: the cache) for the next time.

    `build_seconds` is always that of the real build. A stored model that cannot be read is built anew. Where it cannot
    be stored (a full disk, a folder that is read-only) the session is as good, and a warning is logged.
    """
    try:
        stored = (folder or cache_dir("onnxruntime")) / f"{_key(network, settings)}.onnx"
        _sweep(stored.parent)
        return _opened(stored, settings) or _stored(network, settings, stored, spent)
    except (OSError, BackendError, NotImplementedError) as error:  # the last: a file system that has no locks
        return _unstored(network, settings, spent, error)


def _opened(stored: Path, settings: Settings) -> BuiltSession | None:
    """The model that is stored; None where there is none yet, or a damaged one."""
    try:
        seconds = float(json.loads(_note(stored).read_text(encoding="utf-8"))["build_seconds"])
        session = _open(str(stored), settings, settings.options(optimized=True))
        return BuiltSession(session, seconds, True, stored.stat().st_size)
    except (OSError, ValueError, KeyError, TypeError, BackendError):
        return None


def _note(stored: Path) -> Path:
    return stored.with_suffix(".json")


def _unstored(network: Network, settings: Settings, spent: float, reason: Exception) -> BuiltSession:
    """Built for this process alone. Where the network itself was at fault, its BackendError comes again."""
    built = build_session(network, settings, spent=spent)
    _LOG.warning("%s: the optimized model cannot be stored, so the next start is slow too: %s", network.name, reason)
    return built


def _stored(network: Network, settings: Settings, stored: Path, spent: float) -> BuiltSession:
    """Build, and store the optimized model and how long it took, whole or not at all.

    Where another process is at it, that one's model is waited for and opened.
    """
    stored.parent.mkdir(parents=True, exist_ok=True)
    with _writing(stored.parent, stored.stem) as scratch:
        found = _opened(stored, settings)
        if found is not None:
            return found
        part = scratch / "model.onnx"
        start = time.perf_counter()
        session = _create(network, settings, settings.options(save=part))
        seconds = time.perf_counter() - start + spent
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, stored)
        note = {"build_seconds": seconds, "network": network.name}
        write_atomically(_note(stored), json.dumps(note).encode())
        return BuiltSession(session, seconds, False, stored.stat().st_size)


def _create(network: Network, settings: Settings, options: Any) -> Any:
    disabled = _broken_optimizers(network.model)
    if network.model.ByteSize() < _PROTOBUF_LIMIT:
        return _open(network.model.SerializeToString(), settings, options, network.name, disabled)
    with tempfile.TemporaryDirectory(prefix="inferkit-onnx-") as scratch:
        path = Path(scratch, "model.onnx")
        copy = onnx.ModelProto()
        copy.CopyFrom(network.model)  # saving with external data changes the model that is saved
        onnx.save_model(copy, path, save_as_external_data=True, all_tensors_to_one_file=True, location="weights")
        return _open(str(path), settings, options, network.name, disabled)


def _broken_optimizers(model: onnx.ModelProto) -> list[str]:
    """Optimizers of ONNX Runtime 1.32 that must not see this graph, by name.

    MatMulAddFusion moves Q/DQ pairs past a reshape, from operator set 21 on with an output type that the later change
    from signed to unsigned codes contradicts: the graph is refused. MatmulTransposeFusion ends the process with a
    segmentation fault on a transposition before a product of half tensors of three axes (attention). The fusions of
    layer normalization pass over casts, and give one operator inputs of two types.
    """
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    broken = []
    if opset >= 21 and any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        broken.append("MatMulAddFusion")
    if _has_half(model):
        broken += ["MatmulTransposeFusion", "LayerNormFusionL1", "LayerNormFusionL2", "SimplifiedLayerNormFusion"]
    return broken


def _has_half(model: onnx.ModelProto) -> bool:
    halves = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    return (
        any(tensor.data_type in halves for tensor in model.graph.initializer)
        or any(value.type.tensor_type.elem_type in halves for value in model.graph.input)
        or any(attribute(node, "to") in halves for node in model.graph.node if node.op_type == "Cast")
    )


def _open(model: str | bytes, settings: Settings, options: Any, name: str = "", disabled: Sequence[str] = ()) -> Any:
    import onnxruntime as ort

    absent = [provider for provider in settings.providers if provider not in ort.get_available_providers()]
    if absent:
        raise BackendUnavailable(
            f"this ONNX Runtime has no {', '.join(absent)}, only {', '.join(ort.get_available_providers())}",
            "install the package of ONNX Runtime that brings it",
        )
    try:
        session = ort.InferenceSession(
            model, options, providers=list(settings.providers), disabled_optimizers=list(disabled) or None
        )
    except Exception as error:  # its exceptions have no common class below Exception
        raise BackendError(
            f"ONNX Runtime {ort.__version__} cannot build {name or model!r}: {reason_of(error)}"
        ) from error
    session.disable_fallback()  # a failing run shall fail, not be repeated on another provider
    return session


def _key(network: Network, settings: Settings) -> str:
    """Content of the model, ONNX Runtime's version, the CPU's abilities (layouts depend on them), the settings."""
    import onnxruntime as ort

    parts = [network.digest, ort.__version__, *settings.key(), platform.machine(), _cpu()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    wanted = ("flags", "Features", "model name")
    return "\n".join(sorted({line for line in text.splitlines() if line.startswith(wanted)}))


_PREFIX = ".building-"


@contextlib.contextmanager
def _writing(folder: Path, key: str) -> Iterator[Path]:
    """Hold the entry `key` of `folder`; yields a hidden folder beside it, gone afterwards, to build in.

    Another process (or thread) that holds it is waited for. The system frees the lock when its holder dies. OSError
    where the folder cannot be written to.
    """
    with _lock(folder, key), tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{key}-", dir=folder) as scratch:
        yield Path(scratch)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left in `folder`. What a living one is building is its own: it holds the lock."""
    building = [(path.name.removeprefix(_PREFIX).partition("-")[0], path) for path in folder.glob(f"{_PREFIX}*-*")]
    notes = [(path.name[1:].partition(".")[0], path) for path in folder.glob(".*.json.*.tmp")]
    for key, left in building + notes:
        # A lock that is taken, a folder that is read-only, a file system without locks: it stays where it is.
        with contextlib.suppress(OSError, NotImplementedError), _lock(folder, key, timeout=0):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def _lock(folder: Path, key: str, timeout: float = -1) -> contextlib.AbstractContextManager[Any]:
    from filelock import FileLock  # only sessions that store their model need it

    return FileLock(folder / f"{key}.lock", timeout=timeout)
