"""`voxshift convert` of ONNX files, and to them, as a user runs it."""

import sys
from pathlib import Path

import numpy as np
from command_fixture import fails, needs_command, succeeds

sys.path.insert(0, str(Path(__file__).parent.parent / "python"))
import onnx_writer as onnx

pytestmark = needs_command

KERNEL = (np.arange(2 * 3 * 3 * 3) % 7 / 7 - 0.4).reshape(2, 3, 3, 3).astype(np.float32)


def write(path, *nodes, out=(1, 2, 6, 5)):
    path.write_bytes(onnx.model(nodes, [onnx.value("x", (1, 3, 6, 5))], [onnx.value("y", out)], {"c.weight": KERNEL}))
    return path


def conv(output):
    return onnx.node("Conv", ["x", "c.weight"], [output], pads=(1, 1, 1, 1))


def plain_conv(x):
    padded = np.pad(x[0].astype(np.float64), ((1, 1), (1, 1), (0, 0)))
    return np.array([[[(padded[i : i + 3, j : j + 3] * KERNEL[o].transpose(1, 2, 0)).sum() for o in range(2)]
                      for j in range(5)] for i in range(6)])


def test_an_onnx_file_becomes_a_model_that_runs_and_an_onnx_file_again(tmp_path):
    write(tmp_path / "net.onnx", conv("a"), onnx.node("Relu", ["a"], ["y"]))
    text = succeeds("convert", "net.onnx", "-o", "net.safetensors", cwd=tmp_path)
    assert "recognised ONNX opset 13, by writer" in text and "images of 6 x 5" in text
    x = np.random.default_rng(2).normal(size=(1, 6, 5, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    succeeds("run", "net.safetensors", "--input", "input=x.npy", "--out", "out", cwd=tmp_path)
    found = np.load(tmp_path / "out" / "y.npy")
    np.testing.assert_allclose(found[0], np.maximum(plain_conv(x), 0), rtol=1e-5, atol=1e-6)
    succeeds("convert", "net.safetensors", "-o", "again.onnx", cwd=tmp_path)
    (tmp_path / "size.json").write_text('{"name": "size", "frames": {"height": 6, "width": 5, "resize": 6, '
                                        '"mean": [0, 0, 0], "std": [1, 1, 1], "segments": 1}}')
    succeeds("convert", "again.onnx", "-o", "again.safetensors", "--preprocess", "size.json", cwd=tmp_path)
    succeeds("run", "again.safetensors", "--input", "input=x.npy", "--out", "again", cwd=tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "again" / "y.npy"), found)


def test_outputs_are_chosen(tmp_path):
    write(tmp_path / "net.onnx", conv("a"), onnx.node("NonZero", ["a"], ["y"]))
    fails("convert", "net.onnx", "-o", "net.safetensors", cwd=tmp_path, says=["net.onnx: ", "(NonZero)"])
    assert not (tmp_path / "net.safetensors").exists()
    succeeds("convert", "net.onnx", "-o", "net.safetensors", "--outputs", "a", cwd=tmp_path)


def test_a_network_of_video_has_no_onnx_file(tmp_path):
    succeeds("new", "tsm-mobilenetv2", "-o", "tsm.safetensors", "--width", "0.25", cwd=tmp_path)
    fails("convert", "tsm.safetensors", "-o", "tsm.onnx", cwd=tmp_path, says=["tsm.safetensors: ", "temporal_shift"])
    assert not (tmp_path / "tsm.onnx").exists()
