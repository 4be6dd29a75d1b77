"""The table of ops: complete, and what its page says."""

import sys
from pathlib import Path

import numpy as np
import pytest

import voxshift as vs

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_of_ops_is_what_the_library_defines():
    sys.path.insert(0, str(DOCS))
    try:
        import graph_page
    finally:
        sys.path.remove(str(DOCS))
    assert graph_page.PAGE.read_text() == graph_page.page(), "run docs/graph_page.py"


def test_ops_say_what_they_take():
    ops = vs.graph_ops()
    assert set(ops["conv"]["parameters"]) == {"weight", "bias"}
    assert ops["conv"]["parameters"]["bias"] == {"shape": "[Cout]", "required": False}
    assert ops["conv"]["attributes"]["stride"]["default"] == 1
    assert ops["conv"]["attributes"]["semantics"]["default"] == "floor"
    assert "default" not in ops["max_pool2d"]["attributes"]["kernel_size"]
    assert ops["cat"]["any_number_of_inputs"] and not ops["add"]["any_number_of_inputs"]
    assert ops["add"]["inputs"] == ["a", "b"]
    for name, op in ops.items():
        assert op["text"].endswith("."), name


def test_graphs_of_the_builders_use_the_table():
    ops = vs.graph_ops()
    for arch in ("minkunet", "spvcnn", "pvcnn", "pointnet++", "tsm-mobilenetv2"):
        for node in vs.Model.new(arch, width=0.125).graph["nodes"]:
            known = ops[node["op"]]
            attributes = set(node) - {"name", "op", "inputs", "parameters"}
            assert attributes == set(known["attributes"]), node["name"]  # every one of them, defaults too
            assert set(node.get("parameters", {})) <= set(known["parameters"]), node["name"]


def linear_graph(**node):
    return {
        "input": "voxels",
        "dims": 3,
        "in_channels": 4,
        "output": "a",
        "nodes": [{"name": "a", "op": "linear", "inputs": ["input"], "parameters": {"weight": "w"}, **node}],
    }


@pytest.mark.parametrize(
    "change, says",
    [
        ({"op": "convolve"}, ['"a"', 'unknown op "convolve"']),
        ({"stride": 2}, ['"a"', "(linear)", 'no attribute "stride"']),
        ({"inputs": ["nowhere"]}, ['"a"', '"nowhere"']),
        ({"parameters": {"weight": "v"}}, ['"v"', '"a"', "missing"]),
        ({"op": "max_pool2d", "parameters": {}, "kernel_size": 3}, ['"a"', "max_pool2d", "takes images"]),
        ({"op": "columns", "parameters": {}, "first": 3, "count": 2}, ['"a"', "columns 3 to 5 of 4"]),
        ({"op": "columns", "parameters": {}, "first": -1, "count": 2}, ['"a"', "first", "0 to 8192", "-1"]),
    ],
)
def test_graphs_that_do_not_hold_together(change, says):
    with pytest.raises(ValueError) as error:
        vs.Model.from_graph(linear_graph(**change), {"w": np.ones((2, 4), np.float32)}, classes=2)
    for part in says:
        assert part in str(error.value)
