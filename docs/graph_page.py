#!/usr/bin/env python3
"""Writes docs/graph.md, the page of the ops that graphs are made of, from the definitions in the library.

    docs/graph_page.py            with the Python package importable
"""

from pathlib import Path

import voxshift as vs

PAGE = Path(__file__).resolve().parent / "graph.md"

HEAD = """# Graphs

A network is a graph of ops with named tensors, in one `.safetensors` file. `Model.graph` in Python and the metadata
`voxshift.graph` of a file have it as

```text
{"input": "voxels", "dims": 3, "in_channels": 4, "nodes": [NODE, ..], "outputs": ["name of a node", ..]}
```

`input` says what the rows of the value called `input` are: the `voxels` of a sparse tensor, the `points` of one or more clouds
(x, y and z are the first three channels), or the pixels of `frames`. A network with several inputs, or one of another name, has a
list in place of `input` and `in_channels`:

```text
"inputs": [{"name": "scan", "kind": "voxels", "channels": 4}, {"name": "normals", "rows_of": "scan", "channels": 3}]
```

An input that gives `rows_of` in place of a kind has further channels of the rows of one before it. Inputs of rows of their own meet
where an op joins them, like `union_add`, or one row per cloud, batch or frame (`avg_pool`, `max_pool`, `broadcast`): points and frames
hold as many of those, and voxels lie in no more batches. A node is

```text
{"name": "conv0", "op": "conv", "inputs": ["input"], "parameters": {"weight": "name of a tensor"}, "kernel_size": [3, 3, 3]}
```

Its value is known by its name. Attributes stand beside the rest; one that has a default may be left out, and one number stands
for all axes. Nodes come in any order. What does not fit, be it an unknown op or attribute, a value out of its limits, a tensor of
another shape, or values whose rows never meet, is one error that names the node, before anything runs.

A graph of an i8 network has `scales`, too:

```text
"scales": {"conv0.relu": "name of a tensor f32 [1] or [channels]", ..}
```

A value with a scale is whole numbers n of -127..127 that stand for n times the scale. A product that reads one may have a weight of
i8, and then names the tensor `weight_scale`, f32 [Cout]: with q the exact sum of whole inputs times whole weights, output o is
q * weight_scale[o] + bias[o], so that it holds the scale of the input, too. Inputs and outputs of the network have no scale.

```python
model = vs.Model.from_graph(graph, {"name of a tensor": weight}, profile=None, classes=0)
model.save("net.safetensors")                 # `voxshift run net.safetensors --input .. --out ..` runs it, too
features, coords = model.run(x)["name of a node"]  # of several inputs model.run({"scan": x, "normals": y})
```

`classes` and `profile` are for networks that label points (`Model.segment`). Networks on `frames` run as streams and clips, with any
op of images. Batch norm, functions of a number (relu, hard_swish, clip ..) and sums are folded into the product before them, and
a concatenation is written where it lies; nothing has to be fused by hand.

`voxshift.graph_ops()` gives this table to programs. A definition is a file in `graph/ops/`; this page is written by
`docs/graph_page.py`.

"""


def _default(attribute):
    if "default" not in attribute:
        return "required"
    default = attribute["default"]
    return f"default `{str(default).lower() if isinstance(default, bool) else default}`"


def _inputs(op):
    names = ", ".join(op["inputs"])
    return f"({names}, ..)" if op["any_number_of_inputs"] else f"({names})"


def page() -> str:
    """The text of docs/graph.md."""
    parts = [HEAD]
    for name, op in sorted(vs.graph_ops().items()):
        parts.append(f"## {name} {_inputs(op)}\n\n{op['text']}\n\n")
        for role, parameter in op["parameters"].items():
            parts.append(f"- tensor `{role}` f32 {parameter['shape']}{'' if parameter['required'] else ', optional'}\n")
        for key, attribute in op["attributes"].items():
            parts.append(f"- `{key}`: {attribute['expects']}, {_default(attribute)}; {attribute['text']}\n")
        if op["parameters"] or op["attributes"]:
            parts.append("\n")
    return "".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
