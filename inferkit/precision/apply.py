"""Applies a precision to a network: prepares the graph, calibrates where needed, and rewrites it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import onnx

from inferkit.errors import PrecisionError, UsageError
from inferkit.network.network import Network
from inferkit.precision.calibration.collect import collect
from inferkit.precision.calibration.image_inputs import Feeds, ImageInputs
from inferkit.precision.calibration.methods import DEFAULT_METHOD, Calibration, calibration_from, method
from inferkit.precision.calibration.ranges import Ranges
from inferkit.precision.calibration.sources import describe, feeds_of, from_path
from inferkit.precision.casts import CastOptions, to_half
from inferkit.precision.comparison.check import require_explained, require_same
from inferkit.precision.halves import HALVES
from inferkit.precision.keeping import keeping_hint
from inferkit.precision.opset import convert
from inferkit.precision.placement import Choices, Placement, place
from inferkit.precision.qdq import FORMATS, INT8, insert
from inferkit.precision.rewrite.feeds import random_feeds
from inferkit.precision.rewrite.fold import prepare, split_normalization
from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.pointwise import products_of_pixels
from inferkit.precision.row_choices import row_choice_notes
from inferkit.precision.work.coverage import coverage_of

_Options = TypeVar("_Options")

_COMPARED_IMAGES = 1  # with which a network at a precision is compared with the network before
_NOT_COMPARED = (
    "not compared with the network before the rewriting: it runs with none of the sizes tried for its inputs"
)


@dataclass(frozen=True)
class QuantizeOptions:
    """Options of int8 and fp8.

    `method`: max, entropy, percentile, percentile:SHARE or mse; by default mse for int8, and max for fp8, whose
    steps grow with the values, so that there is little to gain by clipping. `images`: how many to calibrate with; by
    default 500 of a dataset, and all of any other source. `batch_size` and `preprocessing` are handed to a dataset.
    `exclude`: layers to leave out, by name or pattern. `first_layer`, `last_layer`: whether the layers next to input
    and output are quantized; by default all are, but for fp8 no convolution of an image (of fewer than 16 channels)
    beside other layers. `residual`: whether the skip branch of an addition is. `threads`: ONNX Runtime's while it
    calibrates, 0 for its own choice.
    """

    method: str | None = None
    images: int | None = None
    batch_size: int = 32
    preprocessing: Any = None
    exclude: Sequence[str] = ()
    first_layer: bool | None = None
    last_layer: bool = True
    residual: bool = True
    threads: int = 0

    def __post_init__(self) -> None:
        if self.method is not None:
            method(self.method)  # a wrong name is an error before images run for minutes
        if self.batch_size < 1 or (self.images is not None and self.images < 1):
            raise UsageError(f"images ({self.images}) and batch_size ({self.batch_size}) must be at least 1")

    def choices(self, precision: str) -> Choices:
        """Where to quantize; no kernel pools in FP8."""
        is_int8 = precision == "int8"
        images = is_int8 if self.first_layer is None else self.first_layer
        return Choices(self.exclude, self.first_layer is not False, self.last_layer, self.residual, is_int8, images)


def apply(network: Network, precision: str, calibration: Any, options: Mapping[str, Any]) -> Network:
    """See inferkit.at_precision; `precision` is one of PRECISIONS."""
    as_in_file = precision == network.precision != "fp32" and network.calibration is None
    if as_in_file and calibration is None and not options:
        return network
    if precision in FORMATS:
        return _quantized(network, precision, calibration, parse_options(QuantizeOptions, precision, options))
    if calibration is not None:
        raise UsageError(f"{precision} needs no calibration; int8 and fp8 do")
    if precision in ("fp32", "tf32"):
        parse_options(_NoOptions, precision, options)
        _require_fp32(network, precision)
        return replace(network, precision=precision)
    return _half(network, precision, parse_options(CastOptions, precision, options))


@dataclass(frozen=True)
class _NoOptions:
    """fp32 and tf32 have no options."""


def parse_options(kind: type[_Options], precision: str, options: Mapping[str, Any]) -> _Options:
    """Options by name as their dataclass. UsageError for an unknown name."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    unknown = [name for name in options if name not in names]
    if unknown:
        hint = f"its options: {', '.join(names)}" if names else "it has no options"
        raise UsageError(f"{precision} has no option {', '.join(map(repr, unknown))}; {hint}")
    return kind(**options)


