"""What docs/site/check_links.py finds in a site: links, anchors and pictures that are not there, and what is fetched."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).parents[2] / "docs" / "site" / "check_links.py"


def check(folder):
    done = subprocess.run([sys.executable, CHECK, folder], capture_output=True, text=True, timeout=60)
    assert not done.stdout and bool(done.stderr) == bool(done.returncode)
    return done.stderr.splitlines()


@pytest.fixture
def site(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "below" / "page.html").write_text('<h2 id="there">There</h2><img src="../picture.png"><a href="../index.html">up</a>')
    return tmp_path


@pytest.mark.parametrize(
    "html, found",
    [
        ('<a href="below/page.html#there">x</a> <a href="#here" id="here">x</a> <a href="https://example.org/">x</a>', None),
        ("<pre>\n- [a](b)\n```\n</pre><code>](</code><p>a - b</p>", None),
        ('<a href="below/gone.html">x</a>', "below/gone.html leads nowhere"),
        ('<a href="below/page.html#gone">x</a>', "below/page.html#gone has no such anchor"),
        ('<a href="#gone">x</a>', "#gone has no such anchor"),
        ('<img src="gone.png">', "gone.png leads nowhere"),
        ('<script src="https://example.org/x.js"></script>', "fetches https://example.org/x.js"),
        ('<link rel="stylesheet" href="https://example.org/x.css">', "fetches https://example.org/x.css"),
        ("<p>text\n- no list</p>", "Markdown that is not understood: text - no list"),
        ("<p>| a |\n| --- |</p>", "Markdown that is not understood: | a | | --- |"),
    ],
)
def test_of_a_page(site, html, found):
    (site / "index.html").write_text(html)
    assert check(site) == ([f"index.html: {found}"] if found else [])
