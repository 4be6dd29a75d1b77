"""Ops against plain loops in double precision; the full sweeps are the C++ tests."""

import resource
from pathlib import Path

import numpy as np
import oracle
import pytest
import voxshift as vs

TOLERANCE = 1e-5  # of float32, relative to a row's norm


def weights(random, *shape):
    return random.standard_normal(shape).astype(np.float32)


CONVOLUTIONS = [  # dims, kernel size, stride, dilation
    (1, 3, 1, 1),
    (2, (3, 5), 1, (2, 1)),
    (3, 3, 1, 1),
    (3, 2, 2, 1),
    (3, (3, 2, 1), (2, 2, 1), 1),
    (4, 2, (2, 1, 2, 1), 1),
]


@pytest.mark.parametrize(("dims", "size", "stride", "dilation"), CONVOLUTIONS)
def test_conv(random, dims, size, stride, dilation):
    coords, feats = oracle.random_cloud(random, 400, dims, 7, lowest=-3)
    x = vs.SparseTensor(coords, feats)
    weight = weights(random, len(oracle.window(size, dilation, dims)), 5, 7)
    out = oracle.coarser(coords, stride)
    triples = oracle.pairs(coords, out, size, stride, dilation)
    y = vs.conv(x, weight, kernel_size=size, stride=stride, dilation=dilation)
    np.testing.assert_array_equal(y.coords, out)
    assert y.stride == oracle.per_axis(stride, dims)
    assert oracle.relative_error(y.feats, oracle.accumulate(triples, feats, weight, len(out))) < TOLERANCE
    np.testing.assert_array_equal(vs.kernel_map(x, size, stride, dilation), triples)


def test_submanifold_output_shares_coordinates(random):
    x = vs.SparseTensor(*oracle.random_cloud(random, 60, 3, 6))
    y = vs.conv(x, weights(random, 27, 5, 4))
    assert np.shares_memory(x.coords, y.coords)


@pytest.mark.parametrize(("dims", "size", "stride", "dilation"), [c for c in CONVOLUTIONS if c[2] != 1])
def test_conv_transpose_goes_back(random, dims, size, stride, dilation):
    coords, feats = oracle.random_cloud(random, 400, dims, 7, lowest=-3)
    down_weight = weights(random, len(oracle.window(size, dilation, dims)), 5, 4)
    up_weight = weights(random, len(down_weight), 4, 6)
    down = vs.conv(vs.SparseTensor(coords, feats), down_weight, size, stride, dilation)
    up = vs.conv_transpose(down, up_weight, size, stride, dilation)
    triples = oracle.pairs(coords, down.coords, size, stride, dilation)
    expected = oracle.accumulate(triples, down.feats, up_weight, len(coords), transposed=True)
    np.testing.assert_array_equal(up.coords, coords)
    assert up.stride == (1,) * dims
    assert oracle.relative_error(up.feats, expected) < TOLERANCE


def test_conv_transpose_needs_a_convolution(random):
    x = vs.SparseTensor(*oracle.random_cloud(random, 30, 3, 6), stride=2)
    with pytest.raises(ValueError, match="conv_transpose"):
        vs.conv_transpose(x, weights(random, 8, 5, 4), kernel_size=2, stride=2)


def test_generative_conv_transpose(random):
    coords, feats = oracle.random_cloud(random, 40, 3, 6)
    weight = weights(random, 8, 5, 4)
    y = vs.generative_conv_transpose(vs.SparseTensor(coords, feats, stride=2), weight, kernel_size=2, stride=2)
    expected = {}
    for (batch, *c), row in zip(coords.tolist(), feats.astype(np.float64)):
        for k, offset in enumerate(oracle.window(2, 1, 3)):
            expected[(batch, *(2 * a + o for a, o in zip(c, offset)))] = row @ weight[k]
    np.testing.assert_array_equal(y.coords, sorted(expected))
    assert oracle.relative_error(y.feats, np.array([expected[c] for c in sorted(expected)])) < TOLERANCE
    assert y.stride == (1, 1, 1)


