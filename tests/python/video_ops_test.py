"""Ops on images one by one: convolution, pooling, temporal shift, masked layers, smoothing of labels."""

import numpy as np
import pytest
import voxshift as vs

# Value.


def convolved(x, weight, bias, stride, padding, groups):
    k, cin = weight.shape[2], weight.shape[1]
    x = np.pad(x.astype(np.float64), ((padding, padding), (padding, padding), (0, 0)))
    height, width = ((n - k) // stride + 1 for n in x.shape[:2])
    out = np.zeros((height, width, len(weight)))
    for o in range(len(weight)):
        first = o // (len(weight) // groups) * cin
        for y in range(height):
            for z in range(width):
                window = x[y * stride : y * stride + k, z * stride : z * stride + k, first : first + cin]
                out[y, z, o] = (window.transpose(2, 0, 1) * weight[o]).sum() + bias[o]
    return out


@pytest.mark.parametrize(
    "k, stride, padding, groups", [(1, 1, 0, 1), (3, 2, 1, 1), (3, 1, 1, 12), (5, 2, 2, 12), (3, 1, 0, 4)]
)
def test_conv2d(random, k, stride, padding, groups):
    x = random.standard_normal((9, 11, 12)).astype(np.float32)
    weight = random.standard_normal((24 if groups < 12 else 12, 12 // groups, k, k)).astype(np.float32)
    bias = random.standard_normal(len(weight)).astype(np.float32)
    expected = convolved(x, weight, bias, stride, padding, groups)
    options = {"stride": stride, "padding": padding, "groups": groups}
    np.testing.assert_allclose(vs.conv2d(x, weight, bias, **options), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        vs.conv2d(x, weight, bias, activation="relu6", **options), expected.clip(0, 6), rtol=1e-4, atol=1e-4
    )


def windows(x, k, stride, padding):
    """float64 [H', W', k * k, C], NaN outside."""
    x = np.pad(x.astype(np.float64), ((padding,) * 2, (padding,) * 2, (0, 0)), constant_values=np.nan)
    seen = np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(0, 1))[::stride, ::stride]
    return seen.reshape(*seen.shape[:3], k * k).transpose(0, 1, 3, 2)


@pytest.mark.parametrize("k, stride, padding", [(3, 2, 1), (2, None, 0), (3, 1, 0)])
def test_pooling(random, k, stride, padding):
    x = random.standard_normal((8, 10, 5)).astype(np.float32)
    seen = windows(x, k, stride or k, padding)
    np.testing.assert_array_equal(vs.max_pool2d(x, k, stride, padding), np.nanmax(seen, axis=2))
    np.testing.assert_allclose(vs.avg_pool2d(x, k, stride, padding), np.nanmean(seen, axis=2), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(vs.global_avg_pool2d(x), x.mean(axis=(0, 1)), rtol=1e-4, atol=1e-6)


def test_temporal_shift(random):
    x = random.standard_normal((6, 2, 16)).astype(np.float32)  # two clips of three frames
    both, one = np.zeros_like(x), np.zeros_like(x)
    for clip in (slice(0, 3), slice(3, 6)):
        y, b, o = x[clip], both[clip], one[clip]
        b[:-1, :, :2], b[1:, :, 2:4], b[:, :, 4:] = y[1:, :, :2], y[:-1, :, 2:4], y[:, :, 4:]
        o[1:, :, :2], o[:, :, 2:] = y[:-1, :, :2], y[:, :, 2:]
    np.testing.assert_array_equal(vs.temporal_shift(x, 3), both)
    np.testing.assert_array_equal(vs.temporal_shift(x, 3, bidirectional=False), one)
    shift = vs.StreamingShift()
    for clip in (slice(0, 3), slice(3, 6)):
        np.testing.assert_array_equal(np.stack([shift.push(frame) for frame in x[clip]]), one[clip])
        shift.reset()
    assert vs.StreamingShift(4).push(x[0, :, :8]).shape == (2, 8)


def pixels_of(image, mask):
    y, z = np.nonzero(mask)
    return vs.SparseTensor(np.stack([0 * y, y, z], axis=1).astype(np.int32), image[y, z])


@pytest.mark.parametrize("kind", ["conv2d", "max_pool2d", "avg_pool2d"])
def test_masked_layer_is_the_dense_one(random, kind):
    image = random.standard_normal((7, 9, 4)).astype(np.float32)
    weight = random.standard_normal((6, 4, 3, 3)).astype(np.float32)
    if kind == "conv2d":
        layer = vs.MaskedLayer.conv2d(7, 9, weight, stride=2, padding=1)
        dense = lambda x: vs.conv2d(x, weight, stride=2, padding=1)
    else:
        layer = getattr(vs.MaskedLayer, kind)(7, 9, 4, 3, 2, 1)
        dense = lambda x: getattr(vs, kind)(x, 3, 2, 1)
    layer.push(pixels_of(image, np.ones((7, 9))))
    np.testing.assert_array_equal(layer.output(), dense(image))
    assert layer.macs() == layer.dense_macs() == (4 * 5 * 6 * 4 * 9 if kind == "conv2d" else 0)
    before = layer.output()
    mask = np.zeros((7, 9))
    mask[2, 3] = 1
    image[2, 3] += 1
    changed = layer.push(pixels_of(image, mask))
    np.testing.assert_array_equal(layer.output(), dense(image))
    assert changed.shape == layer.output().shape[:2]
    where = (layer.output() != before).any(axis=2)
    np.testing.assert_array_equal(changed.coords[:, 1:], np.argwhere(where))
    np.testing.assert_array_equal(changed.feats, layer.output()[where])
    assert layer.macs() < layer.dense_macs() or kind != "conv2d"
    layer.reset()
    assert len(layer.push(pixels_of(image, np.ones((7, 9))))) > len(changed)


def test_label_smoother():
    smoother = vs.LabelSmoother(2)
    one, two = np.float32([1, 0]), np.float32([0, 1.5])
    assert [smoother.push(logits) for logits in (one, two, two, two)] == [0, 0, 1, 1]
    smoother.reset()
    assert smoother.push(one) == 0


# Edges and errors.


def test_bad_images():
    x, weight = np.zeros((4, 4, 3), np.float32), np.zeros((2, 3, 3, 3), np.float32)
    for call in (
        lambda: vs.conv2d(x[0], weight),
        lambda: vs.conv2d(x, weight[:, :2]),
        lambda: vs.conv2d(x, weight, stride=0),
        lambda: vs.conv2d(x, weight, groups=2),
        lambda: vs.conv2d(x.astype(np.float16), weight),
        lambda: vs.conv2d(x[:2, :2], weight),
        lambda: vs.max_pool2d(x, 0),
        lambda: vs.avg_pool2d(x, 5),
        lambda: vs.temporal_shift(x, 3),
        lambda: vs.temporal_shift(x, 2, shift_div=0),
        lambda: vs.StreamingShift(0),
        lambda: vs.MaskedLayer.conv2d(4, 4, weight, threshold=-1),
        lambda: vs.MaskedLayer.max_pool2d(4, 4, 3, 2, threshold=float("nan")),
        lambda: vs.LabelSmoother(0),
        lambda: vs.LabelSmoother().push(x),
    ):
        with pytest.raises(ValueError, match=r"\["):
            call()