def _require_fp32(network: Network, precision: str) -> None:
    if network.precision not in ("fp32", "tf32"):
        raise PrecisionError(
            f"network {network.name!r} is {network.precision} already; use the fp32 network for {precision}, or take "
            f'this one as it is (`precisions = ["{network.precision}"]` in the matrix)'
        )
    if any(node.op_type == "QuantizeLinear" for node in network.model.graph.node):
        raise PrecisionError(f"network {network.name!r} is quantized already: it has QuantizeLinear nodes")


def _half(network: Network, precision: str, options: CastOptions) -> Network:
    _require_fp32(network, precision)
    half = HALVES[precision]
    graph, notes = _ready(network, half.opset, split=True)
    base = graph.copy()
    losses = to_half(graph, half, options)
    notes += tuple(f"{loss}: kept fp32" for loss in losses)
    graph.prune()
    notes += row_choice_notes(graph, half)
    feeds = random_feeds(base)
    if feeds is not None:
        if any(loss.kind == "overflow" for loss in losses):  # such weights are made for far smaller inputs
            feeds = {
                name: values * values.dtype.type(2**-10) if values.dtype.kind == "f" else values
                for name, values in feeds.items()
            }

        def with_kept(layers: Sequence[str]) -> Graph:
            kept = [options.keep] if isinstance(options.keep, str) else options.keep
            head = base.copy()
            to_half(head, half, replace(options, keep=[*kept, *layers]))
            head.prune()
            return head

        comparison = _Comparison(network, precision, base, _few(base, feeds))
        notes += comparison.require(graph, "keep", {node.name for node in base.nodes}, with_kept)
    return _with_coverage(network.with_model(graph.model(), precision=precision, notes=_joined(network, notes)))


@dataclass(frozen=True, eq=False)
class _Comparison:
    """Of a network's prepared graph with its rewriting to a precision, on the same inputs."""

    network: Network
    precision: str
    base: Graph
    feeds: Feeds
    representative: bool = True

    def require(
        self, head: Graph, option: str, layers: Container[str], with_kept: Callable[[Sequence[str]], Graph]
    ) -> tuple[str, ...]:
        """Notes on what could not be compared. PrecisionError, with the `layers` that `option` should name, where head
        computes something else; `with_kept` is head with these layers kept in FP32."""

        def failing(kept: Sequence[str]) -> onnx.NodeProto | None:
            head, nodes = with_kept(kept), list[onnx.NodeProto]()

            def note(node: onnx.NodeProto) -> str:
                nodes.append(node)
                return ""

            try:
                self._compare(head, note)
            except PrecisionError:
                if nodes:
                    return nodes[0]
                raise
            return None

        return self._compare(head, keeping_hint(option, layers, self.base, failing))

    def _compare(self, head: Graph, hint: Callable[[onnx.NodeProto], str]) -> tuple[str, ...]:
        what = f"network {self.network.name!r}: rewriting to {self.precision}"
        return require_explained(
            self.base,
            head,
            self.precision,
            self.feeds,
            what=what,
            hint=hint,
            representative=self.representative,
        )


def _ready(network: Network, opset: int, *, split: bool = False, pixels: bool = False) -> tuple[Graph, tuple[str, ...]]:
    """The network's graph, prepared and in operator set `opset` or newer, and notes on what was not compared.

    `split`: normalization that stays a layer of its own becomes a factor and a summand. `pixels`: inner products of
    single pixels become convolutions. PrecisionError, with the first node, where the graph would compute something else
    than the network's.
    """
    base, graph = Graph(network.model), prepare(network.model)
    if split:
        split_normalization(graph)
    if pixels:
        products_of_pixels(graph)
    feeds = random_feeds(base)
    if feeds is None:
        return convert(graph, opset), (_NOT_COMPARED,)
    what = f"network {network.name!r}: folding constants and normalization"
    hint = "use the network in fp32, and report the model as a fault of inferkit"
    notes = list(require_same(base, graph, feeds, what, hint))
    return convert(graph, opset, notes), tuple(notes)


def _joined(network: Network, notes: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*network.notes, *notes)))


