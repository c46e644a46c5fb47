"""Colours that the colour-blind tell apart (Okabe and Ito, 2008), for light and for dark paper.

Source: Masataka Okabe, Kei Ito, "Color Universal Design", the eight-colour set. Yellow is left out on white, vermillion
darkened for white letters on it, and blue is lightened on black: marks have a contrast of 3:1, letters of 4.5:1.
"""

from __future__ import annotations

LIGHT = ("#0072b2", "#c04d00", "#007a5a", "#a8518a", "#b57900", "#3a87b5", "#444444")
DARK = ("#56b4e9", "#ff8a4a", "#2bc99a", "#e29fc5", "#e69f00", "#9ecbff", "#bbbbbb")
DASHES = ("", "", "7 3", "2 3", "8 3 2 3", "1 4", "10 4")
SERIES = len(LIGHT)


def _variables(colors: tuple[str, ...], **more: str) -> str:
    pairs = {**{f"s{index}": color for index, color in enumerate(colors)}, **more}
    return ";".join(f"--{name}:{color}" for name, color in pairs.items())


LIGHT_VARIABLES = _variables(
    LIGHT, ink="#1b1f24", muted="#57606a", paper="#ffffff", warn="#8f6000", panel="#f6f8fa", line="#d0d7de"
)
DARK_VARIABLES = _variables(
    DARK, ink="#e6edf3", muted="#9aa4af", paper="#0d1117", warn="#e69f00", panel="#161b22", line="#363d47"
)

CHART_STYLE = (
    ".chart text{font-family:system-ui,sans-serif;font-size:12.5px;fill:var(--muted)}"
    ".chart .label{fill:var(--ink)}.chart .heading{fill:var(--ink);font-size:15px;font-weight:600}"
    ".chart .grid{stroke:var(--line);stroke-width:1}.chart .axis{stroke:var(--muted);fill:none}"
    ".chart .line{fill:none;stroke-width:2.2;stroke-linejoin:round}"
    ".chart .limit{stroke-dasharray:3 5;stroke-width:1.5;opacity:.85}"
    ".chart .thin{fill:none;stroke-width:1.4;stroke-linejoin:round}"
    ".chart .range{stroke-width:2;opacity:.55}.chart .box{stroke-width:7;opacity:.45}"
    ".chart .bar{stroke-width:1.2}.chart .open{fill:var(--paper);stroke-width:1.8}"
    ".chart .hollow{fill:none;stroke:var(--muted);stroke-width:1.5}"
    ".chart .tall{stroke-width:10}.chart .spots{stroke-width:7;stroke-linecap:round}"
    ".chart .inside{fill:var(--paper);font-weight:600}"
    ".chart .zero{stroke:var(--muted);stroke-width:1.5}.chart .margin{stroke:var(--s1);stroke-width:1.5;"
    "stroke-dasharray:5 3}.chart .paper{fill:var(--paper)}"
    + "".join(f".s{index}{{stroke:var(--s{index})}}.f{index}{{fill:var(--s{index})}}" for index in range(SERIES))
    + "".join(f".d{index}{{stroke-dasharray:{dash}}}" for index, dash in enumerate(DASHES) if dash)
)


def _resolved(variables: str) -> str:
    """The charts' style with its colours put in: most programs that show an SVG know no variables."""
    style = CHART_STYLE
    for pair in variables.split(";"):
        name, color = pair.split(":")
        style = style.replace(f"var({name})", color)
    return style


STANDALONE_STYLE = f"{_resolved(LIGHT_VARIABLES)}@media (prefers-color-scheme:dark){{{_resolved(DARK_VARIABLES)}}}"
