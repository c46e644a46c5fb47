"""Building an engine from the options that users give: from the cache where it is there already."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from inferkit.backends.gpus import Gpu, find_gpu
from inferkit.backends.tensorrt.blobs import timing_cache
from inferkit.backends.tensorrt.building.batch_range import make_profile, with_static_batch
from inferkit.backends.tensorrt.building.builder import BuildOptions, build_plan
from inferkit.backends.tensorrt.building.cache import cached_plan, engine_key
from inferkit.backends.tensorrt.engine import TensorRTEngine
from inferkit.backends.tensorrt.flavour import Flavour, load_flavour
from inferkit.backends.tensorrt.plan import Plan
from inferkit.errors import BackendError, BackendUnavailable, UsageError
from inferkit.network.network import Network


@dataclass(frozen=True)
class Wanted:
    """What `build` was asked for; see TensorRTBackend.build."""

    min_batch: int | None = None
    opt_batch: int | None = None
    static: bool = False
    target: str | Iterable[str] | None = None
    flavour: str | None = None
    workspace: int | None = None
    cache: bool = True
    device: int | str | None = None
    timings: bool = True


def build_engine(network: Network, max_batch: int, **options: Any) -> TensorRTEngine:
    """See TensorRTBackend.build. UsageError for options that there are not, or that make no sense together."""
    try:
        wanted = Wanted(**options)
    except TypeError:
        known = ", ".join(Wanted.__dataclass_fields__)
        unknown = ", ".join(sorted(set(options) - set(Wanted.__dataclass_fields__)))
        raise UsageError(f"unknown build options: {unknown}; tensorrt takes {known}") from None
    if wanted.workspace is not None and wanted.workspace <= 0:
        raise UsageError(f"the workspace must be positive, got {wanted.workspace} bytes")
    flavour = load_flavour(wanted.flavour)
    refused = flavour.refusal(network.precision)
    if refused:
        raise BackendUnavailable(refused, "choose another version or flavour of TensorRT")
    _require_signed_codes(network)
    profile = make_profile(network, max_batch, wanted.min_batch, wanted.opt_batch, wanted.static)
    build_options = BuildOptions(profile, normalized_targets(wanted.target), wanted.workspace)
    flavour.check_targets(build_options.targets)
    gpu = _building_gpu(flavour, build_options, wanted.device)
    rewritten = _rewritten(network, wanted, profile.maximum if profile.static else None)

    def build() -> Plan:
        plan = _build(rewritten, flavour, build_options, gpu, wanted.timings)
        return _compared(plan, network, wanted.device)

    if not wanted.cache:
        plan = build()
        return TensorRTEngine(network, plan.info, plan)
    description = gpu.as_dict() if gpu else None
    key = engine_key(rewritten, flavour, build_options, description)
    plan, path, found = cached_plan(key, f"{_slug(network.name)}-{network.precision}-b{max_batch}", build)
    return TensorRTEngine(network, plan.info, path, from_cache=found)


def _require_signed_codes(network: Network) -> None:
    """BackendError for unsigned codes: TensorRT only warns, takes them for signed ones, and computes nonsense."""
    import onnx

    constants = {tensor.name: tensor.data_type for tensor in network.model.graph.initializer}
    for node in network.model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            names = (*node.input[2:3], *(node.input[:1] if node.op_type == "DequantizeLinear" else ()))
            unsigned = any(constants.get(name) == onnx.TensorProto.UINT8 for name in names)
            if unsigned or (node.op_type == "QuantizeLinear" and len(node.input) < 3 and not node.attribute):
                raise BackendError(
                    f"layer {node.name or node.output[0]!r} of {network.name} quantizes to unsigned bytes, which "
                    "TensorRT has not: quantize symmetrically to int8 (inferkit does, from the FP32 network)"
                )


def normalized_targets(target: str | Iterable[str] | None) -> tuple[str, ...]:
    """Compute capabilities as sm89, from sm89, SM89, 8.9 or 89, one or several with commas; sorted, each once."""
    if target is None:
        return ()
    given = [target] if isinstance(target, str) else list(target)
    names = [name for each in given for name in each.split(",")]
    bare = {name.strip().lower().removeprefix("sm").lstrip("_").replace(".", "") for name in names}
    return tuple(sorted(name if not name.isdigit() else f"sm{name}" for name in bare))


def _building_gpu(flavour: Flavour, options: BuildOptions, device: int | str | None) -> Gpu | None:
    """The GPU that the engine is tuned on; None where the flavour builds without looking at one."""
    if flavour.builds_without_gpu and "current" not in options.targets:
        return None
    return find_gpu(device)


def _rewritten(network: Network, wanted: Wanted, static_batch: int | None) -> Network:
    if static_batch is not None and any(None in info.shape for info in network.inputs):
        network = with_static_batch(network, static_batch)
    return network


def _build(network: Network, flavour: Flavour, options: BuildOptions, gpu: Gpu | None, timings: bool) -> Plan:
    if flavour.builds_without_gpu:
        return build_plan(network, flavour, options).plan
    assert gpu is not None
    description = gpu.as_dict()
    with _current(gpu):
        known = timing_cache(flavour, description) if timings else None
        return build_plan(network, flavour, options, gpu=description, timings=known).plan


def _compared(plan: Plan, network: Network, device: int | str | None) -> Plan:
    """The plan, once its outputs were compared and its layers read, where a GPU is there to run it."""
    from inferkit.backends.built_engine import require_agreement

    checked = require_agreement(TensorRTEngine(network, plan.info, plan), network, device=device)
    return replace(plan, info=replace(plan.info, comparison=checked.comparison, precision_share=checked.share))


def _current(gpu: Gpu) -> AbstractContextManager[None]:
    """The builder takes the GPU that is current, by default the first; only another one needs PyCUDA's help."""
    if gpu.index == 0:
        return nullcontext()
    from inferkit.backends.tensorrt.device import open_device

    return open_device(gpu).active()


def _slug(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in ".-_" else "-" for letter in text)[:60] or "network"