@pytest.mark.parametrize(
    ("size", "stride", "padding", "dilation"), [(3, 1, 1, 1), (3, 2, 1, 1), (2, 2, 0, 1), (3, 2, 0, 2)]
)
def test_bounded_conv_is_the_dense_one(random, size, stride, padding, dilation):
    extent = 9
    coords, feats = oracle.random_cloud(random, 60, 2, extent, batches=2)
    weight = weights(random, size * size, 5, 3)
    y = vs.conv(vs.SparseTensor(coords, feats, shape=extent), weight, size, stride, dilation, padding, "bounded")

    border = size * dilation + padding
    dense = np.zeros((2, extent + 2 * border, extent + 2 * border, 5))
    dense[coords[:, 0], coords[:, 1] + border, coords[:, 2] + border] = feats
    occupied = np.zeros(dense.shape[:3], bool)
    occupied[coords[:, 0], coords[:, 1] + border, coords[:, 2] + border] = True
    out_extent = (extent + 2 * padding - dilation * (size - 1) - 1) // stride + 1
    expected_coords, expected = [], []
    for batch, a, b in np.ndindex(2, out_extent, out_extent):
        taps = [
            (batch, a * stride - padding + r * dilation + border, b * stride - padding + s * dilation + border)
            for r, s in np.ndindex(size, size)
        ]
        if any(occupied[tap] for tap in taps):
            expected_coords.append((batch, a, b))
            expected.append(sum(dense[tap] @ weight[k] for k, tap in enumerate(taps)))
    assert y.shape == (out_extent, out_extent)
    np.testing.assert_array_equal(y.coords, expected_coords)
    assert oracle.relative_error(y.feats, np.array(expected)) < TOLERANCE


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        (None, lambda v: v),
        ("relu", lambda v: np.maximum(v, 0)),
        ("relu6", lambda v: np.clip(v, 0, 6)),
        ("leaky_relu", lambda v: np.where(v > 0, v, 0.2 * v)),
    ],
)
def test_epilogues(random, activation, function):
    coords, feats = oracle.random_cloud(random, 200, 3, 6)
    x = vs.SparseTensor(coords, feats)
    weight, bias, residual = weights(random, 27, 5, 6), weights(random, 6), weights(random, len(coords), 6)
    plain = vs.conv(x, weight).feats.astype(np.float64)
    options = {"activation": activation, "negative_slope": 0.2}
    y = vs.conv(x, weight, bias=bias, residual=x.with_features(residual), **options)
    np.testing.assert_allclose(y.feats, function(plain + bias + residual), rtol=1e-4, atol=1e-4)
    matrix, shift = weight[0], weights(random, 6)
    wanted = feats.astype(np.float64) @ matrix
    np.testing.assert_allclose(vs.linear(feats, matrix, bias, **options), function(wanted + bias), rtol=1e-4, atol=1e-5)
    affine = vs.affine(residual, bias, shift, **options)
    np.testing.assert_allclose(affine, function(residual.astype(np.float64) * bias + shift), rtol=1e-4, atol=1e-5)
    total = vs.add(x.with_features(residual), y, **options)
    np.testing.assert_allclose(total.feats, function(residual + y.feats), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("op", "reduce"), [(vs.max_pool, np.max), (vs.avg_pool, np.mean), (vs.sum_pool, np.sum)], ids=["max", "avg", "sum"]
)
@pytest.mark.parametrize(("size", "stride"), [(3, 1), (2, 2), (3, 2)])
def test_pool(random, op, reduce, size, stride):
    coords, feats = oracle.random_cloud(random, 200, 3, 6)
    out = oracle.coarser(coords, stride)
    triples = oracle.pairs(coords, out, size, stride, 1)
    y = op(vs.SparseTensor(coords, feats), size, stride)
    expected = [reduce(feats[triples[triples[:, 2] == o, 1]].astype(np.float64), axis=0) for o in range(len(out))]
    np.testing.assert_array_equal(y.coords, out)
    np.testing.assert_allclose(y.feats, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("op", "reduce"),
    [(vs.global_max_pool, np.max), (vs.global_avg_pool, np.mean), (vs.global_sum_pool, np.sum)],
    ids=["max", "avg", "sum"],
)
def test_global_pool(random, op, reduce):
    coords, feats = oracle.random_cloud(random, 200, 3, 6, batches=2)
    coords[:, 0] *= 2  # batch 1 is empty
    pooled = op(vs.SparseTensor(coords, feats))
    expected = np.zeros((3, 5))
    for batch in (0, 2):
        expected[batch] = reduce(feats[coords[:, 0] == batch].astype(np.float64), axis=0)
    np.testing.assert_allclose(pooled, expected, rtol=1e-5, atol=1e-5)


