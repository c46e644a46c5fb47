"""Random small Caffe nets: chains and graphs of the table's layers with parameters that are legal, or nearly so.

`grow` adds layers one by one; the importer's own shapes tell what fits. Real Caffe judges the result, so a mistake in
these shapes shows up as a difference.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from inferkit.errors import NetworkError
from inferkit.network.caffe import convert as conversion
from inferkit.network.caffe.dims import MixedBatch, concrete_shape
from inferkit.network.caffe.files.read import parse_prototxt
from inferkit.network.caffe.files.schema import BlobProto
from inferkit.network.caffe.files.weights import Weights
from inferkit.network.caffe.flow import trace_flow
from inferkit.network.caffe.prototxt.check import check_layers
from tests.network.caffe.layers.caffe_cases import data

Shape = tuple[int, ...]
Maker = Callable[[random.Random, Shape], str]


class _AnyWeights(Weights):
    """Ones in every shape: only shapes are asked for."""

    def blobs(self, index, expected):  # type: ignore[no-untyped-def]
        return [np.ones(spec.shape, np.float32) for spec in expected]


class AgreeingWeights(_AnyWeights):
    """As its base, with the check that layers which share a parameter want one shape."""

    def blobs(self, index, expected):  # type: ignore[no-untyped-def]
        shapes = self.__dict__.setdefault("shared", {})
        for spec, wanted in zip(self.net.layer[index].param, expected, strict=False):
            if spec.name and shapes.setdefault(spec.name, wanted.shape) != wanted.shape:
                raise NetworkError("shared in vain")
        return super().blobs(index, expected)


def blob_shapes(text: str, weights: type[Weights] = _AnyWeights) -> dict[str, Shape]:
    """The shape of every blob at the prototxt's batch. Raises NetworkError where the importer refuses the net."""
    net = parse_prototxt(text, "net")
    flow = trace_flow(net, "net")
    inputs = conversion.inputs_of(net, "net")
    check_layers(net, "net")
    for layer in net.layer:
        conversion._check_type(layer, "net")
    run = conversion._Run(flow, weights(net, None, "net"), "net", inputs, conversion._Reading(frozenset()))
    for index, layer in enumerate(net.layer):
        if layer.type == "Input":
            for top in layer.top:
                run.blobs.write(top, run.inputs[top])
        else:
            run._convert(index, layer)
    return {name: concrete_shape(run.blobs.read(name).shape) for name in run.blobs}


def _conv(r: random.Random, shape: Shape, deconvolution: bool = False) -> str:
    axis = r.choice([1, 1, 1, 1, 1, 1, -3, 2, 0]) if len(shape) > 2 else 1
    if not -len(shape) <= axis < len(shape):
        axis = 1
    place = axis % len(shape)
    spatial = len(shape) - place - 1
    channels = shape[place]
    divisors = [d for d in range(1, channels + 1) if channels % d == 0]
    group = r.choice([1, 1, 1, *divisors])
    fields = [f"num_output: {group * r.randint(1, 3)}"]
    if group > 1:
        fields.append(f"group: {group}")
    if axis != 1:
        fields.append(f"axis: {axis}")
    if r.random() < 0.2:
        fields.append("bias_term: false")
    if r.random() < 0.1:
        fields.append("force_nd_im2col: true")
    if spatial == 2 and r.random() < 0.3:
        fields.append(f"kernel_h: {r.randint(1, 4)} kernel_w: {r.randint(1, 4)}")
    elif spatial and r.random() < 0.3:
        fields += [f"kernel_size: {r.randint(1, 4)}" for _ in range(spatial)]
    else:
        fields.append(f"kernel_size: {r.randint(1, 4)}")
    for name, most in (("stride", 3), ("pad", 2), ("dilation", 2)):
        form = r.random()
        low = 0 if name == "pad" else 1
        if form < 0.35 and spatial:
            continue
        if form < 0.6 and spatial == 2 and name != "dilation":
            fields.append(f"{name}_h: {r.randint(low, most)} {name}_w: {r.randint(low, most)}")
        elif form < 0.75 and spatial:
            fields += [f"{name}: {r.randint(low, most)}" for _ in range(spatial)]
        elif form < 0.95 and spatial:
            fields.append(f"{name}: {r.randint(low, most)}")
    return f"convolution_param {{ {' '.join(fields)} }}"


