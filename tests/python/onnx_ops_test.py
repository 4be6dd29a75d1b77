"""Forms of ONNX nodes that torch's exporter does not write; torch's functions are the oracle."""

import numpy as np
import onnx_writer as onnx
import pytest
import torch
import voxshift as vs
from torch.nn import functional as F

SHAPE = (1, 3, 9, 8)
X = torch.randn(SHAPE, generator=torch.Generator().manual_seed(4))
W = torch.randn(4, 3, 3, 2, generator=torch.Generator().manual_seed(5)) / 4
FLAT = torch.randn(27, 5, generator=torch.Generator().manual_seed(6)) / 5


def converted(tmp_path, nodes, initializers=None, opset=13, shape=SHAPE, name="y"):
    numbers = {key: np.asarray(value) for key, value in (initializers or {}).items()}
    content = onnx.model(nodes, [onnx.value("x", shape)], [onnx.value(name, (1,))], numbers, opset)
    (tmp_path / "net.onnx").write_bytes(content)
    return vs.convert(tmp_path / "net.onnx")


def result(model):
    value = model.run(np.ascontiguousarray(X.numpy().transpose(0, 2, 3, 1)))
    value = list(value.values())[0] if isinstance(value, dict) else value
    value = np.asarray(value[0] if isinstance(value, tuple) else value)
    return value.transpose(0, 3, 1, 2) if value.ndim == 4 else value


def expect(tmp_path, expected, *args, **options):
    found = result(converted(tmp_path, *args, **options))
    np.testing.assert_allclose(found.reshape(tuple(expected.shape)), expected.numpy(), rtol=1e-5, atol=1e-5)


def one(op, *inputs, **attributes):
    return [onnx.node(op, ["x", *inputs], ["y"], "name", **attributes)]


def test_pads_that_a_stride_asks_for(tmp_path):
    """9 x 8 pixels, windows of 3 x 2 by 2: one pixel above and below; none, or one, on the sides."""
    for name, pads in (("SAME_UPPER", (0, 0, 1, 1)), ("SAME_LOWER", (0, 0, 1, 1))):
        expected = F.conv2d(F.pad(X, pads), W, stride=2)
        expect(tmp_path, expected, one("Conv", "w", auto_pad=name, strides=(2, 2)), {"w": W})
    wide = W[:, :, :, :1].repeat(1, 1, 1, 4) * torch.arange(1.0, 5)  # 4 taps by 1: three pixels, one or two before
    for name, pads in (("SAME_UPPER", (1, 2, 1, 1)), ("SAME_LOWER", (2, 1, 1, 1))):
        expect(tmp_path, F.conv2d(F.pad(X, pads), wide), one("Conv", "w", auto_pad=name), {"w": wide})
    expect(tmp_path, F.conv2d(X, W), one("Conv", "w", auto_pad="VALID", pads=(1, 1, 1, 1)), {"w": W})


def test_pools_with_another_border_on_each_side(tmp_path):
    relu = onnx.node("Relu", ["x"], ["r"])
    pool = onnx.node("MaxPool", ["r"], ["y"], kernel_shape=(3, 3), strides=(2, 2), pads=(0, 1, 2, 0))
    expect(tmp_path, F.max_pool2d(F.pad(F.relu(X), (1, 0, 0, 2)), 3, 2), [relu, pool])
    expected = F.avg_pool2d(F.pad(X, (1, 0, 0, 2)), 3, 2)
    expect(tmp_path, expected, one("AveragePool", kernel_shape=(3, 3), strides=(2, 2), pads=(0, 1, 2, 0), count_include_pad=1))


