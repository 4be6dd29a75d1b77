"""What mkdocs does not do by itself: pages from outside of docs/, links to them, pages of the Python packages, Doxygen."""

from __future__ import annotations

import posixpath
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import python_pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOXYGEN = ROOT / "build" / "doxygen"
# Where a link or a picture leads, in Markdown and in HTML; anchor and title are left as they are.
TARGET = re.compile(r'(?P<before>\]\(|\b(?:src|href)=")(?P<path>[^)\s"#:]+)')
LANGUAGES = {".h": "cpp", ".cpp": "cpp", ".c": "c", ".py": "python", ".sh": "sh", ".java": "java", ".toml": "toml"}


def header_pages() -> dict[str, str]:
    """Public header -> Doxygen's page of it."""
    files = [found for found in ElementTree.parse(DOXYGEN / "tags.xml").getroot().iter("compound") if found.get("kind") == "file"]
    paths = [Path(file.findtext("path", "")) / file.findtext("name", "") for file in files]
    return {path.relative_to(ROOT).as_posix(): f"api/cpp/{file.findtext('filename')}" for path, file in zip(paths, files) if path.suffix == ".h"}


HEADERS = header_pages()


def page_of(path: str) -> str:
    """The site's file that shows the repository's file `path`."""
    if path == "README.md":
        return "index.md"
    if path.startswith("docs/"):
        return path[len("docs/") :]
    if path in HEADERS:
        return HEADERS[path]
    return f"repository/{path}" + ("" if Path(path).suffix in {".md", ".png", ".svg"} else ".md")


def linked(page: str, text: str) -> list[str]:
    """Files of the repository that the page `page` of it links to, folders by their README.md."""
    found = []
    for match in TARGET.finditer(text):
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), match["path"]))
        if (ROOT / path / "README.md").is_file():
            path += "/README.md"
        if (ROOT / path).is_file():
            found.append(path)
    return found


def content(path: str) -> str:
    """The Markdown that shows a text file of the repository."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".md"):
        return text
    return f"# {path}\n\n````{LANGUAGES.get(Path(path).suffix, 'text')}\n{text}\n````\n"


def with_links_of_the_site(page: str, text: str) -> str:
    """The text of a page of the repository, its links leading to the pages that show what they led to."""

    def replaced(match: re.Match[str]) -> str:
        for path in linked(page, match[0]):
            return match["before"] + posixpath.relpath(page_of(path), posixpath.dirname(page_of(page)) or ".")
        return match[0]

    return TARGET.sub(replaced, text)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    python_pages.fill_navigation(config.nav)
    return config


def headers_page() -> str:
    """The headers that <voxshift/voxshift.h> has, under its words for them, as links to Doxygen's pages."""
    lines = ["# C++", "", "`#include <voxshift/voxshift.h>` has all of it; `find_package(voxshift)` and `voxshift::voxshift` in CMake. "]
    lines += ["What [Doxygen](cpp/annotated.html) makes of the headers, by what they are for:", ""]
    for line in (ROOT / "voxshift.h").read_text(encoding="utf-8").split("#pragma once")[1].splitlines():
        if line.startswith("// "):
            lines.append(line[3:])
        elif header := re.match(r"#include <voxshift/(.*)>", line):
            first = (ROOT / header[1]).read_text(encoding="utf-8").split("\n#")[0]
            lines += [] if lines[-1].startswith("- ") else [""]
            text = " ".join(first.replace("//", " ").split())
            lines.append(f"- [{header[1]}]({posixpath.relpath(HEADERS[header[1]], 'api')}): {text}")
        else:
            lines.append("")
    return "\n".join(lines)


def copied(config: MkDocsConfig, uri: str, path: Path) -> File:
    return File.generated(config, uri, abs_src_path=str(path))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    html = DOXYGEN / "html"
    added = [copied(config, f"api/cpp/{file.relative_to(html).as_posix()}", file) for file in sorted(html.rglob("*")) if file.is_file()]
    added.append(copied(config, "javascripts/iframe-worker.js", ROOT / "docs/site/iframe-worker.js"))
    written = {"api/cpp.md": headers_page(), **python_pages.pages()}
    added += [File.generated(config, uri, content=text) for uri, text in written.items()]
    todo = ["README.md", "CHANGELOG.md", *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    while todo:
        path = todo.pop()
        uri = page_of(path)
        if uri in REPOSITORY or path in HEADERS:
            continue
        REPOSITORY[uri] = path
        if path.endswith(".md"):
            todo += linked(path, (ROOT / path).read_text(encoding="utf-8"))
        if not path.startswith("docs/"):
            added.append(File.generated(config, uri, content=content(path)) if uri.endswith(".md") else copied(config, uri, ROOT / path))
    for file in added:
        files.append(file)
    return files


REPOSITORY: dict[str, str] = {}  # the site's page -> the repository's file that it shows


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    path = REPOSITORY.get(page.file.src_uri, "")
    return with_links_of_the_site(path, markdown) if path.endswith(".md") else markdown


def on_post_build(config: MkDocsConfig) -> None:
    (Path(config.site_dir) / "404.html").unlink()  # of a server; its links are absolute
