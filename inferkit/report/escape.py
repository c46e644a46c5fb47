"""Text from outside as text in HTML and XML, whatever it contains."""

from __future__ import annotations

import html
import re

# What XML 1.0 cannot hold, half characters, and marks that turn the direction of the text around them.
_UNSHOWN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """The text with U+FFFD in place of every character that no file or reader should get."""
    return _UNSHOWN.sub("\ufffd", text)


def escape(text: str) -> str:
    """The text for the content or an attribute (in quotes) of an element."""
    return html.escape(clean(text))