def test_cat_and_union_add(random):
    a_coords, a_feats = oracle.random_cloud(random, 80, 3, 5)
    b_coords, b_feats = oracle.random_cloud(random, 80, 3, 5)
    a, b = vs.SparseTensor(a_coords, a_feats), vs.SparseTensor(b_coords, b_feats)
    joined = vs.cat([a, a.with_features(a_feats[:, :2].copy())])
    np.testing.assert_array_equal(joined.feats, np.hstack([a_feats, a_feats[:, :2]]))
    expected = {}
    for coords, feats in ((a_coords, a_feats), (b_coords, b_feats)):
        for c, row in zip(map(tuple, coords.tolist()), feats):
            expected[c] = expected.get(c, np.float32(0)) + row
    y = vs.union_add(a, b)
    np.testing.assert_array_equal(y.coords, sorted(expected))
    np.testing.assert_allclose(y.feats, [expected[c] for c in sorted(expected)], rtol=1e-6)
    with pytest.raises(ValueError, match=r"\[add\] tensors must have equal coordinates"):
        vs.add(a, b)


@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_select_rows(random, dtype):
    coords, feats = oracle.random_cloud(random, 80, 3, 5)
    mask = random.random(len(coords)) < 0.5
    y = vs.select_rows(vs.SparseTensor(coords, feats), mask.astype(dtype))
    np.testing.assert_array_equal(y.coords, coords[mask])
    np.testing.assert_array_equal(y.feats, feats[mask])


def test_dense_and_back(random):
    coords, feats = oracle.random_cloud(random, 80, 3, 6)
    dense = vs.to_dense(vs.SparseTensor(coords, feats, shape=(6, 7, 8)), batches=3)
    expected = np.zeros((3, 5, 6, 7, 8), np.float32)
    expected[coords[:, 0], :, coords[:, 1], coords[:, 2], coords[:, 3]] = feats
    np.testing.assert_array_equal(dense, expected)
    back = vs.from_dense(dense)
    np.testing.assert_array_equal(back.coords, coords)
    np.testing.assert_array_equal(back.feats, feats)
    assert back.shape == (6, 7, 8)


def test_argmax_takes_the_lowest(random):
    x = random.integers(0, 4, (500, 19)).astype(np.float32)
    labels = vs.argmax(x)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, np.argmax(x, axis=1))


ROUNDINGS = {
    "half_even": np.round,
    "half_away": lambda q: np.trunc(q.astype(np.float64) + np.copysign(0.5, q)),
    "floor": np.floor,
}


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("origin", ["sensor", "lowest"])
def test_voxelize(random, rounding, origin):
    points = (random.integers(-40, 40, (3000, 4)) * np.float32(0.125)).astype(np.float32)  # half of the cells are ties
    points[7, 1], points[99, 2] = np.nan, np.inf
    v = vs.voxelize(points, 0.25, rounding, range=((-4, -4, -4), (4, 4.5, 5)), origin=origin)
    with np.errstate(invalid="ignore"):
        keep = np.isfinite(points).all(1) & (points[:, :3] >= -4).all(1) & (points[:, :3] < (4, 4.5, 5)).all(1)
    cells = ROUNDINGS[rounding](points[keep, :3] / np.float32(0.25)).astype(np.int64)
    if origin == "lowest":
        cells -= cells.min(axis=0)
    voxels, first, inverse = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    assert v.dropped == np.count_nonzero(~keep) > 2
    np.testing.assert_array_equal(v.tensor.coords, np.insert(voxels, 0, 0, axis=1))
    np.testing.assert_array_equal(v.tensor.feats, points[keep][first])
    np.testing.assert_array_equal(v.inverse[keep], inverse)
    assert (v.inverse[~keep] == -1).all()


