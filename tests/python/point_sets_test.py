"""Operators on sets of points from Python: values against NumPy, keyword arguments, torch tensors, errors."""

import numpy as np
import pytest
import voxshift as vs

RANDOM = np.random.default_rng(3)
POINTS = RANDOM.integers(-40, 40, (300, 3)).astype(np.float32) / 4  # exact in float32, with ties
CENTERS = POINTS[::7]


def squared(queries, points):
    return ((queries[:, None] - points[None]) ** 2).sum(axis=2)


def test_knn_search():
    found = vs.knn_search(POINTS, CENTERS, 5)
    distances = squared(CENTERS, POINTS)
    order = np.argsort(distances, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(found.indices, order)
    np.testing.assert_array_equal(found.distances, np.take_along_axis(distances, order, axis=1))
    assert found.indices.dtype == np.int32 and found.distances.dtype == np.float32 and found.dropped == 0


def test_fixed_radius_search():
    found = vs.fixed_radius_search(POINTS, CENTERS, radius=2.5)
    distances = squared(CENTERS, POINTS)
    for i, row in enumerate(distances):
        near = np.flatnonzero(row <= 6.25)
        near = near[np.argsort(row[near], kind="stable")]
        entries = slice(found.row_splits[i], found.row_splits[i + 1])
        np.testing.assert_array_equal(found.indices[entries], near)
        np.testing.assert_array_equal(found.distances[entries], row[near])
    assert found.row_splits.dtype == np.int64 and len(found.row_splits) == len(CENTERS) + 1


def test_hybrid_search_and_ball_query():
    hybrid = vs.hybrid_search(POINTS, CENTERS, radius=2, max_neighbors=4)
    ball = vs.ball_query(POINTS, CENTERS, radius=2, num_neighbors=4)
    for i, row in enumerate(squared(CENTERS, POINTS)):
        near = np.flatnonzero(row <= 4)
        near = near[np.argsort(row[near], kind="stable")][:4]
        np.testing.assert_array_equal(hybrid.indices[i], np.pad(near, (0, 4 - len(near)), constant_values=-1))
        first = np.flatnonzero(row < 4)[:4]
        np.testing.assert_array_equal(ball[i], np.pad(first, (0, 4 - len(first)), constant_values=first[0]))


def test_clouds_see_only_themselves():
    splits = np.array([0, 100, 100, 300])
    query_splits = np.array([0, 1, 2, 3])
    found = vs.knn_search(POINTS, POINTS[:3], 1, row_splits=splits, query_splits=query_splits)
    assert found.indices[1, 0] == -1 and np.isinf(found.distances[1, 0])
    assert found.indices[0, 0] < 100 <= found.indices[2, 0]
    samples = vs.furthest_point_sample(POINTS, 2, row_splits=splits)
    assert samples.shape == (3, 2) and samples[0, 0] == 0 and (samples[1] == -1).all() and samples[2, 0] == 100


@pytest.mark.parametrize("ties", ["lowest", "pvcnn"])
def test_furthest_point_sample(ties):
    points = RANDOM.integers(0, 6, (1500, 3)).astype(np.float32)
    index = np.arange(len(points))
    rank = index if ties == "lowest" else (index % 512) * len(points) + index
    distances, chosen = np.full(len(points), np.inf, np.float32), [0]
    while len(chosen) < 60:
        distances = np.minimum(distances, squared(points[chosen[-1:]], points)[0])
        furthest = np.flatnonzero(distances == distances.max())
        chosen.append(furthest[np.argmin(rank[furthest])])
    np.testing.assert_array_equal(vs.furthest_point_sample(points, 60, ties=ties), [chosen])


def test_gather_and_group():
    features = RANDOM.standard_normal((300, 7)).astype(np.float32)
    indices = vs.ball_query(POINTS, CENTERS, 2, 4)
    np.testing.assert_array_equal(vs.gather(features, indices), features[indices])
    expected = np.concatenate([POINTS[indices] - CENTERS[:, None], features[indices]], axis=2)
    np.testing.assert_array_equal(vs.group(POINTS, CENTERS, indices, features), expected)
    np.testing.assert_array_equal(vs.group(POINTS, CENTERS, indices), expected[..., :3])


def test_three_nearest():
    features = RANDOM.standard_normal((len(CENTERS), 5)).astype(np.float32)
    mix = vs.three_nearest(POINTS, CENTERS)
    distances = squared(POINTS, CENTERS).astype(np.float64)
    order = np.argsort(distances, axis=1, kind="stable")[:, :3]
    weights = 1 / np.clip(np.take_along_axis(distances, order, axis=1), 1e-10, 1e10)
    weights /= weights.sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(mix.indices, order)
    np.testing.assert_allclose(mix.weights, weights, rtol=1e-5, atol=1e-12)
    expected = (features[order] * weights[..., None]).sum(axis=1)
    np.testing.assert_allclose(vs.interpolate(features, mix), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["renormalized", "raw"])
def test_trilinear(mode):
    coords = np.array([[0, x, y, z] for x in range(3) for y in range(3) for z in range(3) if x + y + z != 3], np.int32)
    voxels = vs.SparseTensor(coords, RANDOM.standard_normal((len(coords), 6)).astype(np.float32))
    points = np.concatenate([np.zeros((50, 1)), RANDOM.uniform(-0.5, 2.5, (50, 3))], axis=1).astype(np.float32)
    table = {tuple(c): f for c, f in zip(coords, voxels.features)}
    expected = np.zeros((50, 6))
    for i, (_, *p) in enumerate(points):
        base, total = np.floor(p).astype(int), 0.0
        for corner in np.ndindex(2, 2, 2):
            place = (0, *(base + corner))
            if place in table:
                weight = np.prod(np.where(corner, p - base, 1 - (p - base)))
                total += weight
                expected[i] += weight * table[place]
        if mode == "renormalized":
            expected[i] /= total + 1e-8
    np.testing.assert_allclose(vs.devoxelize(voxels, points, mode), expected, rtol=1e-4, atol=1e-5)
    mix = vs.trilinear(voxels, points, mode=mode)
    np.testing.assert_array_equal(vs.interpolate(voxels.features, mix), vs.devoxelize(voxels, points, mode))
    assert mix.rows == len(coords) and mix.indices.shape == mix.weights.shape == (50, 8)


def test_dense_grid():
    features = RANDOM.standard_normal((300, 4)).astype(np.float32)
    coords = vs.dense_grid_coords(POINTS, 8)
    centred = POINTS - POINTS.mean(axis=0, dtype=np.float64).astype(np.float32)
    reach = np.linalg.norm(centred, axis=1).max() * 2
    np.testing.assert_allclose(coords, np.clip((centred / reach + 0.5) * 8, 0, 7), rtol=1e-5, atol=1e-5)
    cells = np.round(coords).astype(int)
    sums, counts = np.zeros((8, 8, 8, 4)), np.zeros((8, 8, 8, 1))
    np.add.at(sums, tuple(cells.T), features)
    np.add.at(counts, tuple(cells.T), 1)
    grid = vs.voxelize_dense(features, coords, 8)
    np.testing.assert_allclose(grid[0], sums / np.maximum(counts, 1), rtol=1e-5, atol=1e-6)
    at_cells = vs.devoxelize_dense(grid, cells.astype(np.float32))
    np.testing.assert_array_equal(at_cells, grid[0][tuple(cells.T)])


def test_voxelize_in_batches():
    splits = np.array([0, 120, 300])
    voxels = vs.voxelize(POINTS, voxel_size=1.0, reduce="mean", row_splits=splits)
    batch = np.repeat([0, 1], [120, 180])
    cells = np.concatenate([batch[:, None], np.round(POINTS)], axis=1).astype(np.int32)
    unique, inverse = np.unique(cells, axis=0, return_inverse=True)
    np.testing.assert_array_equal(voxels.tensor.coords, unique)
    np.testing.assert_array_equal(voxels.inverse, inverse.ravel())
    np.testing.assert_array_equal(
        vs.voxelize_features(POINTS, voxels.inverse, len(unique), "mean"), voxels.tensor.features)


def test_torch_tensors():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: Debian's python3-torch")
    found = vs.knn_search(torch.from_numpy(POINTS), torch.from_numpy(CENTERS), 3)
    np.testing.assert_array_equal(found.indices, vs.knn_search(POINTS, CENTERS, 3).indices)


@pytest.mark.parametrize("call, says", [
    (lambda: vs.knn_search(POINTS, CENTERS, 0), r"\bk\b"),
    (lambda: vs.knn_search(POINTS.astype(np.float64), CENTERS, 1), "float64"),
    (lambda: vs.knn_search(POINTS, CENTERS, 1, row_splits=np.array([0, 5, 300])), "number of clouds"),
    (lambda: vs.fixed_radius_search(POINTS, CENTERS, -1), "radius"),
    (lambda: vs.ball_query(POINTS, CENTERS, 1, 0), "num_neighbors"),
    (lambda: vs.furthest_point_sample(POINTS, 0), "num_samples"),
    (lambda: vs.furthest_point_sample(POINTS, 1, ties="highest"), "ties"),
    (lambda: vs.gather(POINTS, np.array([0, 300], np.int32)), "300"),
    (lambda: vs.three_nearest(POINTS[:, :2], CENTERS), "points"),
    (lambda: vs.dense_grid_coords(POINTS, 0), "resolution"),
    (lambda: vs.voxelize_dense(POINTS, POINTS + 100, 8), "coords"),
    (lambda: vs.voxelize_features(POINTS, np.full(300, 9, np.int32), 9), "inverse"),
    (lambda: vs.voxelize(POINTS, row_splits=np.array([0, 299])), "row_splits"),
])
def test_errors(call, says):
    with pytest.raises(ValueError, match=says):
        call()
