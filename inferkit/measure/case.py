"""A case: what one line of the suite measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, order=True)
class Case:
    """model × precision × batch size × backend (× mode: `latency`, one batch at a time, or `throughput`)."""

    model: str
    precision: str
    batch_size: int
    backend: str
    mode: str = "latency"

    @property
    def id(self) -> str:
        """Readable and stable: `lenet-fp32-b1-onnxruntime`; the mode is named where it is not `latency`."""
        name = f"{self.model}-{self.precision}-b{self.batch_size}-{self.backend}"
        return name if self.mode == "latency" else f"{name}-{self.mode}"

    def session_settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What its sessions are opened with: a backend's settings, and the mode where it is not `latency`."""
        return dict(settings) if self.mode == "latency" else {**settings, "mode": self.mode}
