"""The optimization profile: for which batches an engine is built, and for which it is fastest."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from inferkit.errors import UsageError
from inferkit.network.network import Network, TensorInfo
from inferkit.network.open_dimensions import forget_shapes

_EXAMPLE = 224  # in a message, for a dimension that the user has to choose


@dataclass(frozen=True)
class Profile:
    """Smallest, best and largest batch. `static` fixes the batch in the graph itself, which is fastest."""

    minimum: int
    optimum: int
    maximum: int
    static: bool = False

    def shapes(self, info: TensorInfo) -> tuple[tuple[int, ...], ...]:
        """Minimum, optimum and maximum shape of an input whose first dimension is the batch."""
        rest = tuple(dim for dim in info.shape[1:] if dim is not None)
        return tuple((batch, *rest) for batch in (self.minimum, self.optimum, self.maximum))

    def as_list(self) -> list[int]:
        return [self.minimum, self.optimum, self.maximum]


def make_profile(
    network: Network, max_batch: int, min_batch: int | None = None, opt_batch: int | None = None, static: bool = False
) -> Profile:
    """The profile for `network`. The smallest batch is 1 and the best the largest, unless said otherwise.

    UsageError where the numbers make no sense or an input has another dimension open than its first.
    """
    for info in network.inputs:
        if not info.shape:
            raise UsageError(f"input {info.name!r} of {network.name} is a scalar: it has no batch dimension")
        if any(dim is None for dim in info.shape[1:]):
            raise UsageError(_open_besides_the_batch(network, info))
    fixed = {info.shape[0] for info in network.inputs} - {None}
    if fixed:
        if fixed != {max_batch}:
            sizes = ", ".join(str(size) for size in sorted(size for size in fixed if size is not None))
            raise UsageError(f"the batch of {network.name} is fixed at {sizes}: it cannot be built for {max_batch}")
        static = True
    if static:
        if (min_batch or max_batch) != max_batch or (opt_batch or max_batch) != max_batch:
            raise UsageError("a static engine has one batch size: leave out the smallest and the best batch")
        return _checked(Profile(max_batch, max_batch, max_batch, static=True))
    smallest = 1 if min_batch is None else min_batch
    best = max_batch if opt_batch is None else opt_batch
    # A range of one batch size is that size: fixed in the graph it is faster and takes the same batches.
    return _checked(Profile(smallest, best, max_batch, static=smallest == max_batch))


def _open_besides_the_batch(network: Network, info: TensorInfo) -> str:
    stated = ", ".join("?" if dim is None else str(dim) for dim in info.shape)
    example = [info.shape[0] or 1, *(_EXAMPLE if dim is None else dim for dim in info.shape[1:])]
    python, words = str(tuple(example)), ",".join(map(str, example))
    if len(network.inputs) > 1:
        python, words = f"{{{info.name!r}: {python}}}", f"{info.name}={words}"
    return (
        f"input {info.name!r} of {network.name} is [{stated}]: besides the batch it has an open dimension; fix it, "
        f"say at {_EXAMPLE}: inferkit.load(MODEL, input_shape={python}), `inferkit import MODEL --input-shape {words}`"
    )


def _checked(profile: Profile) -> Profile:
    if not 1 <= profile.minimum <= profile.optimum <= profile.maximum:
        raise UsageError(
            f"batches must be 1 <= smallest <= best <= largest, got {profile.minimum}, {profile.optimum}, "
            f"{profile.maximum}"
        )
    return profile


def with_static_batch(network: Network, batch: int) -> Network:
    """`network` with the first dimension of every input and output fixed; `network` itself is untouched."""
    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    constants = {tensor.name for tensor in model.graph.initializer}
    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.name not in constants and dims and not dims[0].HasField("dim_value"):
            dims[0].dim_value = batch
    # Shapes noted for the open batch would contradict the fixed one; they are inferred again by who needs them.
    forget_shapes(model)
    return network.with_model(model)
