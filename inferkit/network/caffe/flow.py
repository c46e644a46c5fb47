"""Resolves blob names as Caffe does: which layer produces what each layer reads, in-place layers included."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from inferkit.errors import NetworkError
from inferkit.network.caffe.files.schema import LayerParameter, NetParameter, NetStateRule, Phase


class Top(NamedTuple):
    """An output of a layer: the layer's index in the network, and which of its tops."""

    layer: int
    place: int


class Bottom(NamedTuple):
    """An input of a layer: the layer's index in the network, and which of its bottoms."""

    layer: int
    place: int


@dataclass(frozen=True)
class Flow:
    """`bottoms[layer][i]` is the top that bottom i reads; `readers[top]` are the places that read it, in order.

    A blob that an in-place layer changes is two tops of one name, so "the last one of a name" needs no care here.
    """

    net: NetParameter
    bottoms: tuple[tuple[Top, ...], ...]
    readers: dict[Top, tuple[Bottom, ...]]

    def name(self, top: Top) -> str:
        """The blob's name."""
        return self.net.layer[top.layer].top[top.place]

    def layer(self, top: Top) -> LayerParameter:
        """The layer that makes it."""
        return self.net.layer[top.layer]

    def unread(self) -> list[Top]:
        """The tops that nothing reads: Caffe's output blobs, in Caffe's order, which is that of their names."""
        return sorted((top for top in self.readers if not self.readers[top]), key=lambda top: self.name(top).encode())


def trace_flow(net: NetParameter, source: object, unfiltered: NetParameter | None = None) -> Flow:
    """Resolve the names of an upgraded, filtered network; `unfiltered` has the layers that the filter left out.

    Raises NetworkError where Caffe aborts: for a bottom that no earlier layer produces, and for a second top of a name
    that is not in place: the same position among bottoms and tops, and no other reader of what it overwrites.
    """
    bottoms: list[tuple[Top, ...]] = []
    readers: dict[Top, list[Bottom]] = {}
    made: dict[str, Top] = {}
    for number, layer in enumerate(net.layer):
        read = []
        for index, name in enumerate(layer.bottom):
            if name not in made:
                raise _refusal(
                    source, layer, f"no earlier layer produces its bottom {name!r}" + _hint(net, name, unfiltered)
                )
            read.append(made[name])
            readers[made[name]].append(Bottom(number, index))
        bottoms.append(tuple(read))
        for index, name in enumerate(layer.top):
            made[name] = Top(number, index)
            readers[made[name]] = []
    flow = Flow(net, tuple(bottoms), {top: tuple(places) for top, places in readers.items()})
    _check_tops(flow, source)
    return flow


def _check_tops(flow: Flow, source: object) -> None:
    """A name that is made again must be changed in place, by the only layer that reads it."""
    seen: set[str] = set()
    for number, layer in enumerate(flow.net.layer):
        repeated = [name for name, count in Counter(layer.top).items() if count > 1]
        if repeated:
            raise _refusal(source, layer, f"it has two tops named {repeated[0]!r}")
        for index, name in enumerate(layer.top):
            if name in seen:
                in_place = index < len(layer.bottom) and layer.bottom[index] == name
                if not in_place:
                    raise _refusal(
                        source, layer, f"an earlier layer produces {name!r} too, and this one is not in place"
                    )
                readers = [reader for reader in flow.readers[flow.bottoms[number][index]] if reader != (number, index)]
                if readers:
                    reader_name = flow.net.layer[readers[0].layer].name
                    raise _refusal(
                        source, layer, f"it changes {name!r} in place, which layer {reader_name!r} reads too"
                    )
            seen.add(name)


def _hint(net: NetParameter, name: str, unfiltered: NetParameter | None) -> str:
    for layer in net.layer:
        if name in layer.top:
            return f" (layer {layer.name!r} produces it, but comes later)"
    for layer in unfiltered.layer if unfiltered is not None else ():
        if name in layer.top:
            rules = [f"include {{ {rule} }}" for rule in map(_in_one_line, layer.include)]
            rules += [f"exclude {{ {rule} }}" for rule in map(_in_one_line, layer.exclude)]
            return (
                f"; layer {layer.name!r} ({layer.type}) does, but is left out in the phase "
                f"{Phase.Name(net.state.phase)}: {', '.join(rules)}; give another phase, level or stage"
            )
    return ""


def _in_one_line(rule: NetStateRule) -> str:
    return " ".join(str(rule).split())


def _refusal(source: object, layer: LayerParameter, reason: str) -> NetworkError:
    return NetworkError(f"{source}, layer {layer.name!r} ({layer.type}): {reason}")