def _quantized(network: Network, precision: str, source: Any, options: QuantizeOptions) -> Network:
    _require_fp32(network, precision)
    form = FORMATS[precision]
    graph, notes = _ready(network, form.opset, pixels=form is INT8)
    base = graph.copy()
    placement = place(graph, options.choices(precision))
    calibration, batch = calibrate(network, precision, graph, placement, source, options)

    def with_kept(layers: Sequence[str]) -> Graph:
        excluded = [options.exclude] if isinstance(options.exclude, str) else options.exclude
        head = base.copy()
        choices = replace(options.choices(precision), exclude=[*excluded, *layers])
        insert(head, place(head, choices).within(calibration.amax), calibration, form)
        head.prune()
        return head

    graph = with_kept(())
    feeds = random_feeds(base) if batch is None else batch
    if feeds is not None:
        comparison = _Comparison(network, precision, base, _few(base, feeds), representative=batch is not None)
        notes += comparison.require(graph, "exclude", {layer.node.name for layer in placement.layers}, with_kept)
    changes = {"precision": precision, "calibration": calibration.description, "notes": _joined(network, notes)}
    return _with_coverage(network.with_model(graph.model(), **changes))


def _few(graph: Graph, batch: Feeds) -> Feeds:
    """The first images of a batch, as many as the graph takes."""
    inputs = ImageInputs.of(graph)
    wanted = inputs.fixed or _COMPARED_IMAGES
    part = inputs.part(batch, 0, wanted)
    return inputs.filled(part, inputs.fixed - inputs.count(part)) if inputs.fixed else part


def _with_coverage(network: Network) -> Network:
    """The network with a note where its precision reaches only a part of the work, or none."""
    coverage = coverage_of(network)
    sentence = "" if coverage is None else coverage.sentence
    return replace(network, notes=(*network.notes, sentence)) if sentence else network


def calibrate(
    network: Network,
    precision: str,
    graph: Graph,
    placement: Placement,
    source: Any,
    options: QuantizeOptions,
) -> tuple[Calibration, Feeds | None]:
    """The Calibration made from any accepted source, and the first batch of it; None where it holds no images."""
    chosen = options.method or (DEFAULT_METHOD if precision == "int8" else "max")
    if source is None:
        raise PrecisionError(
            f"network {network.name!r}: quantization needs a calibration: a dataset (--calibration-data), batch "
            "files or a cache (--calibration); in Python, pass any of these or batches as `calibration=`"
        )
    if isinstance(source, (str, Path)):
        source = from_path(Path(source))
    if isinstance(source, Calibration):
        _refuse(source.description, method=options.method, images=options.images)
        return source, None
    batch = None
    if isinstance(source, Ranges):
        _refuse(f"ranges of {source.images} images", images=options.images)
    else:
        source, batch = _collected(graph, placement, source, options)
    return calibration_from(source, chosen), batch


def _refuse(source: str, **options: Any) -> None:
    """UsageError for options that have no effect, because `source` is already the result that they influence."""
    unused = [name for name, value in options.items() if value is not None]
    if unused:
        raise UsageError(
            f"the calibration ({source}) is already made, so {' and '.join(unused)} would have no effect; omit it, or "
            "calibrate with images"
        )


def collect_ranges(network: Network, source: Any, **options: Any) -> Ranges:
    """Ranges of every tensor that int8 or fp8 may quantize in `network` (fp32), from a dataset, batches or batch files.

    `options` are QuantizeOptions: images, batch_size, preprocessing, threads, and those that leave layers out. Ranges
    of several sources merge exactly (`Ranges.merged`), and are a `calibration` for at_precision, with any method.
    Raises UsageError and PrecisionError as at_precision does.
    """
    chosen = parse_options(QuantizeOptions, "calibration", options)
    _require_fp32(network, "calibration")
    graph, _ = _ready(network, INT8.opset, pixels=True)  # the prepared graph may need more than its own operator set
    if isinstance(source, (str, Path)):
        source = from_path(Path(source))
    if isinstance(source, (Calibration, Ranges)):
        raise UsageError("a calibration cache or a file of ranges holds no images to collect ranges from")
    ranges, _ = _collected(graph, place(graph, chosen.choices("int8")), source, chosen)
    return ranges


def _collected(
    graph: Graph, placement: Placement, source: Any, options: QuantizeOptions
) -> tuple[Ranges, Feeds | None]:
    """The ranges of a source's images, and its first batch."""
    batches = iter(
        feeds_of(
            source,
            graph,
            images=options.images,
            batch_size=options.batch_size,
            preprocessing=options.preprocessing,
        )
    )
    first = next(batches, None)
    started = () if first is None else (first,)
    ranges = collect(graph, placement.tensors, chain(started, batches), threads=options.threads)
    return replace(ranges, source=describe(source)), first
