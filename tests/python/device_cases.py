"""Every op of arrays with operands of its own, for the tests that run each of them on a device."""

import numpy as np
import voxshift as vs
from oracle import random_cloud


class Case:
    """Operands of ops, seeded; `put` says where each array goes."""

    def __init__(self, put):
        self.put = put
        self.random = np.random.default_rng(3)

    def floats(self, *shape):
        return self.put(self.random.standard_normal(shape).astype(np.float32))

    def points(self, rows=300):
        return self.put(self.random.uniform(-1, 1, (rows, 3)).astype(np.float32))

    def boxes(self, rows):
        place, size = self.random.uniform(-4, 4, (rows, 3)), self.random.uniform(1, 4, (rows, 3))
        yaw = self.random.uniform(-3, 3, (rows, 1))
        return self.put(np.concatenate([place, size, yaw], axis=1).astype(np.float32))

    def ids(self, rows, below, k=None):
        return self.put(self.random.integers(0, below, rows if k is None else (rows, k)).astype(np.int32))

    def tensor(self, channels=4, rows=200, **options):
        coords, feats = random_cloud(self.random, rows, 3, 7, channels=channels)
        return vs.SparseTensor(self.put(coords), self.put(feats), **options)


def conv_transpose(c, backward=False):
    fine = c.tensor(4)
    coarse = vs.conv(fine, c.floats(8, 4, 6), kernel_size=2, stride=2)
    if not backward:
        return vs.conv_transpose(coarse, c.floats(8, 6, 5), kernel_size=2, stride=2)
    return vs.conv_transpose_backward(
        coarse, c.floats(8, 6, 5), c.floats(fine.size, 5), kernel_size=2, stride=2
    )


def generative_backward(c):
    x, weight = c.tensor(4, stride=2), c.floats(8, 4, 5)
    y = vs.generative_conv_transpose(x, weight, kernel_size=2, stride=2)
    return vs.generative_conv_transpose_backward(x, weight, c.floats(y.size, 5), kernel_size=2, stride=2)


def batch_norm_backward(c):
    x, weight, bias, residual = c.floats(50, 6), c.floats(6), c.floats(6), c.floats(50, 6)
    out, mean, variance = vs.batch_norm(x, weight, bias, residual=residual, activation="relu")
    return vs.batch_norm_backward(
        x, out, c.floats(50, 6), mean, variance, weight, activation="relu", residual_gradient=True
    )


def interpolation(c):
    return vs.three_nearest(c.points(60), c.points(20))


def sized(c, op, *arguments, **options):
    """A pooling's backward, for a gradient as its result."""
    x = c.tensor(4)
    y = getattr(vs, op)(x, *arguments, **options)
    grad = c.floats(y.size if isinstance(y, vs.SparseTensor) else len(y), 4)
    return getattr(vs, op + "_backward")(x, grad, *arguments, **options)