def _pool(r: random.Random, shape: Shape) -> str:
    fields = [f"pool: {r.choice(['MAX', 'AVE'])}"]
    if r.random() < 0.15:
        return f"pooling_param {{ {fields[0]} global_pooling: true }}"
    if r.random() < 0.4:
        kernel = [r.randint(1, 4), r.randint(1, 4)]
        fields.append(f"kernel_h: {kernel[0]} kernel_w: {kernel[1]}")
    else:
        kernel = [r.randint(1, 4)] * 2
        fields.append(f"kernel_size: {kernel[0]}")
    # A stride beyond the kernel gives windows outside the input, whose -FLT_MAX and NaN later layers turn into whatever
    # their arithmetic happens to do; the table of cases has them alone.
    steps = [r.randint(1, size) for size in kernel]
    if r.random() < 0.7:
        fields.append(f"stride: {min(steps)}" if r.random() < 0.7 else f"stride_h: {steps[0]} stride_w: {steps[1]}")
    if r.random() < 0.5:
        fields.append(
            f"pad: {r.randint(0, min(kernel))}"
            if r.random() < 0.6
            else f"pad_h: {r.randint(0, kernel[0])} pad_w: {r.randint(0, kernel[1])}"
        )
    if r.random() < 0.15:
        fields.append("round_mode: FLOOR")
    return f"pooling_param {{ {' '.join(fields)} }}"


def _axis(r: random.Random, shape: Shape, first: int = 0) -> int:
    axis = r.randint(first, max(first, len(shape) - 1))
    return axis - len(shape) if r.random() < 0.3 else axis


def _reshape(r: random.Random, shape: Shape) -> str:
    start = r.choice([0, 0, 0, 1, 1, -1, r.randint(0, len(shape))])
    place = start if start >= 0 else len(shape) + start + 1
    count = r.choice([-1, -1, r.randint(0, max(0, len(shape) - place))])
    end = len(shape) if count == -1 else place + count
    total = int(np.prod(shape[place:end]))
    dims: list[int] = []
    for position in range(r.randint(1, 4)):
        source = shape[place + position] if place + position < len(shape) else None
        options = [d for d in range(1, total + 1) if total % d == 0]
        choice = r.random()
        if choice < 0.4 and source is not None:
            dims.append(0)
            total = total // source if total % source == 0 else total
        else:
            dims.append(r.choice(options))
            total //= dims[-1]
    if r.random() < 0.75:
        dims[r.randrange(len(dims))] = -1
    elif total > 1:
        dims.append(total)
    fields = " ".join(f"dim: {dim}" for dim in dims)
    extra = (f"axis: {start} " if start else "") + (f"num_axes: {count} " if count != -1 else "")
    return f"reshape_param {{ shape {{ {fields} }} {extra}}}"


def _scale_like(name: str) -> Maker:
    def make(r: random.Random, shape: Shape) -> str:
        axis = _axis(r, shape, 0 if r.random() < 0.1 else 1) if r.random() < 0.4 else 1
        place = axis % len(shape)
        room = len(shape) - place
        count = r.choice([1, 1, -1, r.randint(0, room)])
        fields = (f"axis: {axis} " if axis != 1 else "") + (f"num_axes: {count} " if count != 1 else "")
        if name == "scale" and r.random() < 0.5:
            fields += "bias_term: true"
        return f"{name}_param {{ {fields} }}"

    return make


def _text(*choices: str) -> Maker:
    return lambda r, shape: r.choice(choices)


def _tile(r: random.Random, shape: Shape) -> str:
    return f"tile_param {{ axis: {_axis(r, shape)} tiles: {r.randint(1, 3)} }}"


def _flatten(r: random.Random, shape: Shape) -> str:
    return f"flatten_param {{ axis: {_axis(r, shape)} end_axis: {_axis(r, shape)} }}" if r.random() < 0.6 else ""


def _inner(r: random.Random, shape: Shape) -> str:
    axis = _axis(r, shape, 0 if r.random() < 0.1 else 1) if r.random() < 0.3 else 1
    extra = r.choice(["", "", "bias_term: false", "transpose: true"])
    return f"inner_product_param {{ num_output: {r.randint(1, 6)} axis: {axis} {extra} }}"


def _arg_max(r: random.Random, shape: Shape) -> str:
    fields = f"top_k: {r.randint(1, 3)} " + r.choice(["", "out_max_val: true "])
    if r.random() < 0.6:
        fields += f"axis: {_axis(r, shape, 1 if r.random() < 0.8 else 0)}"
    return f"argmax_param {{ {fields} }}"


def _reduction(r: random.Random, shape: Shape) -> str:
    axis = _axis(r, shape, 1 if r.random() < 0.8 else 0)
    coefficient = r.choice(["", "coeff: 0.5", "coeff: -2"])
    return f"reduction_param {{ operation: {r.choice(['SUM', 'ASUM', 'SUMSQ', 'MEAN'])} axis: {axis} {coefficient} }}"


