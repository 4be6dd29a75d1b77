"""SparseTensor: order, look-up, options, errors."""

import numpy as np
import pytest
import voxshift as vs
from oracle import random_cloud


def shuffled(random, coords, feats):
    order = random.permutation(len(coords))
    return coords[order], feats[order]


@pytest.mark.parametrize("dims", [1, 2, 3, 4])
def test_rows_become_lexicographic(random, dims):
    coords, feats = random_cloud(random, 300, dims, 9, lowest=-4)
    given, given_feats = shuffled(random, coords, feats)
    x = vs.SparseTensor(given, given_feats)
    np.testing.assert_array_equal(x.coords, coords)
    np.testing.assert_array_equal(x.feats, feats)
    np.testing.assert_array_equal(x.coords[x.inverse], given)
    assert (x.size, len(x), x.channels, x.dims) == (len(coords), len(coords), 5, dims)
    assert (x.coords.dtype, x.feats.dtype, x.inverse.dtype) == (np.int32, np.float32, np.int32)
    assert (x.stride, x.shape, x.device) == ((1,) * dims, None, "cpu")


def test_sorted_features_are_shared(random):
    coords, feats = random_cloud(random, 50, 3, 9)
    x = vs.SparseTensor(coords, feats)
    assert np.shares_memory(x.feats, feats)
    assert np.shares_memory(x.feats, x.features)


def test_int64_coordinates_are_converted(random):
    coords, feats = random_cloud(random, 50, 3, 9)
    np.testing.assert_array_equal(vs.SparseTensor(coords.astype(np.int64), feats).coords, coords)
    with pytest.raises(ValueError, match="must fit 32 bits, found 4294967296"):
        vs.SparseTensor(np.array([[0, 2**32, 0, 0]]), feats[:1])


def test_features_alias_and_with_features(random):
    coords, feats = random_cloud(random, 50, 3, 9)
    x = vs.SparseTensor(coords, feats, stride=2, shape=40)
    other = random.standard_normal((len(coords), 2)).astype(np.float32)
    y = x.with_features(other)
    assert np.shares_memory(y.feats, other)
    assert np.shares_memory(y.coords, x.coords)
    assert (y.stride, y.shape, y.channels) == ((2, 2, 2), (40, 40, 40), 2)
    with pytest.raises(ValueError, match=r"expected f32 \[\d+, C\]"):
        x.with_features(other[1:])


def test_coordinates_are_read_only(random):
    x = vs.SparseTensor(*random_cloud(random, 50, 3, 9))
    with pytest.raises(ValueError, match="read-only"):
        x.coords[0, 0] = 3


@pytest.mark.parametrize(
    ("reduce", "expected"),
    [("first", [[5, 0], [1, 2]]), ("sum", [[5, 0], [6, 2]]), ("mean", [[5, 0], [2, 2 / 3]]), ("max", [[5, 0], [4, 3]])],
)
def test_repeated_coordinates(reduce, expected):
    coords = np.array([[0, 7, 7], [0, 7, 7], [0, -1, 2], [0, 7, 7]], np.int32)
    feats = np.array([[1, 2], [4, 3], [5, 0], [1, -3]], np.float32)
    x = vs.SparseTensor(coords, feats, reduce=reduce)
    np.testing.assert_array_equal(x.coords, [[0, -1, 2], [0, 7, 7]])
    np.testing.assert_allclose(x.feats, expected, rtol=1e-6)
    np.testing.assert_array_equal(x.inverse, [1, 1, 0, 1])
    with pytest.raises(ValueError, match="2 repeated coordinates"):
        vs.SparseTensor(coords, feats)


def test_find(random):
    coords, feats = random_cloud(random, 200, 3, 8, lowest=-3)
    x = vs.SparseTensor(coords, feats)
    queries = random.integers(-5, 7, (500, 4))
    queries[:, 0] = random.integers(0, 3, 500)
    row_of = {tuple(c): i for i, c in enumerate(coords.tolist())}
    expected = [row_of.get(tuple(q), -1) for q in queries.tolist()]
    assert -1 in expected and max(expected) > 0
    np.testing.assert_array_equal(x.find(queries), expected)
    np.testing.assert_array_equal(x.find(queries.astype(np.int32)), expected)


def test_empty_tensor():
    x = vs.SparseTensor(np.zeros((0, 4), np.int32), np.zeros((0, 3), np.float32))
    assert (len(x), x.channels, x.dims) == (0, 3, 3)
    assert x.find(np.zeros((2, 4), np.int32)).tolist() == [-1, -1]


def test_repr():
    x = vs.SparseTensor(np.zeros((1, 3), np.int32), np.zeros((1, 2), np.float32), stride=(2, 4), shape=(8, 9))
    assert repr(x) == "SparseTensor(size=1, channels=2, dims=2, stride=(2, 4), shape=(8, 9))"


@pytest.mark.parametrize(
    ("coords", "feats", "options", "message"),
    [
        (np.zeros((2, 4), np.int32), np.zeros((1, 3), np.float32), {}, "coords has 2 rows, features has 1"),
        (np.zeros((1, 6), np.int32), np.zeros((1, 3), np.float32), {}, r"with D = 1..4, found i32 \[1, 6\]"),
        (np.zeros(4, np.int32), np.zeros((1, 3), np.float32), {}, r"found i32 \[4\]"),
        (np.zeros((1, 4), np.float32), np.zeros((1, 3), np.float32), {}, "found f32"),
        (np.zeros((1, 4), np.int32), np.zeros((1, 3), np.float64), {}, "expected float32, .* found float64"),
        (np.zeros((1, 4), np.int32), np.zeros((1, 3), np.int32), {}, "expects f32 .* found i32"),
        (np.zeros((1, 4), np.int32), np.zeros(3, np.float32), {}, r"features expects f32 \[N, C\]"),
        (np.array([[-1, 0, 0, 0]], np.int32), np.zeros((1, 3), np.float32), {}, "negative, found -1"),
        (np.array([[0, 0, 9, 0]], np.int32), np.zeros((1, 3), np.float32), {"shape": 9}, "allows 0..8 on axis 1"),
        (np.zeros((1, 4), np.int32), np.zeros((1, 3), np.float32), {"shape": (4, 4)}, "shape expects 1 or 3 values"),
        (np.zeros((1, 4), np.int32), np.zeros((1, 3), np.float32), {"stride": 0}, "stride of axis 0"),
        (np.zeros((1, 4), np.int32), np.zeros((1, 3), np.float32), {"reduce": "min"}, "expects one of first, sum"),
    ],
)
def test_bad_arguments_are_value_errors(coords, feats, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        vs.SparseTensor(coords, feats, **options)
    assert isinstance(caught.value, vs.InvalidArgument)


def test_lists_are_type_errors():
    with pytest.raises(TypeError):
        vs.SparseTensor([[0, 0, 0, 0]], [[1.0]])