def test_transposed_convolution_that_leaves_more_out_at_one_end(tmp_path):
    weight = W.transpose(0, 1).contiguous()
    expected = F.conv_transpose2d(X, weight, stride=2, padding=(1, 0), output_padding=(1, 1))[:, :, :-1, :-1]
    node = one("ConvTranspose", "w", strides=(2, 2), pads=(1, 0, 2, 1), output_padding=(1, 1))
    expect(tmp_path, expected, node, {"w": weight})


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_with_factors_of_pixels_in_either_order(tmp_path, transposed):
    """Channels last before they become a row: numbers of the matrix change places."""
    nodes = [
        onnx.node("AveragePool", ["x"], ["a"], kernel_shape=(3, 2), strides=(3, 3)),
        onnx.node("Transpose", ["a"], ["b"], perm=(0, 2, 3, 1)),
        onnx.node("Flatten", ["b"], ["c"]),
        onnx.node("Gemm", ["c", "m", "k"], ["y"], alpha=0.5, beta=2.0, transB=transposed),
    ]
    bias = torch.tensor([1.0, 2, 3, 4, 5])
    pooled = F.avg_pool2d(X, (3, 2), 3).permute(0, 2, 3, 1).reshape(1, -1)
    matrix = FLAT.t().contiguous() if transposed else FLAT
    expect(tmp_path, pooled @ FLAT * 0.5 + 2 * bias, nodes, {"m": matrix, "k": bias})


