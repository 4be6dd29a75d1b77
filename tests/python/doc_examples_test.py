"""The Python programs of README.md, docs/detection.md and docs/training.md, each by itself as somebody pastes it."""

import re
from pathlib import Path

import pytest

pytest.importorskip("torch")
ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/detection.md", "docs/training.md")
PROGRAMS = [
    (page, number, text)
    for page in PAGES
    for number, text in enumerate(re.findall(r"(?m)^```python\n([\s\S]*?)^```$", (ROOT / page).read_text()))
]


@pytest.mark.parametrize("page, number, text", PROGRAMS, ids=[f"{page}-{number}" for page, number, _ in PROGRAMS])
def test_a_pasted_program_runs(page, number, text, tmp_path, monkeypatch):
    from voxshift.torch import torchsparse

    monkeypatch.chdir(tmp_path)
    with torchsparse.following("2.1"):  # a program may set another version
        exec(compile(text, f"{page}, program {number}", "exec"), {"__name__": "__main__"})


def test_every_page_has_programs():
    assert {page for page, _, _ in PROGRAMS} == set(PAGES) and len(PROGRAMS) >= 5