WINDOW = {"kernel_size": 2, "stride": 2}
CASES = {
    "SparseTensor": lambda c: vs.SparseTensor(c.ids(90, 3, 4), c.floats(90, 3), reduce="mean"),
    "find": lambda c: c.tensor().find(c.ids(40, 7, 4)),
    "with_features": lambda c: (lambda x: x.with_features(c.floats(x.size, 3)))(c.tensor()),
    "conv": lambda c: vs.conv(c.tensor(4), c.floats(27, 4, 6), bias=c.floats(6), activation="relu"),
    "conv_strided": lambda c: vs.conv(c.tensor(4), c.floats(8, 4, 6), **WINDOW),
    "conv_residual": lambda c: vs.conv(c.tensor(4), c.floats(27, 4, 4), residual=Case(c.put).tensor(4)),
    "conv_backward": lambda c: (lambda x: vs.conv_backward(x, c.floats(27, 4, 6), c.floats(x.size, 6)))(c.tensor(4)),
    "conv_transpose": conv_transpose,
    "conv_transpose_backward": lambda c: conv_transpose(c, backward=True),
    "generative_conv_transpose": lambda c: vs.generative_conv_transpose(
        c.tensor(4, stride=2), c.floats(8, 4, 5), **WINDOW
    ),
    "generative_conv_transpose_backward": generative_backward,
    "kernel_map": lambda c: vs.kernel_map(c.tensor()),
    "max_pool": lambda c: vs.max_pool(c.tensor(), **WINDOW),
    "avg_pool": lambda c: vs.avg_pool(c.tensor(), **WINDOW),
    "sum_pool": lambda c: vs.sum_pool(c.tensor(), **WINDOW),
    "max_pool_backward": lambda c: sized(c, "max_pool", **WINDOW),
    "avg_pool_backward": lambda c: sized(c, "avg_pool", **WINDOW),
    "sum_pool_backward": lambda c: sized(c, "sum_pool", **WINDOW),
    "global_max_pool": lambda c: vs.global_max_pool(c.tensor()),
    "global_avg_pool": lambda c: vs.global_avg_pool(c.tensor()),
    "global_sum_pool": lambda c: vs.global_sum_pool(c.tensor()),
    "global_max_pool_backward": lambda c: sized(c, "global_max_pool"),
    "global_avg_pool_backward": lambda c: sized(c, "global_avg_pool"),
    "global_sum_pool_backward": lambda c: sized(c, "global_sum_pool"),
    "cat": lambda c: vs.cat([c.tensor(4), Case(c.put).tensor(4)]),
    "add": lambda c: vs.add(c.tensor(4), Case(c.put).tensor(4), activation="relu"),
    "union_add": lambda c: vs.union_add(c.tensor(4), c.tensor(4, rows=90)),
    "select_rows": lambda c: (lambda x: vs.select_rows(x, c.put(np.arange(x.size) % 3 == 0)))(c.tensor()),
    "to_dense": lambda c: vs.to_dense(c.tensor(shape=7)),
    "from_dense": lambda c: vs.from_dense(c.put((np.arange(96) % 5 == 0).astype(np.float32).reshape(2, 3, 4, 4))),
    "linear": lambda c: vs.linear(c.floats(50, 5), c.floats(5, 7), bias=c.floats(7), activation="relu"),
    "linear_backward": lambda c: vs.linear_backward(c.floats(50, 5), c.floats(5, 7), c.floats(50, 7)),
    "affine": lambda c: vs.affine(c.floats(50, 5), c.floats(5), c.floats(5), activation="leaky_relu"),
    "sum_rows": lambda c: vs.sum_rows(c.floats(50, 5)),
    "batch_norm": lambda c: vs.batch_norm(c.floats(50, 6), c.floats(6), c.floats(6), residual=c.floats(50, 6)),
    "batch_norm_backward": batch_norm_backward,
    "argmax": lambda c: vs.argmax(c.floats(50, 5)),
    "voxelize": lambda c: vs.voxelize(c.points(), voxel_size=0.25, reduce="mean"),
    "voxelize_features": lambda c: vs.voxelize_features(c.floats(50, 5), c.ids(50, 9), 9),
    "voxelize_features_backward": lambda c: vs.voxelize_features_backward(
        c.floats(50, 5), c.ids(50, 9), c.floats(9, 5), reduce="max"
    ),
    "knn_search": lambda c: vs.knn_search(c.points(), c.points(40), 5),
    "fixed_radius_search": lambda c: vs.fixed_radius_search(c.points(), c.points(40), 0.3),
    "hybrid_search": lambda c: vs.hybrid_search(c.points(), c.points(40), 0.3, 6),
    "ball_query": lambda c: vs.ball_query(c.points(), c.points(40), 0.3, 6),
    "furthest_point_sample": lambda c: vs.furthest_point_sample(c.points(), 20),
    "gather": lambda c: vs.gather(c.floats(50, 5), c.ids(30, 50, 4)),
    "gather_backward": lambda c: vs.gather_backward(c.ids(30, 50, 4), c.floats(30, 4, 5), 50),
    "group": lambda c: vs.group(c.points(50), c.points(30), c.ids(30, 50, 4), c.floats(50, 5)),
    "group_backward": lambda c: vs.group_backward(c.ids(30, 50, 4), c.floats(30, 4, 8), 50),
    "trilinear": lambda c: vs.trilinear(c.tensor(), c.floats(40, 4)),
    "devoxelize": lambda c: vs.devoxelize(c.tensor(), c.floats(40, 4)),
    "devoxelize_backward": lambda c: vs.devoxelize_backward(c.tensor(), c.floats(40, 4), c.floats(40, 4)),
    "three_nearest": interpolation,
    "interpolate": lambda c: vs.interpolate(c.floats(20, 5), interpolation(c)),
    "interpolate_backward": lambda c: vs.interpolate_backward(interpolation(c), c.floats(60, 5)),
    "dense_grid_coords": lambda c: vs.dense_grid_coords(c.points(), 8),
    "voxelize_dense": lambda c: vs.voxelize_dense(c.floats(300, 5), vs.dense_grid_coords(c.points(), 8), 8),
    "devoxelize_dense": lambda c: vs.devoxelize_dense(c.floats(1, 8, 8, 8, 5), vs.dense_grid_coords(c.points(), 8)),
    "voxelize_dense_backward": lambda c: vs.voxelize_dense_backward(
        vs.dense_grid_coords(c.points(), 8), c.floats(1, 8, 8, 8, 5)
    ),
    "devoxelize_dense_backward": lambda c: vs.devoxelize_dense_backward(
        vs.dense_grid_coords(c.points(), 8), c.floats(300, 5), 8
    ),
    "conv2d": lambda c: vs.conv2d(c.floats(9, 8, 4), c.floats(6, 4, 3, 3), bias=c.floats(6), padding=1),
    "conv2d_backward": lambda c: vs.conv2d_backward(
        c.floats(9, 8, 4), c.floats(6, 4, 3, 3), c.floats(9, 8, 6), padding=1
    ),
    "max_pool2d": lambda c: vs.max_pool2d(c.floats(9, 8, 4), 3, stride=2, padding=1),
    "avg_pool2d": lambda c: vs.avg_pool2d(c.floats(9, 8, 4), 2),
    "global_avg_pool2d": lambda c: vs.global_avg_pool2d(c.floats(9, 8, 4)),
    "temporal_shift": lambda c: vs.temporal_shift(c.floats(8, 3, 3, 16), 4),
    "temporal_shift_backward": lambda c: vs.temporal_shift_backward(c.floats(8, 3, 3, 16), 4),
    "boxes_iou_bev": lambda c: vs.boxes_iou_bev(c.boxes(20), c.boxes(30)),
    "boxes_iou3d": lambda c: vs.boxes_iou3d(c.boxes(20), c.boxes(30)),
    "nms_bev": lambda c: vs.nms_bev(c.boxes(60), c.floats(60), 0.3),
    "circle_nms": lambda c: vs.circle_nms(c.boxes(60), c.floats(60), 1.5),
    "StreamingShift": lambda c: [
        shift.push(c.floats(3, 3, 16)) for shift in [vs.StreamingShift()] for _ in range(2)
    ],
}


def arrays(result):
    """All arrays of an op's result, those of a device as DeviceArrays."""
    if result is None:
        return []
    if isinstance(result, (tuple, list)):
        return [array for part in result for array in arrays(part)]
    if isinstance(result, vs.SparseTensor):
        return [result.coords, result.feats]
    if isinstance(result, vs.Voxels):
        return [result.tensor.coords, result.tensor.feats, result.inverse]
    if isinstance(result, vs.Interpolation):
        return [result.indices, result.weights]
    if isinstance(result, vs.RaggedNeighbors):
        return [result.indices, result.row_splits, result.distances]
    if isinstance(result, vs.NearestNeighbors):
        return [result.indices, result.distances]
    return [result]
