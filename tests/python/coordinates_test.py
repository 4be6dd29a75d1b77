"""Coordinates: sets of cells that tensors share, and what is computed from them alone."""

import numpy as np
import pytest
import voxshift as vs
from oracle import random_cloud

CELLS = np.array([[1, 0, 5, -2], [0, 3, 1, 1], [0, -4, 9, 0], [0, 3, 1, 1], [1, 0, 5, -3], [0, -4, 9, 0]], np.int32)


def test_cells_are_a_sorted_set():
    cells = vs.Coordinates(CELLS, stride=(1, 2, 4))
    expected, inverse = np.unique(CELLS, axis=0, return_inverse=True)
    np.testing.assert_array_equal(cells.coords, expected)
    np.testing.assert_array_equal(cells.inverse, inverse.ravel())
    assert (len(cells), cells.size, cells.dims, cells.device) == (4, 4, 3, "cpu")
    assert (cells.stride, cells.shape) == ((1, 2, 4), None)
    assert repr(cells) == "Coordinates(size=4, dims=3, stride=(1, 2, 4))"
    with pytest.raises(ValueError, match="read-only"):
        cells.coords[0] = 0
    np.testing.assert_array_equal(vs.Coordinates(CELLS.astype(np.int64)).coords, expected)
    np.testing.assert_array_equal(cells.find(CELLS[:, [0, 1, 2, 3]]), inverse.ravel())
    assert cells.find(np.array([[0, 0, 0, 0]], np.int32))[0] == -1


def test_numpy_reads_them():
    cells = vs.Coordinates(CELLS[:, :3])
    assert np.shares_memory(np.asarray(cells), cells.coords)
    assert not np.shares_memory(np.array(cells, copy=True), cells.coords)
    wide = np.asarray(cells, dtype=np.int64)
    assert wide.dtype == np.int64 and (wide == cells.coords).all()


def test_tensors_share_them(random):
    coords, feats = random_cloud(random, 60, 3, 9)
    cells = vs.Coordinates(coords, stride=2, shape=(9, 10, 11))
    x = vs.SparseTensor(cells, feats)
    assert np.shares_memory(x.coords, cells.coords) and np.shares_memory(x.feats, feats)
    assert (x.stride, x.shape, len(x.inverse)) == ((2, 2, 2), (9, 10, 11), 0)
    y = vs.SparseTensor(x.coordinates, feats[:, :1].copy())
    for other in (x, y, x.coordinates, vs.SparseTensor(coords, feats), vs.Coordinates(coords)):
        assert cells.same_coordinates(other) and x.same_coordinates(other)
    assert not cells.same_coordinates(vs.Coordinates(coords[1:]))
    down = vs.conv(x, np.ones((8, feats.shape[1], 2), np.float32), 2, stride=2)
    up = vs.conv_transpose(vs.SparseTensor(down.coordinates, down.feats), np.ones((8, 2, 1), np.float32), 2, stride=2)
    assert np.shares_memory(up.coords, cells.coords)  # the way back is remembered by the coordinates


def test_ops_that_need_no_features(random):
    coords, feats = random_cloud(random, 90, 3, 6)
    x, cells = vs.SparseTensor(coords, feats, stride=2, shape=(6, 6, 6)), vs.Coordinates(coords, stride=2, shape=(6, 6, 6))
    points = np.insert(random.random((20, 3)) * 12, 0, 0, axis=1).astype(np.float32)
    grad = random.standard_normal((20, feats.shape[1])).astype(np.float32)
    for options in ({}, {"kernel_size": 2, "stride": 2}, {"semantics": "bounded", "padding": 1}):
        found = vs.kernel_map(cells, **options)
        assert len(found) > 0
        np.testing.assert_array_equal(found, vs.kernel_map(x, **options))
    for name in ("indices", "weights", "rows"):
        found, expected = (getattr(vs.trilinear(voxels, points), name) for voxels in (cells, x))
        np.testing.assert_array_equal(found, expected)
    found = vs.devoxelize_backward(cells, points, grad)
    np.testing.assert_array_equal(found, vs.devoxelize_backward(x, points, grad))
    assert np.abs(found).max() > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda cells: vs.Coordinates(CELLS[0]), r"\[Coordinates\] coords expects int32 or int64 \[N, 1 \+ D\]"),
        (lambda cells: vs.Coordinates(CELLS.astype(np.float32)), r"\[Coordinates\] coords expects i32"),
        (lambda cells: vs.Coordinates(-CELLS), "batch indices must not be negative, found -1"),
        (lambda cells: vs.Coordinates(CELLS, shape=9), "shape allows 0..8 on axis 0, coordinates run from -4"),
        (lambda cells: vs.Coordinates(CELLS, stride=0), "stride of axis 0 must be at least 1"),
        (lambda cells: vs.Coordinates(CELLS, stride=(1, 2)), "stride"),
        (lambda cells: vs.SparseTensor(cells, np.ones((6, 1), np.float32)), r"expected f32 \[4, C\], f16 or bf16, found .*6"),
        (lambda cells: vs.SparseTensor(cells, np.ones((4, 1), np.float32), stride=2), "Coordinates have their own"),
        (lambda cells: vs.SparseTensor(cells, np.ones((4, 1), np.float32), reduce="sum"), "Coordinates have their own"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(vs.Coordinates(CELLS))


def test_nothing_stands_for_coordinates():
    for call in (vs.kernel_map, vs.Coordinates(CELLS).same_coordinates):
        with pytest.raises(TypeError):
            call(None)


def test_torch_tensors_lie_on_them(random):
    torch = pytest.importorskip("torch", reason="voxshift.torch needs PyTorch")
    import voxshift.torch as vst

    coords, feats = random_cloud(random, 70, 3, 6)
    cells = vs.Coordinates(coords, stride=2)
    x = vst.SparseTensor(torch.from_numpy(feats), cells)
    assert x.coordinates is cells and x.stride == (2, 2, 2)
    y = vst.SparseTensor(torch.from_numpy(feats[::-1].copy()), coords[::-1].copy(), stride=2)
    assert torch.equal((x + y).feats, 2 * x.feats)
    coarse = vst.max_pool(x)
    assert isinstance(coarse.coordinates, vs.Coordinates) and coarse.coordinates.stride == (4, 4, 4)
    with pytest.raises(ValueError, match="coordinates, but 3 rows of feats"):
        vst.SparseTensor(torch.ones(3, 2), cells)
    with pytest.raises(ValueError, match="those of the Coordinates"):
        vst.SparseTensor(torch.from_numpy(feats), cells, stride=2)
    with pytest.raises(ValueError, match="1 repeated coordinates"):
        vst.SparseTensor(torch.ones(3, 2), np.array([[0, 1, 1, 1], [0, 1, 1, 1], [0, 2, 1, 1]], np.int32))
