"""The pages of the documentation as blocks of code, and what each page needs to have them run.

A block of `sh` or `python` is run as it stands, one of `cpp` or `c` stands in examples/, which is compiled and run, or the
line above says why not: <!-- not run: REASON -->. Other languages are no programs of ours (`text`, `json` ..).
"""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?m)(?:^<!-- not run: (?P<reason>[^\n]+?) -->\n+)?^(?P<indent> *)```(?P<language>\w*)\n(?P<text>[\s\S]*?)^ *```$")
PROGRAMS = {"sh", "python", "cpp", "c"}
NO_PROGRAMS = {"text", "json", "cmake", "java", "sql"}


class Block(NamedTuple):
    page: str
    line: int
    language: str
    text: str
    reason: str  # why it is not run; "" where it is

    def __str__(self):
        return f"{self.page}:{self.line}"


def blocks(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, match.start("language")) + 1, match["language"], match["text"], match["reason"] or "")
        for match in BLOCK.finditer(text)
    ]


def own_test_of(page):
    """The test that runs this page alone, a file with its name."""
    name = f"{Path(page).stem.lower()}_doc_test.py"
    return next((folder / name for folder in (ROOT / "tests" / "python", ROOT / "tests" / "apps") if (folder / name).is_file()), None)
