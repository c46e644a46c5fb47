"""A plan on disk: the engine's bytes as any TensorRT tool reads them, and beside them what they are, to be checked."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inferkit.errors import EngineError
from inferkit.files import info_path, write_atomically
from inferkit.network.network import TensorInfo

SCHEMA = 1
_ONNX_FIRST_BYTES = (b"\x08", b"\x0a")  # a protobuf's first field: ir_version, or an embedded message


@dataclass(frozen=True)
class PlanInfo:
    """What is known of a plan. Sizes in bytes, times in seconds; `profile` is smallest, best, largest batch.

    `targets` names compute capabilities (none: portable, or for `tensorrt` the GPU in `gpu`). `comparison` says how far
    the engine agreed with ONNX Runtime after it was built, or why that is not known, `precision_share` which share of
    its work runs in the precision asked for.
    """

    flavour: str
    version: str
    network: str
    network_digest: str
    precision: str
    calibration: str | None
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    profile: tuple[int, int, int]
    static: bool
    targets: tuple[str, ...]
    gpu: Mapping[str, Any] | None
    tf32: bool
    workspace_bytes: int | None
    build_seconds: float
    size_bytes: int
    sha256: str
    inferkit: str
    warnings: tuple[str, ...] = ()
    comparison: str = ""
    precision_share: str = ""
    schema: int = SCHEMA

    def to_json(self) -> bytes:
        """As it lies beside the plan: UTF-8 JSON with sorted keys."""
        return (json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> PlanInfo:
        """Read it back. ValueError where it is not one."""
        fields = json.loads(content)
        if not isinstance(fields, dict):
            raise ValueError("not a JSON object")
        if fields.get("schema") != SCHEMA:
            raise ValueError(f"its schema is {fields.get('schema')!r}, this inferkit reads {SCHEMA}")
        try:
            for name in ("inputs", "outputs"):
                fields[name] = tuple(map(_tensor_info, fields[name]))
            for name in ("profile", "targets", "warnings"):
                fields[name] = tuple(fields[name])
            info = cls(**fields)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"a field is missing or of another kind ({error})") from None
        if type(info.size_bytes) is not int or not isinstance(info.sha256, str):
            raise ValueError(f"size_bytes is {info.size_bytes!r}, sha256 is {info.sha256!r}")
        return info


def _tensor_info(item: Mapping[str, Any]) -> TensorInfo:
    """From JSON; plans of earlier versions name the first dimension only, which was the batch."""
    axes = tuple(item.get("axes", (item.get("first", ""),)))
    return TensorInfo(item["name"], item["dtype"], tuple(item["shape"]), axes, item.get("batch_axis", 0))


@dataclass(frozen=True, eq=False)
class Plan:
    """A built engine's bytes and what they are."""

    content: bytes
    info: PlanInfo


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_plan(path: str | os.PathLike[str], plan: Plan) -> None:
    """Write plan and metadata, each whole or not at all. EngineError where the disk is full or cannot be written."""
    try:
        # The metadata comes last: until it is there, the plan is not accepted.
        write_atomically(path, plan.content)
        write_atomically(info_path(path), plan.info.to_json())
    except OSError as error:
        need = (len(plan.content) + (1 << 20)) // (1 << 20)
        raise EngineError(
            f"{path}: the engine cannot be written ({error.strerror or error}); {need} MiB are needed there: free "
            "some space, choose another place, or set INFERKIT_CACHE"
        ) from error


def read_info(path: str | os.PathLike[str]) -> PlanInfo:
    """The metadata of the plan at `path`. EngineError where there is none, or it is damaged."""
    beside = info_path(path)
    try:
        content = beside.read_bytes()
    except FileNotFoundError:
        raise EngineError(
            f"{path}: its metadata {beside.name} is missing. Loading an engine runs code in it, so only engines whose "
            "origin is known are loaded: build it again with `inferkit build`"
        ) from None
    except OSError as error:
        raise EngineError(f"{beside}: cannot be read ({error.strerror or error})") from error
    try:
        return PlanInfo.from_json(content)
    except ValueError as error:
        raise EngineError(f"{beside}: damaged or foreign metadata ({error}); build the engine again") from error


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """Plan and metadata, once size and checksum agree. EngineError with the reason otherwise."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise EngineError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not content:
        raise EngineError(f"{path}: the file is empty")
    if not info_path(path).exists() and _looks_like_onnx(Path(path), content):
        raise EngineError(f"{path}: this is an ONNX model, not an engine: build one with `inferkit build {path}`")
    info = read_info(path)
    if len(content) != info.size_bytes:
        what = "truncated" if len(content) < info.size_bytes else "too long"
        raise EngineError(f"{path}: {what}, {len(content)} bytes where {info.size_bytes} were written; build it again")
    if sha256(content) != info.sha256:
        raise EngineError(f"{path}: damaged, its SHA-256 is not the one that was written; build it again")
    return Plan(content, info)


def check_fits(
    info: PlanInfo, *, flavour: str, version: str, gpu: Mapping[str, Any] | None = None, where: str = "the engine"
) -> None:
    """EngineError where the plan was built by another flavour or version, or for another GPU than `gpu`.

    `gpu` has the keys `name` and `compute_capability` ("9.0"); None leaves the GPU unchecked.
    """
    if info.flavour != flavour:
        raise EngineError(
            f"{where}: built with {info.flavour} {info.version}, but {flavour} {version} is in use; build it again, "
            f"or choose the flavour with INFERKIT_TENSORRT={info.flavour}"
        )
    if info.version != version:
        raise EngineError(
            f"{where}: built with {info.flavour} {info.version}, but {version} is installed, and engines are not "
            "exchanged between versions; build it again"
        )
    if gpu is None:
        return
    have = str(gpu["compute_capability"])
    wanted = [f"{target[2:-1]}.{target[-1]}" for target in info.targets if target != "current"]
    if wanted and have not in wanted:
        raise EngineError(
            f"{where}: built for compute capability {', '.join(wanted)}, but {gpu['name']} has {have}; build it again "
            "for this one, or without a target"
        )
    if info.gpu and (info.gpu["name"], str(info.gpu["compute_capability"])) != (gpu["name"], have):
        raise EngineError(
            f"{where}: built on {info.gpu['name']} (compute capability {info.gpu['compute_capability']}), but this is "
            f"{gpu['name']} ({have}); build it again here"
        )


def _looks_like_onnx(path: Path, content: bytes) -> bool:
    if path.suffix.lower() == ".onnx":
        return True
    if not content.startswith(_ONNX_FIRST_BYTES):
        return False
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError):
        return False
    return bool(model.ir_version and model.graph.node)
