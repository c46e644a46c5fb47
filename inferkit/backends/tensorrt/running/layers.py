"""TensorRT's inspector and per-layer times as a layer table, for TensorRT 10 and 11 and TensorRT-RTX.

The layers of the network are named in a layer's `Metadata` ("[ONNX Layer: conv1]", one for each that was fused); older
engines only have fused names ("conv1 + relu1"). TensorRT 11 tells format and data type apart, 10 in one sentence.
What a layer multiplies in is what its kernel's name says (kernels.py), else the type of what it reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from inferkit.backends.layer_table import FP32_OR_TF32, LayerRow, LayerTable
from inferkit.backends.tensorrt.running.kernels import multiplied_type

_ONNX_LAYER = re.compile(r"\[ONNX Layer: ([^\]\x1e]+)\]")
_COPY = re.compile(r"Reformatting CopyNode for (?:Input|Output) Tensor \d+ (to|from) (.+)")
_MYELIN = re.compile(r"_myl\d*_\d+$")
_WRAPPER = re.compile(r"PWN\(|\{ForeignNode\[")
# Kinds of layers that do the work of a convolution, a product or a recurrent layer (CaskConvolution, gemm, RNNv2).
_MULTIPLYING = re.compile(r"conv(?!ert)|gemm|mat(?:rix)?_?mul|fullyconnected|attention|mha|rnn|lstm|gru", re.I)
_MULTIPLYING_KERNEL = re.compile(r"gemm|fprop|mha")
# Tensors of these types are indices, shapes and masks.
_NEVER_MULTIPLIED = ("int32", "int64", "bool")
# What data types are called, alone or within "Row major linear FP16 format".
_TYPES = (
    ("fp32", re.compile(r"\b(?:Float|FP32)\b", re.I)),
    ("fp16", re.compile(r"\b(?:Half|FP16)\b", re.I)),
    ("bf16", re.compile(r"\b(?:BFloat16|BF16)\b", re.I)),
    ("int8", re.compile(r"\bInt8\b", re.I)),
    ("fp8", re.compile(r"\bF(?:P|loat)8(?:E4M3(?:FN)?)?\b", re.I)),
    ("int32", re.compile(r"\bInt32\b", re.I)),
    ("int64", re.compile(r"\bInt64\b", re.I)),
    ("bool", re.compile(r"\bBool\b", re.I)),
)


def engine_layers(inspected: object, seconds: Mapping[str, float]) -> LayerTable:
    """The table of what the inspector says, with the seconds of each layer by name; those that only have a time last.

    What the inspector says in another form than is known is left out.
    """
    layers = inspected.get("Layers") if isinstance(inspected, Mapping) else None
    rows, seen = [], set()
    for layer in layers if isinstance(layers, list) else []:
        if isinstance(layer, str):  # an engine built without detailed verbosity tells names only
            layer = {"Name": layer}
        if not isinstance(layer, Mapping) or not isinstance(layer.get("Name"), str):
            continue
        seen.add(layer["Name"])
        rows.append(_row(layer, seconds.get(layer["Name"])))
    rows += [_row({"Name": name}, time) for name, time in seconds.items() if name not in seen]
    return tuple(rows)


def _row(layer: Mapping[str, Any], seconds: float | None) -> LayerRow:
    raw = layer["Name"]
    computed = tuple(dict.fromkeys(_ONNX_LAYER.findall(str(layer.get("Metadata") or ""))))
    copy = _COPY.fullmatch(raw)
    if copy is not None and not computed:
        name, computed = f"reformat {copy[1]} {fused_names(copy[2])[0]}", ()
    else:
        computed = computed or fused_names(raw)
        name = raw if not _MYELIN.search(raw) else " + ".join(computed) or raw
    kind, kernel = str(layer.get("LayerType") or ""), str(layer.get("TacticName") or "")
    multiplied = multiplied_type(kernel)
    multiplies = _MULTIPLYING.search(kind) is not None or _MULTIPLYING_KERNEL.search(kernel) is not None
    multiplies = multiplies or bool(multiplied)
    return LayerRow(
        name,
        kind,
        multiplied or (_read_type(layer) if multiplies else "") or _precision(layer),
        kernel or str(layer.get("TacticValue") or ""),
        _format(layer),
        seconds,
        computed,
        multiplies,
    )


def fused_names(name: str) -> tuple[str, ...]:
    """The layers in a fused name (`PWN(relu1) + pool1`, `{ForeignNode[a...b]}`), without Myelin's running numbers."""
    bare = _MYELIN.sub("", name)
    opened = _WRAPPER.sub("", bare)
    if opened != bare:
        parts = [part.rstrip(")]}") for part in re.split(r" \+ |\.\.\.|, ", opened)]
    else:
        parts = bare.split(" + ") if bare == name else re.split(r" ?\+ ?", bare)  # Myelin sets no spaces
    return tuple(dict.fromkeys(part for part in parts if part)) or (name,)


def _tensors(layer: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = layer.get(key)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _texts(tensor: Mapping[str, Any]) -> tuple[str, str]:
    """What is said of a tensor's format and of its type."""
    both = str(tensor.get("Format/Datatype") or "")
    return str(tensor.get("Format") or both), str(tensor.get("DataType") or tensor.get("Datatype") or both)


def _precision(layer: Mapping[str, Any]) -> str:
    """What any other layer computes in: the type of its weights, else of its first input, else of its first output."""
    weights = layer.get("Weights")
    if isinstance(weights, Mapping) and (found := _type(str(weights.get("Type") or ""))):
        return found
    tensors = [*_tensors(layer, "Inputs")[:1], *_tensors(layer, "Outputs")[:1]]
    return next((found for tensor in tensors if (found := _type(_texts(tensor)[1]))), "")


def _read_type(layer: Mapping[str, Any]) -> str:
    """The type of the first input that can be multiplied, else of the weights; empty where none says so."""
    weights = layer.get("Weights")
    types = [_type(_texts(tensor)[1]) for tensor in _tensors(layer, "Inputs")]
    types += [_type(str(weights.get("Type") or ""))] if isinstance(weights, Mapping) else []
    read = next((found for found in types if found and found not in _NEVER_MULTIPLIED), "")
    return FP32_OR_TF32 if read == "fp32" else read


def _type(text: str) -> str:
    return next((name for name, pattern in _TYPES if pattern.search(text)), "")


def _format(layer: Mapping[str, Any]) -> str:
    """The layout of the first input and, where it is another, of the first output, without the type's name."""
    sides = [_layout(_texts(tensor)[0]) for key in ("Inputs", "Outputs") for tensor in _tensors(layer, key)[:1]]
    return " -> ".join(dict.fromkeys(side for side in sides if side))


def _layout(text: str) -> str:
    if "N/A" in text:
        return ""
    for _, pattern in _TYPES:
        text = pattern.sub("", text)
    return " ".join(re.sub(r"\bformat\b\.?|\(k\w+\)", "", text, flags=re.I).split()).rstrip(".").lower()
