"""Hypothesis strategies for Caffe's messages: any field with any value, and nets of the three forms."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st

from inferkit.network.caffe.files.schema import LayerParameter, Message, NetParameter, V1LayerParameter

NAMES = st.sampled_from(["a", "b", "conv1", "relu1/x", "", "two words", 'quo"te', "naïve", "\\"])
# Values that text keeps exactly: text_format writes floats with enough digits, but NaN is unequal to itself.
FLOATS = st.floats(width=32, allow_nan=False)
_V0_TYPES = ["conv", "pool", "data", "images", "window_data", "innerproduct", "lrn", "dropout", "concat", "hdf5_data"]


@cache
def messages(kind: type[Any], skip: tuple[str, ...] = (), depth: int = 0) -> st.SearchStrategy[Any]:
    """Messages of `kind` with a few fields set; fields named in `skip` are left out at every depth."""

    fields = [field for field in kind.DESCRIPTOR.fields if field.name not in (*skip, "clip_param")]
    chosen = st.lists(st.sampled_from(range(len(fields))), max_size=2 if depth else 6, unique=True)

    @st.composite
    def build(draw: st.DrawFn) -> Any:
        message = kind()
        for index in draw(chosen):
            _set(draw, message, fields[index], skip, depth)
        return message

    return build()


def _set(draw: st.DrawFn, message: Message, field: Any, skip: tuple[str, ...], depth: int) -> None:
    repeated = hasattr(getattr(message, field.name), "append")
    if field.message_type is not None:
        if depth > 2:
            return
        kind = type(getattr(message, field.name)) if not repeated else type(getattr(message, field.name).add())
        if repeated:
            del getattr(message, field.name)[:]
        value = draw(messages(kind, skip, depth + 1))
        if repeated:
            getattr(message, field.name).extend([value] * draw(st.integers(1, 2)))
        else:
            getattr(message, field.name).CopyFrom(value)
        return
    values = _values(field)
    if repeated:
        getattr(message, field.name).extend(draw(st.lists(values, min_size=1, max_size=3)))
    else:
        setattr(message, field.name, draw(values))


@cache
def _values(field: Any) -> st.SearchStrategy[Any]:
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    return {
        field.CPPTYPE_INT32: st.integers(-5, 2**31 - 1),
        field.CPPTYPE_INT64: st.integers(-5, 2**62),
        field.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
        field.CPPTYPE_FLOAT: FLOATS,
        field.CPPTYPE_DOUBLE: FLOATS,
        field.CPPTYPE_BOOL: st.booleans(),
        field.CPPTYPE_STRING: NAMES if field.type == field.TYPE_STRING else st.binary(max_size=5),
    }[field.cpp_type]


@st.composite
def nets(draw: st.DrawFn, form: str) -> NetParameter:
    """A net of one form: `v0` (2013), `v1` (to November 2014) or `v2` (today's), most of it nonsense to compute."""
    net: NetParameter = draw(messages(NetParameter, ("layer", "layers", "input", "input_shape", "input_dim")))
    names = ["in"] if draw(st.booleans()) else []
    if names:
        net.input.extend(names)
        net.input_dim.extend(draw(st.sampled_from([[], [1, 3, 5, 7]])))
    for number in range(draw(st.integers(1, 3))):
        if form == "v2":
            layer = draw(messages(LayerParameter))
            if draw(st.booleans()):
                layer.type = "BatchNorm"
            net.layer.append(layer)
        elif form == "v1":
            net.layers.append(draw(messages(V1LayerParameter, ("layer",))))
        else:
            old = draw(messages(V1LayerParameter, ("layer", "bottom", "top")))
            old.layer.CopyFrom(draw(messages(type(old.layer))))
            old.layer.name = f"l{number}"
            old.layer.type = draw(st.sampled_from([*_V0_TYPES, "padding"]))
            if names and (old.layer.type == "padding" or draw(st.booleans())):
                old.bottom.append(draw(st.sampled_from(names[-2:])))
            old.top.append(f"t{number}")
            names.append(f"t{number}")
            net.layers.append(old)
    return net
