"""Index arrays: int32 and int64 alike wherever the API takes one, and no number that int32 does not hold."""

import numpy as np
import pytest
import voxshift as vs

POINTS = np.random.default_rng(2).random((30, 3), np.float32)
FEATURES = np.random.default_rng(3).random((30, 5), np.float32)
SPLITS = np.array([0, 12, 30])
INVERSE = np.arange(30) % 4 - 1
PICKED = np.arange(20).reshape(10, 2) - 1
COORDS = np.pad(np.arange(30).reshape(10, 3), ((0, 0), (1, 0)))
CENTRES = POINTS[:10]
GRAD = np.ones((4, 5), np.float32)
DENSE = np.ones((2, 4, 4, 4, 5), np.float32)
GRID_COORDS = POINTS * 3


def tensor(coords):
    return vs.SparseTensor(coords, FEATURES[:10])


POINT_MODEL = vs.Model.new("pvcnn-shapenet", width=0.125, threads=1)
CATEGORIES = np.pad(POINTS, ((0, 0), (0, 19)))

# name -> the index array, and a call that takes it and gives arrays.
ROWS = {
    "SparseTensor": (COORDS, lambda i: tensor(i).coords),
    "find": (COORDS, lambda i: tensor(COORDS).find(i)),
    "gather": (PICKED, lambda i: vs.gather(FEATURES, i)),
    "gather_backward": (PICKED, lambda i: vs.gather_backward(i, np.ones((10, 2, 5), np.float32), 30)),
    "group": (PICKED, lambda i: vs.group(POINTS, CENTRES, i, FEATURES)),
    "group_backward": (PICKED, lambda i: vs.group_backward(i, np.ones((10, 2, 8), np.float32), 30)),
    "voxelize_features": (INVERSE, lambda i: vs.voxelize_features(FEATURES, i, 4)),
    "voxelize_features_backward": (INVERSE, lambda i: vs.voxelize_features_backward(None, i, GRAD)),
}
CLOUDS = {
    "voxelize": lambda s: vs.voxelize(POINTS, 0.2, row_splits=s).tensor.coords,
    "knn_search": lambda s: vs.knn_search(POINTS, POINTS, 3, s, s).indices,
    "fixed_radius_search": lambda s: vs.fixed_radius_search(POINTS, POINTS, 0.3, s, s).indices,
    "hybrid_search": lambda s: vs.hybrid_search(POINTS, POINTS, 0.3, 4, s, s).indices,
    "ball_query": lambda s: vs.ball_query(POINTS, POINTS, 0.3, 4, s, s),
    "furthest_point_sample": lambda s: vs.furthest_point_sample(POINTS, 3, row_splits=s),
    "three_nearest": lambda s: vs.three_nearest(POINTS, POINTS, s, s).indices,
    "dense_grid_coords": lambda s: vs.dense_grid_coords(POINTS, 4, row_splits=s),
    "voxelize_dense": lambda s: vs.voxelize_dense(FEATURES, GRID_COORDS, 4, s),
    "devoxelize_dense": lambda s: vs.devoxelize_dense(DENSE, GRID_COORDS, s),
    "voxelize_dense_backward": lambda s: vs.voxelize_dense_backward(GRID_COORDS, DENSE, s),
    "devoxelize_dense_backward": lambda s: vs.devoxelize_dense_backward(GRID_COORDS, FEATURES, 4, s),
    "forward": lambda s: POINT_MODEL.forward(CATEGORIES, s),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows(name):
    indices, call = ROWS[name]
    np.testing.assert_array_equal(call(indices.astype(np.int64)), call(indices.astype(np.int32)))
    for value in (2**31, -(2**31) - 1, 2**32, 2**32 + 1):
        wrong = indices.astype(np.int64)
        wrong.flat[3] = value
        with pytest.raises(ValueError, match=rf"\[{name}\] .* must fit 32 bits, found {value}"):
            call(wrong)


@pytest.mark.parametrize("name", CLOUDS)
def test_clouds(name):
    call = CLOUDS[name]
    np.testing.assert_array_equal(call(SPLITS.astype(np.int32)), call(SPLITS.astype(np.int64)))


def test_no_function_is_left_out():
    wanted = {"row_splits", "indices", "inverse"}
    taken = {name for name in vs.__all__ if callable(getattr(vs, name)) and not isinstance(getattr(vs, name), type)}
    taken = {name for name in taken if wanted & set(getattr(vs, name).__doc__.splitlines()[0].replace(":", " ").replace("(", " ").split())}
    assert taken <= set(ROWS) | set(CLOUDS)
    assert {"gather", "voxelize", "voxelize_features"} <= taken


def test_torch_takes_both_and_wraps_nothing():
    torch = pytest.importorskip("torch", reason="voxshift.torch needs PyTorch")
    import voxshift.torch as vst

    feats = torch.from_numpy(FEATURES)
    wanted = vs.voxelize_features(FEATURES, INVERSE.astype(np.int32), 4)
    for inverse in (INVERSE, torch.from_numpy(INVERSE), torch.from_numpy(INVERSE).int()):
        np.testing.assert_array_equal(vst.voxelize_features(feats, inverse, 4), wanted)
    with pytest.raises(ValueError, match="must fit 32 bits, found 4294967296"):
        vst.voxelize_features(feats, torch.from_numpy(INVERSE + 2**32 + 1), 4)
