"""Gradients of pooling, point-voxel ops and the temporal shift against torch's autograd through plain gathers."""

import numpy as np
import oracle
import pytest
import voxshift as vs

torch = pytest.importorskip("torch")


def gradient_of(forward, x, grad):
    """That of x, float64, for the gradient of forward(x)."""
    leaf = torch.from_numpy(np.asarray(x, np.float64)).requires_grad_()
    forward(leaf).backward(torch.from_numpy(np.asarray(grad, np.float64)))
    return leaf.grad.numpy()


def long(indices):
    return torch.from_numpy(np.asarray(indices, np.int64))


def scatter(values, index, rows, how):
    """rows x C: the values reduced by index; 0 where there are none."""
    if how == "max":
        members = [values[index == row] for row in range(rows)]
        return torch.stack([m.max(0).values if len(m) else values.new_zeros(values.shape[1]) for m in members])
    out = torch.zeros((rows, values.shape[1]), dtype=values.dtype).index_add(0, index, values)
    return out / torch.bincount(index, minlength=rows).clamp(min=1)[:, None] if how == "mean" else out


def close(found, expected):
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


POOLS = {
    "max": (vs.max_pool, vs.max_pool_backward, vs.global_max_pool_backward),
    "mean": (vs.avg_pool, vs.avg_pool_backward, vs.global_avg_pool_backward),
    "sum": (vs.sum_pool, vs.sum_pool_backward, vs.global_sum_pool_backward),
}


@pytest.mark.parametrize("how", POOLS)
@pytest.mark.parametrize(
    ("dims", "size", "stride"), [(1, 3, 1), (2, 2, 2), (3, 3, 2), (3, (3, 2, 1), (2, 2, 1)), (4, 2, 2)]
)
def test_pooling(random, how, dims, size, stride):
    pool, backward, _ = POOLS[how]
    coords, feats = oracle.random_cloud(random, 300, dims, 5)
    x = vs.SparseTensor(coords, feats)
    y = pool(x, size, stride)
    pairs = oracle.pairs(coords, y.coords, size, stride, 1)
    grad = random.standard_normal(y.features.shape).astype(np.float32)
    expected = gradient_of(lambda f: scatter(f[long(pairs[:, 1])], long(pairs[:, 2]), len(y), how), feats, grad)
    close(backward(x, grad, size, stride), expected)


@pytest.mark.parametrize("how", POOLS)
def test_global_pooling(random, how):
    coords, feats = oracle.random_cloud(random, 400, 3, 9, batches=3)
    grad = random.standard_normal((3, feats.shape[1])).astype(np.float32)
    expected = gradient_of(lambda f: scatter(f, long(coords[:, 0]), 3, how), feats, grad)
    close(POOLS[how][2](vs.SparseTensor(coords, feats), grad), expected)


def test_equal_maxima_go_to_the_first():
    x = vs.SparseTensor(np.array([[0, 0], [0, 1]], np.int32), np.ones((2, 3), np.float32))
    grad = np.array([[1, 2, 3]], np.float32)
    assert vs.max_pool_backward(x, grad, 2, 2).tolist() == [[1, 2, 3], [0, 0, 0]]
    assert vs.global_max_pool_backward(x, grad).tolist() == [[1, 2, 3], [0, 0, 0]]
    inverse = np.zeros(2, np.int32)
    assert vs.voxelize_features_backward(x.features, inverse, grad, "max").tolist() == [[1, 2, 3], [0, 0, 0]]


@pytest.mark.parametrize("how", ["sum", "mean", "max", "first"])
def test_voxelize_features(random, how):
    feats = random.standard_normal((500, 7)).astype(np.float32)
    inverse = random.integers(-1, 90, 500).astype(np.int32)
    grad = random.standard_normal((95, 7)).astype(np.float32)
    rows = np.flatnonzero(inverse >= 0)
    if how == "first":
        rows = rows[np.unique(inverse[rows], return_index=True)[1]]
    reduce = "sum" if how == "first" else how
    expected = gradient_of(lambda f: scatter(f[long(rows)], long(inverse[rows]), 95, reduce), feats, grad)
    close(vs.voxelize_features_backward(feats, inverse, grad, how), expected)
    if how != "max":
        close(vs.voxelize_features_backward(None, inverse, grad, how), expected)


def mixed(features, indices, weights):
    """interpolate() in torch, from gathers."""
    weights = torch.from_numpy(np.where(indices >= 0, weights, 0).astype(np.float64))
    return (features[long(np.maximum(indices, 0))] * weights[:, :, None]).sum(1)


