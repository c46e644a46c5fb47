"""How fast a network could run at best: its operations over the card's peak, its bytes over the card's bandwidth.

No engine runs faster than the larger of the two times. Only what every execution must do is counted: multiplications
and additions of convolutions and inner products, each weight, input and output once. Activations may stay in caches,
and copies between host and device are no part of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

from inferkit.precision.work.operations import bytes_of, operations_of, weights_of
from inferkit.precision.work.scope import scope_of

if TYPE_CHECKING:
    from inferkit.network.network import Network

_BYTES = {"fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2, "int8": 1, "fp8": 1}


@dataclass(frozen=True)
class Work:
    """What one image costs: operations (2 per multiply-accumulate), and the number of weights, inputs and outputs.

    `stored_bytes` of the weights, where it is known: fewer than the precision says where they are quantized alone.
    """

    operations: int
    weights: int
    inputs: int
    outputs: int
    stored_bytes: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Card:
    """Peak rates of a GPU by its data sheet: dense operations per second by precision, and bytes per second."""

    operations: Mapping[str, float]
    bandwidth: float


@dataclass(frozen=True)
class Limit:
    """The floor of one batch in seconds: the larger of `operations` and `bytes`, and which it is."""

    operations: float
    bytes: float
    seconds: float
    bound_by: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _card(bandwidth: float, fp32: float, tf32: float | None, half: float, int8: float, fp8: float | None) -> Card:
    """Rates in 10^12 and bandwidth in 10^9 bytes per second. A precision without units of its own runs in the next."""
    rates = {"fp32": fp32, "tf32": tf32 or fp32, "fp16": half, "bf16": half, "int8": int8, "fp8": fp8 or half}
    return Card({name: rate * 1e12 for name, rate in rates.items()}, bandwidth * 1e9)


# NVIDIA's data sheets, dense (no sparsity), boost clock. INT8 of V100 is DP4A; it has no tensor cores for it.
CARDS: tuple[tuple[str, Card], ...] = (
    (r"H200", _card(4800, 66.9, 494.7, 989.4, 1978.9, 1978.9)),
    (r"H100 (80GB HBM3|SXM).*", _card(3350, 66.9, 494.7, 989.4, 1978.9, 1978.9)),
    (r"H100 PCIe", _card(2000, 51.2, 378.0, 756.0, 1513.0, 1513.0)),
    (r"A100-SXM4-80GB", _card(2039, 19.5, 156.0, 312.0, 624.0, None)),
    (r"A100 80GB PCIe", _card(1935, 19.5, 156.0, 312.0, 624.0, None)),
    (r"A100-(SXM4|PCIE)-40GB", _card(1555, 19.5, 156.0, 312.0, 624.0, None)),
    (r"L40S", _card(864, 91.6, 183.0, 362.0, 733.0, 733.0)),
    (r"L4", _card(300, 30.3, 60.0, 121.0, 242.0, 242.0)),
    (r"A10", _card(600, 31.2, 62.5, 125.0, 250.0, None)),
    (r"T4", _card(320, 8.1, None, 65.0, 130.0, None)),
    (r"V100-SXM2.*", _card(900, 15.7, None, 125.0, 62.8, None)),
    (r"GeForce RTX 4090", _card(1008, 82.6, 82.6, 165.2, 660.6, 330.3)),
)


def card_of(gpu_name: str | None) -> Card | None:
    """The peak rates of a GPU by the name that NVML gives; None for one that is not in the table."""
    bare = re.sub(r"^(NVIDIA|Tesla)\s+", "", gpu_name or "").removeprefix("Tesla ")
    return next((card for pattern, card in CARDS if re.fullmatch(pattern, bare)), None)


def limit_of(work: Work, precision: str, batch: int, card: Card) -> Limit:
    """The floor of one batch on a card. Inputs and outputs count as float32, which they are by default."""
    operations = work.operations * batch / card.operations[precision]
    weights = work.weights * _BYTES[precision]
    weights = weights if work.stored_bytes is None else min(weights, work.stored_bytes)
    moved = weights + (work.inputs + work.outputs) * batch * 4
    seconds = moved / card.bandwidth
    bound_by = "operations" if operations >= seconds else "bytes"
    return Limit(operations, seconds, max(operations, seconds), bound_by)


def work_of(network: Network) -> Work:
    """Count the work of one image, as operations.py counts. Layers whose shapes cannot be inferred are not counted."""
    scope, batch = scope_of(network), fixed_batch(network)
    counted = [(node, operations_of(node, scope)) for node in scope.nodes]
    weights = {
        id(tensor): tensor
        for node, operations in counted
        if operations is not None
        for tensor in weights_of(node, scope, factors_only=True)
    }.values()
    inputs, outputs = (
        sum(prod(shape) for info in infos if (shape := scope.shape(info.name)) is not None) // batch
        for infos in (network.inputs, network.outputs)
    )
    return Work(
        sum(operations // batch for _, operations in counted if operations is not None),
        sum(prod(tensor.dims) for tensor in weights),
        inputs,
        outputs,
        sum(map(bytes_of, weights)),
    )


def fixed_batch(network: Network) -> int:
    """The batch that the network is fixed to; 1 where it is open. What is counted is of that many."""
    return next((info.batch for info in network.inputs if info.batch is not None), 1)
