"""What docs/phone.md and docs/c_api.md show of C stands in examples, which the tests compile and run."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def snippets(page):
    return re.findall(r"^```c\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["phone.md", "c_api.md"])
def test_c_of_the_pages_is_compiled(page):
    examples = [file.read_text() for file in (ROOT / "examples").glob("*.c")]
    for snippet in snippets(page):
        assert any(snippet in example for example in examples), snippet


def test_the_page_has_c():
    assert len(snippets("phone.md")) == 2
