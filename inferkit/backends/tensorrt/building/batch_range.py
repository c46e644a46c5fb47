"""The optimization profile: for which batches an engine is built, and for which it is fastest."""

from __future__ import annotations

from dataclasses import dataclass, replace

import onnx

from inferkit.errors import UsageError
from inferkit.network.network import Network, TensorInfo
from inferkit.network.open_dimensions import forget_shapes, require_sizes


@dataclass(frozen=True)
class Profile:
    """Smallest, best and largest batch. `static` fixes the batch in the graph itself, which is fastest."""

    minimum: int
    optimum: int
    maximum: int
    static: bool = False

    def shapes(self, info: TensorInfo) -> tuple[tuple[int, ...], ...]:
        """Minimum, optimum and maximum shape of an input."""
        return tuple(info.shape_at(batch) for batch in (self.minimum, self.optimum, self.maximum))

    def as_list(self) -> list[int]:
        return [self.minimum, self.optimum, self.maximum]


def make_profile(
    network: Network, max_batch: int, min_batch: int | None = None, opt_batch: int | None = None, static: bool = False
) -> Profile:
    """The profile for `network`. The smallest batch is 1 and the best the largest, unless said otherwise.

    UsageError where the numbers make no sense, an input has another dimension open than the batch, or none has a batch
    and there are to be several.
    """
    require_sizes(network.inputs)
    fixed = {info.batch for info in network.inputs if info.batch is not None}
    if all(info.batch_axis is None for info in network.inputs):
        fixed = {1}
    if fixed:
        if fixed != {max_batch}:
            sizes = ", ".join(str(size) for size in sorted(fixed))
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


def _checked(profile: Profile) -> Profile:
    if not 1 <= profile.minimum <= profile.optimum <= profile.maximum:
        raise UsageError(
            f"batches must be 1 <= smallest <= best <= largest, got {profile.minimum}, {profile.optimum}, "
            f"{profile.maximum}"
        )
    return profile


def with_static_batch(network: Network, batch: int) -> Network:
    """`network` with the batch of every input and output fixed; `network` itself is untouched."""
    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    axes = {info.name: info.batch_axis for info in (*network.inputs, *network.outputs)}
    for value in (*model.graph.input, *model.graph.output):
        axis = axes.get(value.name)
        dims = value.type.tensor_type.shape.dim
        if axis is not None and not dims[axis].HasField("dim_value"):
            dims[axis].dim_value = batch
    # Shapes noted for the open batch would contradict the fixed one; they are inferred again by who needs them.
    forget_shapes(model)
    fixed = network.with_model(model)  # whose numbers alone would not show an axis 1 or later
    inputs, outputs = (
        tuple(replace(info, batch_axis=axes[info.name]) for info in infos) for infos in (fixed.inputs, fixed.outputs)
    )
    return replace(fixed, inputs=inputs, outputs=outputs)
