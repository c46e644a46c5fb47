"""What a page of the site fetches from elsewhere is found; what a reader may click is not meant."""

from __future__ import annotations

from tools.build.check_site import foreign


def test_what_is_fetched_from_elsewhere_is_found(tmp_path):
    (tmp_path / "page.html").write_text(
        '<link rel="stylesheet" href="//cdn.example/a.css"><link rel="canonical" href="https://example.org/">'
        '<script src="https://cdn.example/a.js"></script><img src="figures/a.svg">'
        '<a href="https://example.org/">elsewhere</a>'
    )
    (tmp_path / "style.css").write_text("@import url(https://fonts.example/css); a { background: url(data:x) }")
    assert [address for _, address in foreign(tmp_path)] == [
        "//cdn.example/a.css",
        "https://cdn.example/a.js",
        "https://fonts.example/css",
    ]
