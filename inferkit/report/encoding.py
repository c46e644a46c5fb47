"""Text for terminals and logs that are not UTF-8: other characters in place of those that they lack, never an error."""

from __future__ import annotations

import codecs
from typing import TypeVar

_Stream = TypeVar("_Stream")

# One for one, so that the columns of a table stay below each other.
_PLAIN = dict(zip("·×…±–─━│▁▂▃▄▅▆▇█µ°", "-x~~---|_.-:=+*#uo", strict=True))
_HANDLER = "inferkit.plain"


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(character, "?") for character in error.object[error.start : error.end]), error.end


codecs.register_error(_HANDLER, _plain)


def never_failing(stream: _Stream) -> _Stream:
    """The stream itself, which from now on writes plainer characters for those that its encoding lacks.

    What is no text stream of a file, such as a buffer in memory or None, is left as it is.
    """
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors=_HANDLER)
    return stream