def test_images_with_channels_last(tmp_path):
    """As converters of TensorFlow write them."""
    nodes = [onnx.node("Transpose", ["x"], ["a"], perm=(0, 3, 1, 2)), onnx.node("Conv", ["a", "w"], ["b"]),
             onnx.node("Transpose", ["b"], ["y"], perm=(0, 2, 3, 1))]
    model = converted(tmp_path, nodes, {"w": W}, shape=(1, 9, 8, 3))
    np.testing.assert_allclose(result(model), F.conv2d(X, W).numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("opset, node", [
    (9, ("Upsample", "s")), (10, ("Resize", "s")), (13, ("Resize", "", "s"))
])
def test_nearest_pixels_of_every_opset(tmp_path, opset, node):
    scales = {"s": np.array([1, 1, 2, 3], np.float32)}
    expect(tmp_path, F.interpolate(X, size=(18, 24)), one(*node, mode="nearest"), scales, opset=opset)


def test_mixtures_of_other_sizes(tmp_path):
    for mode, corners in (("half_pixel", False), ("pytorch_half_pixel", False), ("align_corners", True)):
        expected = F.interpolate(X, size=(5, 13), mode="bilinear", align_corners=corners)
        node = one("Resize", "", "", "n", mode="linear", coordinate_transformation_mode=mode)
        expect(tmp_path, expected, node, {"n": np.array([1, 3, 5, 13])})


def test_channels_that_are_taken(tmp_path):
    """Split, Gather, Slice backwards: blue, green and red for red, green and blue."""
    expect(tmp_path, X[:, [2, 1, 0]], one("Gather", "i", axis=1), {"i": np.array([2, 1, 0])})
    expect(tmp_path, X[:, 1], one("Gather", "i", axis=1), {"i": np.array(-2)})
    backwards = {"a": np.array([-1]), "b": np.array([-(1 << 62)]), "c": np.array([1]), "d": np.array([-1])}
    expect(tmp_path, X[:, [2, 1, 0]], one("Slice", "a", "b", "c", "d"), backwards)
    nodes = [onnx.node("Split", ["x"], ["a", "b"], axis=1, split=(1, 2)), onnx.node("Concat", ["b", "a"], ["y"], axis=-3)]
    expect(tmp_path, X[:, [1, 2, 0]], nodes, opset=11)


def test_pixels_that_are_cut_out(tmp_path):
    numbers = {"a": np.array([2, 1]), "b": np.array([9, -1]), "c": np.array([2, 3]), "d": np.array([3, 1])}
    expect(tmp_path, X[:, :, 2::3, 1:-1], one("Slice", "a", "b", "c", "d"), numbers)


def test_numbers_of_either_side(tmp_path):
    two = {"c": np.float32(2), "k": np.array([[[1]], [[2]], [[3]]], np.float32)}
    by = lambda op, *inputs: [onnx.node(op, inputs, ["y"])]
    expect(tmp_path, 2 - X, by("Sub", "c", "x"), two)
    expect(tmp_path, X - torch.from_numpy(two["k"]), by("Sub", "x", "k"), two)
    expect(tmp_path, X / torch.from_numpy(two["k"]), by("Div", "x", "k"), two)
    expect(tmp_path, 2 / (X.abs() + 1), [onnx.node("Mul", ["x", "x"], ["a"]), onnx.node("Sqrt", ["a"], ["b"]),
                                         onnx.node("Add", ["b", "i"], ["d"]), onnx.node("Div", ["c", "d"], ["y"])],
           {**two, "i": np.float32(1)})
    expect(tmp_path, X.clamp(-0.5, 2), [onnx.node("Max", ["x", "l"], ["a"]), onnx.node("Min", ["a", "c"], ["y"])],
           {**two, "l": np.float32(-0.5)})


def test_functions_by_their_attributes(tmp_path):
    expect(tmp_path, (X * 0.2 + 0.5).clamp(0, 1), one("HardSigmoid"))
    expect(tmp_path, F.leaky_relu(X, 0.25), one("LeakyRelu", alpha=0.25))
    expect(tmp_path, X.clamp(-1, 1), one("Clip", min=-1.0, max=1.0), opset=10)
    expect(tmp_path, F.gelu(X), one("Gelu"), opset=20)
    expect(tmp_path, F.layer_norm(X.permute(0, 2, 3, 1), [3], torch.tensor([1.0, 2, 3])).permute(0, 3, 1, 2), [
        onnx.node("Transpose", ["x"], ["a"], perm=(0, 2, 3, 1)), onnx.node("LayerNormalization", ["a", "w"], ["b"]),
        onnx.node("Transpose", ["b"], ["y"], perm=(0, 3, 1, 2))], {"w": np.array([1, 2, 3], np.float32)}, opset=17)


def test_numbers_as_files_may_hold_them(tmp_path):
    """f16, f64, and one number per entry of the field."""
    for dtype in (np.float16, np.float64):
        expect(tmp_path, F.conv2d(X, W.half().float()), one("Conv", "w"), {"w": W.half().numpy().astype(dtype)})
    floats = b"".join(onnx.field(4, float(value)) for value in W.flatten())
    dims = b"".join(onnx.field(1, extent) for extent in W.shape)
    graph = onnx.field(1, one("Conv", "w")[0]) + onnx.field(5, dims + onnx.field(2, 1) + onnx.field(8, "w") + floats)
    graph += onnx.field(11, onnx.value("x", SHAPE)) + onnx.field(12, onnx.value("y", (1,)))
    (tmp_path / "net.onnx").write_bytes(onnx.field(1, 7) + onnx.field(7, graph) + onnx.field(8, onnx.field(2, 13)))
    np.testing.assert_allclose(result(vs.convert(tmp_path / "net.onnx")), F.conv2d(X, W).numpy(), rtol=1e-5, atol=1e-5)


def test_gelu_is_written_too(tmp_path):
    model = converted(tmp_path, one("Gelu", approximate="tanh"), opset=20)
    vs.save_onnx(model, tmp_path / "again.onnx")
    (tmp_path / "p.json").write_text('{"name": "p", "frames": {"height": 9, "width": 8, "resize": 9, "segments": 1, '
                                     '"mean": [0, 0, 0], "std": [1, 1, 1]}}')
    again = vs.convert(tmp_path / "again.onnx", profile=str(tmp_path / "p.json"))
    np.testing.assert_array_equal(result(again), result(model))


def test_logarithms_of_softmax(tmp_path):
    """Of all channels, and of groups of them."""
    expect(tmp_path, X.log_softmax(1), one("LogSoftmax", axis=1))
    wide = torch.cat([X, X * 2 - 1], 1)
    nodes = [
        onnx.node("Concat", ["x", "z"], ["a"], axis=1),
        onnx.node("Reshape", ["a", "s"], ["b"]),
        onnx.node("LogSoftmax", ["b"], ["c"], axis=2),
        onnx.node("Reshape", ["c", "t"], ["y"]),
        onnx.node("Mul", ["x", "two"], ["w"]),
        onnx.node("Sub", ["w", "one"], ["z"]),
    ]
    nodes = nodes[4:] + nodes[:4]
    given = {"s": np.array([1, 2, 3, 72]), "t": np.array([1, 6, 9, 8]), "two": torch.tensor(2.0), "one": torch.tensor(1.0)}
    expect(tmp_path, wide.view(1, 2, 3, 72).log_softmax(2).view(1, 6, 9, 8), nodes, given)
