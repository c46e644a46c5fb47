"""Finds the layer around a place in a prototxt that does not parse, so that an error can name it."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"#[^\n]*|\"(?:\\.|[^\"\\\n])*\"?|'(?:\\.|[^'\\\n])*'?|[{}<>]|:|[\w.+-]+|\S")
# How deep a layer's name and type stand: in the oldest form within `layers { layer { } }`.
_DEPTHS = {"layer": (1,), "layers": (1, 2)}


def enclosing_layer(text: str, line: int, column: int) -> str | None:
    """Name and type of the layer whose braces enclose a place (both counted from 1), like "layer 'fc' (Softmax)".

    Reads on to the layer's end, since its type may be written after the place. None outside of layers.
    """
    place = _offset(text, line, column)
    depth, start, entry, values = 0, 0, "", dict[str, str]()
    before: list[str] = ["", ""]  # the two tokens before this one
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token.startswith("#"):
            continue
        if token in "{<":
            if depth == 0:
                start, values = match.start(), {}
                entry = before[1] if before[1] != ":" else before[0]
            depth += 1
        elif token in "}>":
            depth = max(depth - 1, 0)
            if depth == 0:
                if start <= place <= match.start():
                    break
                if start > place:
                    return None
        elif before[1] == ":" and before[0] in ("name", "type") and depth in _DEPTHS.get(entry, ()):
            values.setdefault(before[0], token.strip("\"'"))
        before = [before[1], token]
    else:
        if depth == 0 or start > place:  # outside of all, or the last layer lacks its closing brace
            return None
    if entry not in ("layer", "layers"):
        return None
    name = f"layer {values['name']!r}" if "name" in values else "a layer without a name"
    return f"{name} ({values['type']})" if "type" in values else name


def _offset(text: str, line: int, column: int) -> int:
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    return starts[min(line, len(starts)) - 1] + column - 1
