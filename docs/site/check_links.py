"""Every link, picture, script and anchor of the built site leads to something in it, and nothing is fetched from elsewhere.

check_links.py FOLDER
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LINKS = {"a": "href", "link": "href", "img": "src", "script": "src", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """Anchors of a page, its links as (tag, target), and Markdown that was left as text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[tuple[str, str]] = []
        self.left: list[str] = []
        self.verbatim = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if LINKS.get(tag) in values and values.get("rel") != "canonical":
            self.links.append((tag, values[LINKS[tag]]))
        self.verbatim += tag in {"pre", "code", "script", "style"}

    def handle_endtag(self, tag: str) -> None:
        self.verbatim -= tag in {"pre", "code", "script", "style"}

    def handle_data(self, data: str) -> None:
        if not self.verbatim and any(mark in data for mark in ("|---", "| ---", "```", "](", "\n- ", "\n* ", "\n1. ")):
            self.left.append(" ".join(data.split())[:80])


def problems(site: Path) -> list[str]:
    """A line for each link that leads nowhere."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        name = path.relative_to(site)
        ours = "cpp" not in name.parts  # else Doxygen's
        if ours:
            found += [f"{name}: Markdown that is not understood: {text}" for text in page.left]
        for tag, link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if tag != "a" and parts.scheme not in {"data", "javascript"}:
                    found.append(f"{name}: fetches {link}")  # by itself, as it is no <a>
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                found.append(f"{name}: {link} leads nowhere")
            elif ours and parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors | {"__top"}:
                found.append(f"{name}: {link} has no such anchor")
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1]).resolve()
    lines = problems(folder)
    for line in lines:
        print(line, file=sys.stderr)
    sys.exit(bool(lines))