ONE_TO_ONE: dict[str, Maker] = {
    "Convolution": _conv,
    "Deconvolution": _conv,
    "Im2col": lambda r, s: _conv(r, s).replace("bias_term: false", ""),
    "Pooling": _pool,
    "LRN": _text(
        "",
        "lrn_param { local_size: 3 alpha: 0.5 beta: 0.9 k: 2 }",
        "lrn_param { local_size: 5 alpha: 2 }",
        "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 alpha: 1.5 beta: 0.6 k: 3 }",
        "lrn_param { local_size: 1 }",
        "lrn_param { norm_region: WITHIN_CHANNEL local_size: 5 }",
    ),
    "InnerProduct": _inner,
    "BatchNorm": _text(
        "", "", "batch_norm_param { eps: 0.1 }", "batch_norm_param { use_global_stats: false eps: 0.1 }"
    ),
    "Scale": _scale_like("scale"),
    "Bias": _scale_like("bias"),
    "ReLU": _text("", "relu_param { negative_slope: 0.1 }", "relu_param { negative_slope: -0.5 }"),
    "PReLU": _text("", "prelu_param { channel_shared: true }"),
    "ELU": _text("", "elu_param { alpha: 0.3 }"),
    "Sigmoid": _text(""),
    "TanH": _text(""),
    "AbsVal": _text(""),
    "BNLL": _text(""),
    "Clip": _text("clip_param { min: -0.5 max: 0.75 }"),
    "Exp": _text("", "exp_param { base: 2 scale: 0.5 shift: 0.25 }", "exp_param { scale: -0.5 shift: 1 }"),
    "Power": _text(
        "",
        "power_param { power: 2 scale: 0.5 shift: 0.1 }",
        "power_param { scale: 3 }",
        "power_param { shift: -1 }",
        "power_param { power: 0 }",
        "power_param { scale: 0 shift: 2 power: 3 }",
        "power_param { power: 3 }",
    ),
    "Softmax": lambda r, s: f"softmax_param {{ axis: {_axis(r, s, 1 if r.random() < 0.8 else 0)} }}" if s else "",
    "ArgMax": _arg_max,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Tile": _tile,
    "Reduction": _reduction,
    "MVN": _text(
        "mvn_param { eps: 0.1 }",
        "mvn_param { across_channels: true eps: 0.01 }",
        "mvn_param { normalize_variance: false }",
        "mvn_param { across_channels: true normalize_variance: false }",
    ),
    "Threshold": _text("", "threshold_param { threshold: 0.25 }"),
    "Dropout": _text(""),
    "Split": _text(""),
    "SPP": _text(
        "spp_param { pyramid_height: 2 }",
        "spp_param { pyramid_height: 3 pool: AVE }",
        "spp_param { pyramid_height: 1 }",
    ),
}

IN_PLACE = ["ReLU", "PReLU", "ELU", "Sigmoid", "TanH", "BNLL", "Exp", "Power", "Scale", "Bias", "BatchNorm", "Dropout"]
IN_PLACE += ["Softmax", "Threshold", "Clip", "LRN"]