@pytest.mark.parametrize("mode", ["renormalized", "raw"])
def test_devoxelize(random, mode):
    coords, feats = oracle.random_cloud(random, 300, 3, 6)
    voxels = vs.SparseTensor(coords, feats)
    points = np.concatenate([random.integers(0, 2, (700, 1)), random.uniform(-1, 6, (700, 3))], 1).astype(np.float32)
    corners = vs.trilinear(voxels, points, mode)
    grad = random.standard_normal((700, feats.shape[1])).astype(np.float32)
    expected = gradient_of(lambda f: mixed(f, corners.indices, corners.weights), feats, grad)
    close(vs.devoxelize_backward(voxels, points, grad, mode), expected)
    close(vs.interpolate_backward(corners, grad), expected)


def test_three_nearest(random):
    points = random.standard_normal((600, 3)).astype(np.float32)
    nearest = vs.three_nearest(points, points[:50])
    grad = random.standard_normal((600, 20)).astype(np.float32)
    expected = gradient_of(lambda f: mixed(f, nearest.indices, nearest.weights), np.zeros((50, 20)), grad)
    close(vs.interpolate_backward(nearest, grad), expected)


def test_dense_grids(random):
    splits, resolution = np.array([0, 250, 600]), 5
    points = random.standard_normal((600, 3)).astype(np.float32)
    feats = random.standard_normal((600, 11)).astype(np.float32)
    coords = vs.dense_grid_coords(points, resolution, row_splits=splits)
    cloud = (np.arange(600) >= 250).astype(np.int64)
    cells = 2 * resolution**3

    def cell(corner):
        return ((cloud * resolution + corner[:, 0]) * resolution + corner[:, 1]) * resolution + corner[:, 2]

    grad = random.standard_normal((cells, 11)).astype(np.float32)
    where = long(cell(np.rint(coords).astype(np.int64)))
    expected = gradient_of(lambda f: scatter(f, where, cells, "mean"), feats, grad)
    shape = (2, resolution, resolution, resolution, 11)
    close(vs.voxelize_dense_backward(coords, grad.reshape(shape), splits), expected)

    low = np.floor(coords).astype(np.int64)
    fraction = coords.astype(np.float64) - low
    indices, weights = [], []
    for corner in np.ndindex(2, 2, 2):
        weights.append(np.where(corner, fraction, 1 - fraction).prod(1))
        indices.append(cell(np.minimum(low + corner, resolution - 1)))
    indices, weights = np.stack(indices, 1), np.stack(weights, 1)
    grad = random.standard_normal((600, 11)).astype(np.float32)
    expected = gradient_of(lambda f: mixed(f, indices, weights), np.zeros((cells, 11)), grad)
    close(vs.devoxelize_dense_backward(coords, grad, resolution, splits).reshape(cells, 11), expected)


def test_gather_and_group(random):
    indices = random.integers(-1, 40, (30, 8)).astype(np.int32)
    present = torch.from_numpy((indices >= 0).astype(np.float64))[:, :, None]

    def picked(features):
        return features[long(np.maximum(indices, 0))] * present

    grad = random.standard_normal((30, 8, 3 + 9)).astype(np.float32)
    expected = gradient_of(picked, np.zeros((45, 9)), grad[:, :, 3:])
    close(vs.gather_backward(indices, grad[:, :, 3:], 45), expected)
    close(vs.group_backward(indices, grad, 45), expected)
    close(vs.gather_backward(indices.reshape(-1), grad[:, :, 3:].reshape(-1, 9), 45), expected)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_temporal_shift(random, bidirectional):
    def shift(x):
        x = x.reshape(2, 4, 3, 16)
        zeros = torch.zeros_like(x[:, :1])
        after, before = torch.cat([x[:, 1:], zeros], 1), torch.cat([zeros, x[:, :-1]], 1)
        parts = [after[..., :2], before[..., 2:4], x[..., 4:]] if bidirectional else [before[..., :2], x[..., 2:]]
        return torch.cat(parts, -1).reshape(8, 3, 16)

    x, grad = random.standard_normal((2, 8, 3, 16)).astype(np.float32)
    np.testing.assert_array_equal(vs.temporal_shift(x, 4, 8, bidirectional), shift(torch.from_numpy(x)).numpy())
    close(vs.temporal_shift_backward(grad, 4, 8, bidirectional), gradient_of(shift, x, grad))


def test_wrong_gradients_are_refused(random):
    coords, feats = oracle.random_cloud(random, 50, 3, 4)
    x = vs.SparseTensor(coords, feats)
    wrong = np.zeros((len(x) + 1, 5), np.float32)
    calls = {
        "pool_backward": lambda: vs.max_pool_backward(x, wrong, 2, 2),
        "global_pool_backward": lambda: vs.global_sum_pool_backward(x, wrong),
        "voxelize_features_backward": lambda: vs.voxelize_features_backward(None, coords[:, 0], wrong, "max"),
        "gather_backward": lambda: vs.gather_backward(coords[:, 0], wrong, 4),
        "temporal_shift_backward": lambda: vs.temporal_shift_backward(wrong, len(wrong) - 1),
    }
    for op, call in calls.items():
        with pytest.raises(ValueError, match=rf"\[{op}\]"):
            call()
