#!/usr/bin/env python3
"""Writes docs/support.md, what runs where and has a gradient, from the tables that the tests check.

    docs/support_page.py            with the Python package importable
"""

import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parent / "support.md"
TESTS = PAGE.parent.parent / "tests" / "python"

HEAD = """# Support

What runs where, and what has a gradient. Written by `docs/support_page.py` from the tables that the tests in `tests/python` check, so that
a line here is what a test has seen.

"""

OPS = """## Ops of graphs

[The ops](graph.md) run by `Model`, the command and C++. Their gradients are those of `voxshift.torch.Network`, float32 on the CPU. Rows are
what an op takes first: `voxels`, `points`, `groups` of neighbours, `cells` of a dense grid, `clouds` (a row of each cloud, batch or frame) or
the pixels of `images`.

"""

_KINDS = ("voxels", "points", "groups", "cells", "clouds", "images")


def _table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _ops():
    import op_examples as tests

    def row(op):
        taken = tests.rows_taken(op)
        kinds = "any" if set(taken) == set(_KINDS) else ", ".join(kind for kind in _KINDS if kind in taken)
        cuda = tests.NOT_ON["cuda"].get(op)
        missing, left_out = tests.WITHOUT_GRADIENT.get(op), tests.LEFT_OUT.get(op)
        gradient = f"no: {missing}" if missing else f"yes; not of {left_out}" if left_out else "yes"
        return [f"`{op}`", kinds, "yes", f"no: {cuda}" if cuda else "yes", gradient]

    return _table(["op", "rows", "CPU", "CUDA", "gradient"], [row(op) for op in sorted(tests.OPS)])


def page() -> str:
    """The text of docs/support.md."""
    sys.path.insert(0, str(TESTS))
    try:
        return HEAD + OPS + _ops()
    finally:
        sys.path.remove(str(TESTS))


if __name__ == "__main__":
    PAGE.write_text(page())