def _layer(r: random.Random, number: int, shapes: dict[str, Shape], unread: set[str]) -> str:
    names = list(shapes)
    weights = [4 if name in unread else 1 for name in names]
    bottom = r.choices(names, weights)[0]
    shape = shapes[bottom]
    top, kind = f"b{number}", r.random()
    if kind < 0.14:
        same = [name for name in names if shapes[name] == shape]
        bottoms = [bottom, *(r.choice(same) for _ in range(r.randint(1, 2)))]
        operation = r.choice(["PROD", "SUM", "SUM", "MAX"])
        coefficients = " ".join(f"coeff: {r.choice([1, -1, 0.5, 2])}" for _ in bottoms) if r.random() < 0.4 else ""
        if operation == "PROD":
            coefficients = ""
        if r.random() < 0.1 and bottoms.count(bottom) == 1 and bottom in unread:
            top = bottom
        return _wrap(number, "Eltwise", bottoms, [top], f"eltwise_param {{ operation: {operation} {coefficients} }}")
    if kind < 0.22 and shape:
        axis = _axis(r, shape, 1 if r.random() < 0.8 else 0)
        place = axis % len(shape)
        fits = [
            name
            for name in names
            if len(shapes[name]) == len(shape)
            and shapes[name][:place] + shapes[name][place + 1 :] == shape[:place] + shape[place + 1 :]
        ]
        bottoms = [bottom, *(r.choice(fits) for _ in range(r.randint(0, 3)))]
        return _wrap(number, "Concat", bottoms, [top], f"concat_param {{ axis: {axis} }}")
    if kind < 0.3 and shape:
        axis = _axis(r, shape, 1 if r.random() < 0.8 else 0)
        size = shape[axis % len(shape)]
        tops = [f"{top}_{i}" for i in range(r.choice([1, 2, 2, 3]))]
        points = sorted(r.sample(range(1, size), len(tops) - 1)) if size > len(tops) and r.random() < 0.5 else []
        fields = " ".join(f"slice_point: {point}" for point in points)
        return _wrap(number, "Slice", [bottom], tops, f"slice_param {{ axis: {axis} {fields} }}")
    if kind < 0.34 and shape:
        references = [name for name in names if len(shapes[name]) == len(shape)]
        return _wrap(
            number,
            "Crop",
            [bottom, r.choice(references)],
            [top],
            f"crop_param {{ axis: {_axis(r, shape, 1)} offset: {r.randint(0, 1)} }}",
        )
    if kind < 0.4 and shape:
        axis = _axis(r, shape)
        place = axis % len(shape)
        fits = [name for name in names if shapes[name] == shape[place : place + len(shapes[name])]]
        if fits:
            fields = f"axis: {axis} " + r.choice(["", "bias_term: true"])
            return _wrap(number, "Scale", [bottom, r.choice(fits)], [top], f"scale_param {{ {fields} }}")
    small = [name for name in names if len(shapes[name]) <= 3]
    if kind < 0.42 and small:
        index = r.choice(small)
        rows = f"num_output: {r.randint(1, 3)} input_dim: 1 " + r.choice(["", "bias_term: false"])
        parameters = f"embed_param {{ {rows} }}"
        return _wrap(number, "Threshold", [index], [f"{top}_0"], "threshold_param { threshold: 1e9 }") + _wrap(
            number, "Embed", [f"{top}_0"], [top], parameters
        )
    if kind < 0.44 and shape and len(shape) <= 3:
        dims = " ".join(f"dim: {dim}" for dim in shape[1:])
        share = r.choice(["", 'param { name: "shared" share_mode: PERMISSIVE }'])
        return _wrap(
            number, "Parameter", [], [f"{top}_p"], f"{share} parameter_param {{ shape {{ {dims} }} }}"
        ) + _wrap(number, "Bias", [bottom, f"{top}_p"], [top], "bias_param { axis: 1 }")
    if kind < 0.5 and len(shape) == 4:
        return _wrap(number, "Pooling", [bottom], [top, f"{top}_mask"], _pool(r, shape).replace("AVE", "MAX"))
    layer = r.choice(list(ONE_TO_ONE))
    if layer in ("Convolution", "InnerProduct") and r.random() < 0.2:
        parameters = ONE_TO_ONE[layer](r, shape)
        return _wrap(number, layer, [bottom], [top], 'param { name: "w" } ' + parameters)
    if layer in IN_PLACE and bottom in unread and r.random() < 0.4:
        top = bottom
    return _wrap(number, layer, [bottom], [top], ONE_TO_ONE[layer](r, shape) if shape or layer in IN_PLACE else "")


def _wrap(number: int, kind: str, bottoms: list[str], tops: list[str], parameters: str) -> str:
    ends = " ".join([f'bottom: "{name}"' for name in bottoms] + [f'top: "{name}"' for name in tops])
    return f'layer {{ name: "{tops[0]}_{number}" type: "{kind}" {ends} {parameters} }}\n'


def grow(r: random.Random, most: int = 7) -> str:
    """The text of a random net; about one in eight ends in a layer that the importer refuses."""
    batch = r.choice([1, 1, 2, 3, 4])
    forms: list[Shape] = [(r.choice([1, 2, 3, 4, 6]), r.randint(1, 9), r.randint(1, 9))] * 6
    forms += [(r.randint(1, 12),), (), (3, 7), (4, 3, 4, 3)]
    shape = (batch, *r.choice(forms))
    text = data(*shape)
    if r.random() < 0.25:
        second_shape = (r.choice([batch, batch, batch, 5]), *r.choice([shape[1:], shape[1:], (r.randint(1, 5),)]))
        text += data(*second_shape, name="more")
    shapes, unread = blob_shapes(text), {"data", "more"}
    for number in range(r.randint(1, most)):
        for _ in range(10):
            try:
                added = _layer(r, number, shapes, unread & set(shapes))
            except (IndexError, ValueError, ZeroDivisionError):
                continue
            try:
                new = blob_shapes(text + added)
            except NetworkError:
                if r.random() < 0.03:
                    return text + added  # Caffe must refuse it too
                continue
            except MixedBatch:
                continue
            if sum(np.prod(value) for value in new.values()) > 60_000 or 0 in [d for s in new.values() for d in s]:
                continue
            text, shapes = text + added, new
            for layer in parse_prototxt(added, "net").layer:
                unread = (unread - set(layer.bottom)) | set(layer.top)
            break
    return text


__all__ = ["BlobProto", "blob_shapes", "grow"]
