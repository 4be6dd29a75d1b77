"""The page of what is supported says what the tests' tables do."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: Debian's python3-torch")

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_is_what_the_tests_check():
    sys.path.insert(0, str(DOCS))
    try:
        import support_page
    finally:
        sys.path.remove(str(DOCS))
    assert support_page.PAGE.read_text() == support_page.page(), "run docs/support_page.py"
