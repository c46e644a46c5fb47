"""Finds which layers have to stay in FP32 for a network to be converted: by trying, so that a hint is true."""

from __future__ import annotations

import glob
from collections.abc import Callable, Container, Sequence

import onnx

from inferkit.errors import PrecisionError
from inferkit.precision.rewrite.graph import Graph

_ATTEMPTS = 8  # each rewrites and compares the network once more


def keeping_hint(
    option: str, layers: Container[str], base: Graph, failing: Callable[[Sequence[str]], onnx.NodeProto | None]
) -> Callable[[onnx.NodeProto], str]:
    """The hint for the first node of `base` that a rewriting changes: the layers to name in `option`, if they help.

    `layers` are those that the option takes. `failing` gets patterns of layers that are kept, and returns the node that
    is then the first to change, None where none is; PrecisionError where these cannot be kept.
    """

    def hint(node: onnx.NodeProto) -> str:
        kept = _Search(layers, base, failing).kept(node)
        if not kept:
            return (
                "no few layers were found that help by staying in fp32: use the network in fp32 or at another precision"
            )
        patterns = [glob.escape(name) for name in kept]
        flags = " ".join(f"--keep {pattern}" for pattern in patterns)
        return f"keep the layer{'s' if len(kept) > 1 else ''} in fp32: {option}={patterns!r} ({flags})"

    return hint


class _Search:
    def __init__(
        self, layers: Container[str], base: Graph, failing: Callable[[Sequence[str]], onnx.NodeProto | None]
    ) -> None:
        self.layers, self.base, self.failing = layers, base, failing
        self.left = _ATTEMPTS

    def kept(self, node: onnx.NodeProto) -> list[str]:
        """Layers that let the whole network pass; empty where none were found."""
        kept: list[str] = []
        first: onnx.NodeProto | None = node
        while first is not None and self.left > 0:
            candidates = self._next(first, kept)
            if not candidates:
                return []
            kept, first = self._tried(first, kept, candidates)
        return kept if first is None else []

    def _tried(
        self, first: onnx.NodeProto, kept: list[str], candidates: list[str]
    ) -> tuple[list[str], onnx.NodeProto | None]:
        """`kept` and one candidate more if that helps `first`, else all of them; and the first node that changes."""
        singly = [[name] for name in candidates] if len(candidates) > 1 else []
        for added in (*singly, candidates):
            self.left -= 1
            try:
                after = self.failing([glob.escape(name) for name in (*kept, *added)])
            except PrecisionError:  # as where no layer is left to quantize
                continue
            if after is None or after.name != first.name or added is candidates:
                return [*kept, *added], after
        return [*kept, *candidates], first

    def _next(self, node: onnx.NodeProto, kept: Container[str]) -> list[str]:
        """The layers to keep next for the sake of a node: itself, else the nearest before it, else those after it."""
        if node.name in self.layers and node.name not in kept:
            return [node.name]

        def producers(of: onnx.NodeProto) -> list[onnx.NodeProto]:
            return [producer for name in of.input if (producer := self.base.producer(name)) is not None]

        def readers(of: onnx.NodeProto) -> list[onnx.NodeProto]:
            return [reader for name in of.output for reader in self.base.readers(name)]

        for neighbours in (producers, readers):
            names, seen, stack = [], {id(node)}, neighbours(node)
            while stack:
                near = stack.pop()
                if id(near) in seen:
                    continue
                seen.add(id(near))
                if near.name in self.layers and near.name not in kept:
                    names.append(near.name)
                else:
                    stack += neighbours(near)
            if names:
                return names
        return []
