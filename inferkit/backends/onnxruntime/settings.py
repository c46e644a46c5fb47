"""How ONNX Runtime is set up: threads, graph optimization, memory; one value object and what it becomes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.backends.cores import cpu_flags, usable_cores
from inferkit.errors import UsageError

if TYPE_CHECKING:
    import onnxruntime

OPTIMIZATIONS = ("none", "basic", "extended", "all")
OPTIMIZED = "optimized.onnx"
CPU = "CPUExecutionProvider"
_VNNI = {"avx512_vnni", "avx_vnni", "avx_vnni_int8"}


@dataclass(frozen=True)
class Settings:
    """Everything that decides how a session runs.

    `threads` work on one operator (None: the physical cores that are ours), `inter_op` on different branches of the
    graph at once (1: one after the other). `arena` keeps freed memory, `mem_pattern` plans it in one block once the
    shapes are known; both cost memory and save time. `spinning` lets idle threads wait actively: faster, and a loss
    where other work wants the cores. `fuse_quantized` False computes Q/DQ pairs one by one, in floating point.
    """

    threads: int | None = None
    inter_op: int = 1
    optimization: str = "all"
    arena: bool = True
    mem_pattern: bool = True
    spinning: bool = True
    fuse_quantized: bool = True
    providers: tuple[str, ...] = (CPU,)

    def __post_init__(self) -> None:
        if self.optimization not in OPTIMIZATIONS:
            raise UsageError(f"unknown graph optimization {self.optimization!r}; there are {', '.join(OPTIMIZATIONS)}")
        for name in ("threads", "inter_op"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise UsageError(f"{name} is {value!r}; it is a number of threads, at least 1")
        if isinstance(self.providers, str) or not self.providers:
            raise UsageError("providers is a list of names of execution providers, at least one")
        object.__setattr__(self, "providers", tuple(self.providers))

    @property
    def intra_op(self) -> int:
        """Threads of one operator, decided."""
        return self.threads or usable_cores()

    def options(self, *, save: Path | None = None, optimized: bool = False, profile: Path | None = None) -> Any:
        """ONNX Runtime's SessionOptions. `save`: where to write the optimized model; `optimized`: it is one already.

        `profile`: an empty folder that takes the profile and, as OPTIMIZED, the optimized graph without weights.
        """
        import onnxruntime as ort

        levels = {
            "none": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
            "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
            "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
            "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
        }
        options: onnxruntime.SessionOptions = ort.SessionOptions()
        options.log_severity_level = 4  # errors come back as exceptions; printing them too would say them twice
        options.graph_optimization_level = levels["none" if optimized else self.optimization]
        options.intra_op_num_threads = self.intra_op
        options.inter_op_num_threads = self.inter_op
        if self.inter_op > 1:
            options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
        options.enable_cpu_mem_arena = self.arena
        options.enable_mem_pattern = self.mem_pattern
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if self.spinning else "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "1" if self.spinning else "0")
        if not self.fuse_quantized:
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        if not cpu_flags() & _VNNI:
            # Without VNNI the kernel of unsigned by signed bytes sums pairs in 16 bits, which overflow.
            options.add_session_config_entry("session.x64quantprecision", "1")
        if save is not None:
            options.optimized_model_filepath = str(save)
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(profile / "profile")
            if self.providers == (CPU,):  # others may compile nodes, and such a graph cannot be stored
                options.optimized_model_filepath = str(profile / OPTIMIZED)
                # Its weights are not wanted: they can be as large as the model.
                (profile / "weights").symlink_to(os.devnull)
                options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights")
                options.add_session_config_entry(
                    "session.optimized_model_external_initializers_min_size_in_bytes", "64"
                )
        return options

    def key(self) -> Sequence[str]:
        """What an optimized model depends on beside the model, the library and the CPU."""
        return (self.optimization, str(self.fuse_quantized), *self.providers)
