#!/usr/bin/env python3
"""Writes docs/support.md, what runs where, has a gradient and is exported, from the tables that the tests check.

    docs/support_page.py            with the Python package and torch importable
"""

import re
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parent / "support.md"
TESTS = PAGE.parent.parent / "tests" / "python"

HEAD = """# Support

What runs where, what has a gradient, and what `voxshift.torch.export` writes as a model file: the ops of graphs, and the layers of
`voxshift.torch` with those of the libraries whose names it has. Written by `docs/support_page.py` from the tables that the tests in
`tests/python` check, so that a line here is what a test has seen.

"""

OPS = """## Ops of graphs

[The ops](graph.md) run by `Model`, the command and C++. Their gradients are those of `voxshift.torch.Network`, float32 on both. Rows are
what an op takes first: `voxels`, `points`, `groups` of neighbours, `cells` of a dense grid, `clouds` (a row of each cloud, batch or frame) or
the pixels of `images`.

"""

LAYERS = """
## Layers of voxshift.torch

[The package](training.md) for training, and its stand-ins for spconv, torchsparse and MinkowskiEngine. Gradients are those of features and
parameters, float32 on both. CUDA: torch's tensors there, without a copy; the tests ran with the emulated device
([GPU](training.md#on-a-gpu)). Export, of a module on the CPU: `voxshift.torch.export` writes the layer, and the file gives what the layer
does. What is "no" there is an error that names the layer.
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


def _cells(example):
    """CPU, CUDA, gradient, export."""
    if example.does_not_run:
        return (f"no: {example.does_not_run}", "no", "no", "no")
    reasons = (example.without_gradient, example.not_exported)
    return ("yes", "yes", *(f"no: {reason}" if reason else "yes" for reason in reasons))


def _named(layers):
    """Names in one cell; of those that differ in their number of axes all but the first as "2d"."""
    stems = {}
    for layer in layers:
        stem, axes = re.fullmatch(r"(.*?)([1-4]d)?", layer).groups()
        stems.setdefault(stem if axes else layer, []).append(axes or "")
    return ", ".join(f"`{stem}{first}`" + "".join(f", `{axes}`" for axes in rest) for stem, (first, *rest) in stems.items())


def _layers():
    from layer_examples import LIBRARIES

    text = LAYERS
    for library, found in LIBRARIES.items():
        rows = {}
        for layer, example in sorted(found.layers.items()):
            key = example.row or re.sub(r"[1-4]d$", "", layer)
            rows.setdefault((key, _cells(example)), []).append(layer)
        lines = [[_named(layers), *cells] for (_, cells), layers in rows.items()]
        text += f"\n### {library}\n\n" + _table(["layer", "CPU", "CUDA", "gradient", "export"], lines)
    return text


def page() -> str:
    """The text of docs/support.md."""
    sys.path.insert(0, str(TESTS))
    try:
        return HEAD + OPS + _ops() + _layers()
    finally:
        sys.path.remove(str(TESTS))


if __name__ == "__main__":
    PAGE.write_text(page())
