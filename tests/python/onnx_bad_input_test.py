"""ONNX files that are damaged, hostile, or say what has no exact counterpart: one error that names the file."""

import numpy as np
import onnx_networks as zoo
import onnx_writer as onnx
import pytest
import torch
import voxshift as vs
from torch import nn

IN, OUT = [onnx.value("x", (1, 3, 8, 8))], [onnx.value("y", (1, 3, 8, 8))]
KERNEL = np.ones((4, 3, 3, 3), np.float32)


def refused(tmp_path, content, words):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(OSError, match=words) as error:
        vs.convert(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def one(op, inputs=("x",), initializers=None, opset=13, **attributes):
    return onnx.model([onnx.node(op, inputs, ["y"], "name", **attributes)], IN, OUT, initializers, opset)


REFUSED = {
    "unknown op": (one("NonMaxSuppression"), r'node "name" \(NonMaxSuppression\)'),
    "another domain": (onnx.model([onnx.node("Magic", ["x"], ["y"], domain="mine")], IN, OUT), r"\(Magic\).*mine"),
    "missing initializer": (one("Conv", ["x", "w"]), 'takes "w", which no node'),
    "cycle": (onnx.model([onnx.node("Relu", ["b"], ["a"]), onnx.node("Relu", ["a"], ["b"]), onnx.node("Relu", ["a"], ["y"])], IN, OUT),
              "which no node"),
    "two makers": (onnx.model([onnx.node("Relu", ["x"], ["y"]), onnx.node("Relu", ["x"], ["y"])], IN, OUT), "two nodes"),
    "no such output": (onnx.model([onnx.node("Relu", ["x"], ["z"])], IN, OUT), 'output "y"'),
    "output of the file's numbers": (one("Identity", ["w"], {"w": KERNEL}), "no tensor that the network computes"),
    "old opset": (one("Relu", opset=6), "opset 6"),
    "no inputs": (onnx.model([onnx.node("Relu", ["x"], ["y"])], [], OUT), "no input"),
    "two inputs": (onnx.model([onnx.node("Relu", ["x"], ["y"])], [*IN, onnx.value("z", (1, 3, 8, 8))], OUT), '"x" and "z"'),
    "open extent": (onnx.model([onnx.node("Relu", ["x"], ["y"])], [onnx.value("x", ("N", 3, "h", "w"))], OUT), "--preprocess"),
    "a row of numbers": (onnx.model([onnx.node("Relu", ["x"], ["y"])], [onnx.value("x", (1, 3))], OUT), "images"),
    "huge image": (onnx.model([onnx.node("Relu", ["x"], ["y"])], [onnx.value("x", (1, 3, 1 << 40, 1 << 40))], OUT), "pixels"),
    "kernel of another size": (one("Conv", ["x", "w"], {"w": KERNEL}, kernel_shape=(5, 5)), "kernel_shape"),
    "kernel of other channels": (one("Conv", ["x", "w"], {"w": KERNEL[:, :2]}), "for 3 channels"),
    "kernel along one axis": (one("Conv", ["x", "w"], {"w": KERNEL[..., 0]}), "4 axes"),
    "negative pads": (one("Conv", ["x", "w"], {"w": KERNEL}, pads=(-1, 0, 0, 0)), "pads of 0"),
    "unknown auto_pad": (one("Conv", ["x", "w"], {"w": KERNEL}, auto_pad="MAYBE"), "MAYBE"),
    "window beyond the image": (one("MaxPool", kernel_shape=(9, 9)), "larger than its image"),
    "max pool of negative numbers with an odd border": (one("MaxPool", kernel_shape=(2, 2), pads=(0, 0, 1, 1)), "negative"),
    "means without a border on one side": (one("AveragePool", kernel_shape=(2, 2), pads=(0, 0, 1, 1)), "count_include_pad"),
    "training": (one("BatchNormalization", ["x", "w", "w", "w", "w"], {"w": np.ones(3, np.float32)}, training_mode=1), "training"),
    "pixels apart": (one("Reshape", ["x", "s"], {"s": np.array([1, 3, 4, 16])}), "takes apart"),
    "another size": (one("Reshape", ["x", "s"], {"s": np.array([1, 5, 8, 8])}), "takes apart"),
    "softmax over pixels": (one("Softmax", axis=3), "pixels"),
    "softmax over several axes": (one("Softmax", opset=11), "several axes"),
    "numbers that differ from pixel to pixel": (one("Add", ["x", "w"], {"w": np.arange(64.0, dtype=np.float32).reshape(8, 8)}), "pixel"),
    "quotient": (one("Div", ["x", "x"]), "divides"),
    "reflected border": (one("Pad", ["x", "p"], {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])}, mode="reflect"), "zeros"),
    "cubic": (one("Resize", ["x", "", "s"], {"s": np.array([1, 1, 2, 2], np.float32)}, mode="cubic"), "cubic"),
    "asymmetric mixture": (one("Resize", ["x", "", "s"], {"s": np.array([1, 1, 2, 2], np.float32)}, mode="linear",
                               coordinate_transformation_mode="asymmetric"), "asymmetric"),
    "nearest otherwise": (one("Resize", ["x", "", "s"], {"s": np.array([1, 1, 2.5, 2.5], np.float32)}, nearest_mode="ceil"), "rounds"),
    "Upsample's mixture": (one("Upsample", ["x", "s"], {"s": np.array([1, 1, 2, 2], np.float32)}, 9, mode="linear"), "asymmetric"),
    "many numbers": (onnx.model([onnx.node("ConstantOfShape", ["s"], ["c"], value=np.ones(1, np.float32)), onnx.node("Add", ["x", "c"], ["y"])],
                                IN, OUT, {"s": np.array([1 << 40])}), "before any frame"),
    "division by zero": (onnx.model([onnx.node("Div", ["s", "z"], ["c"]), onnx.node("Reshape", ["x", "c"], ["y"])], IN, OUT,
                                    {"s": np.array([4]), "z": np.array([0])}), "divides by 0"),
    "a step of zero": (one("Slice", ["x", "a", "b", "c", "d"], {"a": np.array([0]), "b": np.array([2]), "c": np.array([1]), "d": np.array([0])}), "step 0"),
    "an axis that is none": (one("Softmax", axis=7), "axis 7 of 4"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_counterpart_is_refused_by_name(tmp_path, case):
    refused(tmp_path, *REFUSED[case])


def initializer(*fields):
    graph = onnx.field(1, onnx.node("Conv", ["x", "w"], ["y"], "name")) + onnx.field(5, b"".join(fields) + onnx.field(8, "w"))
    graph += onnx.field(11, IN[0]) + onnx.field(12, OUT[0])
    return onnx.field(1, 7) + onnx.field(7, graph) + onnx.field(8, onnx.field(2, 13))


def test_tensors_that_lie_are_refused(tmp_path):
    dims = lambda *extents: b"".join(onnx.field(1, extent) for extent in extents)
    floats = onnx.field(2, 1)
    refused(tmp_path, initializer(dims(4, 3, 3, 3), floats, onnx.field(9, b"1234")), "expects 108 numbers")
    refused(tmp_path, initializer(dims(1 << 40, 1 << 40), floats, onnx.field(9, b"1234")), "impossible shape")
    refused(tmp_path, initializer(dims(1 << 33), floats, onnx.field(9, b"1234")), "expects 8589934592 numbers")
    refused(tmp_path, initializer(dims(-1), floats), "impossible shape")
    refused(tmp_path, initializer(dims(4), onnx.field(2, 8), onnx.field(6, b"text")), "data type 8")
    refused(tmp_path, initializer(dims(4, 3, 3, 3), floats, onnx.field(14, 1)), "another file")


def test_a_file_cut_anywhere_is_refused(tmp_path):
    whole = zoo.export(zoo.settled(zoo.Mobile()), tmp_path / "whole.onnx").read_bytes()
    for length in [0, 1, 2, 10, *range(17, len(whole), 97), len(whole) - 1]:
        refused(tmp_path, whole[:length], None)
    refused(tmp_path, b"\x08" + bytes(range(256)) * 40, None)


def test_changed_bytes_never_do_harm(tmp_path, random):
    whole = bytearray(zoo.export(zoo.settled(zoo.Detector()), tmp_path / "whole.onnx").read_bytes())
    for _ in range(150):
        changed = bytearray(whole)
        for at in random.integers(0, len(whole), 3):
            changed[at] = random.integers(256)
        (tmp_path / "net.onnx").write_bytes(changed)
        try:
            vs.convert(tmp_path / "net.onnx")
        except (OSError, ValueError) as error:
            assert "\n" not in str(error)


def test_a_name_that_steers_a_terminal_is_said_without(tmp_path):
    refused(tmp_path, onnx.model([onnx.node("Bad\x1b[2J\n", ["x"], ["y"])], IN, OUT), r"Bad\?\[2J\?")


def test_outputs_within_a_file_can_be_asked_for(tmp_path):
    """What has no counterpart is then left out where it is not needed."""
    nodes = [onnx.node("Conv", ["x", "w"], ["a"]), onnx.node("NonMaxSuppression", ["a"], ["y"])]
    (tmp_path / "net.onnx").write_bytes(onnx.model(nodes, IN, OUT, {"w": KERNEL}))
    model = vs.convert(tmp_path / "net.onnx", outputs=["a"])
    x = np.random.default_rng(3).normal(size=(1, 8, 8, 3)).astype(np.float32)
    expected = nn.functional.conv2d(torch.from_numpy(x.transpose(0, 3, 1, 2)), torch.from_numpy(KERNEL)).numpy()
    np.testing.assert_allclose(np.asarray(model.run(x)["a"][0] if isinstance(model.run(x)["a"], tuple) else model.run(x)["a"]),
                               expected.transpose(0, 2, 3, 1), rtol=1e-5, atol=1e-5)
    with pytest.raises(OSError, match='output "b"'):
        vs.convert(tmp_path / "net.onnx", outputs=["b"])
