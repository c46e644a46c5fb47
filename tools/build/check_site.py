"""That the built site needs nothing from elsewhere: every script, style, image and font lies in its folder.

python -m tools.build.check_site site
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

# Tags whose address is fetched when a page is shown; a link that a reader may click is not.
_FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
_RELATIONS = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "manifest", "modulepreload"}
_IN_STYLES = re.compile(r"""(?:url\(|@import\s+)\s*['"]?((?:https?:)?//[^'")\s]+)""")


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        address = found.get(_FETCHED.get(tag, ""))
        if tag == "link" and not _RELATIONS & set((found.get("rel") or "").split()):
            return
        if address:
            self.fetched.append(address)


def foreign(folder: Path) -> Iterator[tuple[Path, str]]:
    """Pages and styles of a site with each address elsewhere that showing them fetches."""
    for path in sorted(folder.rglob("*.html")):
        page = _Page()
        page.feed(path.read_text())
        yield from ((path, address) for address in page.fetched if re.match(r"(https?:)?//", address))
    for path in sorted(folder.rglob("*.css")):
        yield from ((path, found) for found in _IN_STYLES.findall(path.read_text()))


def main() -> int:
    """Print what is fetched from elsewhere; 1 where there is any, or no page at all."""
    folder = Path(sys.argv[1])
    pages = len(list(folder.rglob("*.html")))
    found = list(foreign(folder))
    for path, address in found:
        print(f"{path}: fetches {address}")
    print(f"{folder}: {pages} pages, {len(found)} addresses elsewhere")
    return 1 if found or not pages else 0


if __name__ == "__main__":
    sys.exit(main())