@pytest.mark.parametrize(("reduce", "expected"), [("first", 1), ("mean", 2), ("max", 3), ("sum", 6)])
def test_voxelize_reduces(reduce, expected):
    points = np.array([[0, 0, 0, 1], [0, 0, 0, 3], [0, 0, 0, 2]], np.float32)
    assert vs.voxelize(points, reduce=reduce).tensor.feats[0, 3] == expected


def test_real_scan_has_its_golden_counts(real_points):
    x = vs.voxelize(real_points).tensor
    assert len(x) == 94_625
    assert len(vs.voxelize(real_points, rounding="half_away").tensor) == 94_627
    assert len(vs.kernel_map(x)) == 286_263


def test_synthetic_scan():
    points, labels = vs.synth_lidar(11)
    assert points.dtype == np.float32 and labels.dtype == np.uint32
    assert points.shape == (len(labels), 4) and len(labels) > 50_000
    again, _ = vs.synth_lidar(11)
    np.testing.assert_array_equal(points, again)
    assert not np.array_equal(points, vs.synth_lidar(12)[0])


@pytest.mark.parametrize("vary_sensor", [False, True])
def test_boxes_of_a_synthetic_scan(vary_sensor):
    points, labels, objects = vs.synth_lidar(11, vary_sensor, boxes=True)
    for with_boxes, without in zip((points, labels), vs.synth_lidar(11, vary_sensor)):
        np.testing.assert_array_equal(with_boxes, without)
    assert list(objects) == ["boxes", "types", "points", "object"]
    boxes, types, index = objects["boxes"], objects["types"], objects["object"]
    assert boxes.dtype == np.float32 and boxes.shape == (len(types), 7) and len(types) > 3
    assert objects["points"].dtype == np.int64 and index.dtype == np.int32 and index.shape == labels.shape
    raw = {"Car": 10, "Van": 10, "Truck": 18, "Pedestrian": 30, "Cyclist": 31}
    for number, (box, kind, count) in enumerate(zip(boxes.astype(float), types, objects["points"])):
        mine = points[index == number, :3]
        assert len(mine) == count > 0 and set(labels[index == number]) == {raw[kind]}
        ahead, left = (np.cos(box[6]), np.sin(box[6])), (-np.sin(box[6]), np.cos(box[6]))
        offsets = np.column_stack([(mine[:, :2] - box[:2]) @ ahead, (mine[:, :2] - box[:2]) @ left, mine[:, 2] - box[2]])
        mirrors = [0, 0.2, 0] if kind == "Car" else 0
        assert (np.abs(offsets) < box[3:6] / 2 + 0.2 + mirrors).mean() > 0.99, (number, kind)
    assert not np.isin(labels[index < 0], list(raw.values())).any()


FAR = np.array([[0, -(2**30), -(2**30), -(2**30)], [0, 2**30, 2**30, 2**30]], np.int32)


def test_bad_arguments_are_value_errors(random):
    x = vs.SparseTensor(*oracle.random_cloud(random, 30, 3, 6))
    for call, message in [
        (lambda: vs.conv(x, weights(random, 27, 4, 8)), "weight expects 4 channels, tensor has 5"),
        (lambda: vs.conv(x, weights(random, 8, 5, 8)), r"weight expects f32 \[27, Cin, Cout\]"),
        (lambda: vs.conv(x, weights(random, 27, 5, 8), bias=weights(random, 7)), r"bias expects f32 \[8\]"),
        (lambda: vs.conv(x, weights(random, 27, 5, 8), residual=x), "residual expects 8 channels"),
        (lambda: vs.conv(x, weights(random, 27, 5, 8), activation="gelu"), "one of relu, relu6, leaky_relu"),
        (lambda: vs.conv(x, weights(random, 27, 5, 8), semantics="valid"), "one of floor, bounded"),
        (lambda: vs.conv(x, weights(random, 27, 5, 8), kernel_size=(3, 3)), "kernel_size expects 1 or 3 values"),
        (lambda: vs.conv(x, weights(random, 27, 5, 8), padding=1), "padding belongs to bounded semantics"),
        (lambda: vs.conv(x, weights(random, 27, 5, 8), 3, 1, 1, 1, "bounded"), r"SparseTensor\(\.\.\., shape=\)"),
        (lambda: vs.kernel_map(x, kernel_size=0), "kernel size of axis 0"),
        (lambda: vs.max_pool(x, 2, stride=2**30), "stride of axis 0 must be 1 to"),
        (lambda: vs.cat([]), "at least one tensor"),
        (lambda: vs.select_rows(x, np.zeros(3, bool)), r"mask expects u8"),
        (lambda: vs.to_dense(x), r"has no shape; make it with SparseTensor\(\.\.\., shape=\)"),
        (lambda: vs.conv_transpose(x, weights(random, 8, 5, 8), 2, 2), r"SparseTensor\(\.\.\., stride=\)"),
        (lambda: vs.generative_conv_transpose(x, weights(random, 8, 5, 8), 2, 2), r"SparseTensor\(\.\.\., stride=\)"),
        (lambda: vs.SparseTensor(FAR, x.feats[:2]), "leave out what lies far from the rest$"),
        (lambda: vs.linear(x.feats, weights(random, 4, 4)), r"weight expects f32 \[5, Cout\]"),
        (lambda: vs.argmax(np.zeros((2, 300), np.float32)), "1 to 256 channels"),
        (lambda: vs.voxelize(np.zeros((2, 2), np.float32)), "with C >= 3"),
        (lambda: vs.voxelize(np.zeros((2, 3), np.float32), voxel_size=0), "positive number of metres"),
        (lambda: vs.voxelize(np.full((1, 3), 1e30, np.float32)), "2\\^30 cells .*; leave it out, by a range"),
        (lambda: vs.voxelize(np.float32([[0, 0, 0], [1e6, 1e6, 1e6]])), "far from the rest, by a range"),
        (lambda: vs.voxelize(np.zeros((2, 3), np.float32), range=((0, 0, 1), (1, 1, 0))), "found 1 to 0 along z"),
        (lambda: vs.voxelize(np.zeros((2, 3), np.float32), range=((0, 0, 0), (1, np.nan, 1))), "0 to nan along y"),
        (lambda: vs.set_num_threads(0), "expected 1 to 1024 threads"),
        (lambda: vs.set_num_threads(1 << 20), "expected 1 to 1024 threads"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_no_memory_is_a_memory_error():
    point = np.zeros((1, 3), np.float32)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), hard))
    try:
        with pytest.raises(MemoryError, match="bytes left"):
            vs.knn_search(point, point, 1 << 30)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_a_wrong_number_asks_for_no_memory():
    x = vs.SparseTensor(np.array([[0, 0, 0, 0], [2**30, 1, 1, 1]]), np.ones((2, 6), np.float32), shape=2)
    for op in (vs.global_max_pool, vs.global_avg_pool, vs.global_sum_pool, vs.to_dense):
        with pytest.raises(ValueError, match="batch index 1073741824 of a tensor of 2 rows .*; number the clouds 0, 1, 2"):
            op(x)
    with pytest.raises(ValueError, match="voxels: 1073741824 with 6 numbers each"):
        vs.voxelize_features(x.feats, np.zeros(2, np.int32), 2**30)


def test_threads_do_not_change_bits(random):
    x = vs.SparseTensor(*oracle.random_cloud(random, 20_000, 3, 40, channels=33))
    weight = weights(random, 27, 33, 35)
    results = []
    for threads in (1, 2, 3):
        vs.set_num_threads(threads)
        assert vs.num_threads() == threads
        results.append(vs.conv(x, weight).feats)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
