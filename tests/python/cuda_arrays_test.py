"""Arrays on a CUDA device: in and out without a copy, every op on them, and nothing that reads them as the CPU's."""

import copy
import gc
import os
import pickle
import weakref

import numpy as np
import pytest
import voxshift as vs
from oracle import random_cloud


@pytest.fixture(autouse=True)
def cuda():
    if not vs.build_info()["cuda"]:
        if os.environ.get("VOXSHIFT_REQUIRE_CUDA") == "1":
            pytest.fail("no CUDA device")
        pytest.skip("no CUDA device, or a build without CUDA")


class OnlyInterface:
    """What numba's arrays look like from outside."""

    def __init__(self, array, **changes):
        self.array = array
        self.__cuda_array_interface__ = {**array.__cuda_array_interface__, **changes}


class OnlyDlpack:
    """What arrays look like that have no __cuda_array_interface__."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, stream):
        return self.array.__dlpack__(stream=stream)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def address(array):
    return array.__cuda_array_interface__["data"][0]


@pytest.fixture
def cloud(random):
    return random_cloud(random, 200, 3, 7, channels=4)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "int32", "int8", "uint8", "bool"])
def test_there_and_back(dtype):
    values = np.arange(12).reshape(3, 4).astype(dtype)
    there = vs.to_device(values, "cuda")
    assert (there.shape, there.device, len(there)) == ((3, 4), "cuda:0", 3)
    assert there.dtype == ("uint8" if dtype == "bool" else dtype)
    assert repr(there) == f'DeviceArray(shape=(3, 4), dtype={there.dtype}, device="cuda:0")'
    for back in (there.numpy(), vs.to_device(there, "cpu")):
        np.testing.assert_array_equal(back, values)
    assert address(vs.to_device(there, "cuda:0")) == address(there)


def test_empty_and_without_axes():
    assert vs.to_device(np.zeros((0, 3), np.float32)).numpy().shape == (0, 3)
    assert vs.affine(OnlyInterface(vs.to_device(np.zeros((0, 3), np.float32)))).shape == (0, 3)
    assert vs.to_device(np.float32(7).reshape(())).numpy() == 7


def test_numpy_does_not_take_it_unasked():
    with pytest.raises(TypeError, match=r"\.numpy\(\)"):
        np.asarray(vs.to_device(np.zeros(3, np.float32)))


def test_an_unknown_device():
    with pytest.raises(RuntimeError, match="cuda:9"):
        vs.to_device(np.zeros(3, np.float32), "cuda:9")
    with pytest.raises(ValueError, match="gpu"):
        vs.to_device(np.zeros(3, np.float32), "gpu")


@pytest.mark.parametrize("wrap", [lambda a: a, OnlyInterface, OnlyDlpack], ids=["ours", "interface", "dlpack"])
def test_input_is_not_copied(cloud, wrap):
    coords, feats = (vs.to_device(a) for a in cloud)
    x = vs.SparseTensor(wrap(coords), wrap(feats))
    assert address(x.feats) == address(feats)
    np.testing.assert_array_equal(x.coords.numpy(), cloud[0])
    np.testing.assert_array_equal(x.feats.numpy(), cloud[1])


def test_memory_lives_as_long_as_anybody_holds_it(cloud):
    source = OnlyInterface(vs.to_device(cloud[1]))
    freed = weakref.ref(source)
    x = vs.SparseTensor(vs.to_device(cloud[0]), source)
    capsule = x.feats.__dlpack__()
    del source, x
    gc.collect()
    assert freed() is not None
    del capsule
    gc.collect()
    assert freed() is None


def test_a_capsule_is_taken_once(cloud):
    class Same(OnlyDlpack):
        def __dlpack__(self, stream):
            return capsule

    array = vs.to_device(cloud[1])
    capsule = array.__dlpack__()
    np.testing.assert_array_equal(vs.affine(Same(array)).numpy(), cloud[1])
    with pytest.raises(ValueError, match="dltensor|incorrect name"):
        vs.affine(Same(array))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strides": (4, 8)}, r"contiguous .* \.contiguous\(\)"),
        ({"typestr": "<f8"}, "found float64"),
        ({"data": (4, False)}, "aligned to 16 bytes"),
    ],
    ids=["strides", "dtype", "alignment"],
)
def test_other_layouts_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        vs.affine(OnlyInterface(vs.to_device(np.ones((2, 2), np.float32)), **changes))


def test_strides_of_contiguous_memory_are_taken():
    array = OnlyInterface(vs.to_device(np.ones((1, 3), np.float32)), strides=(77, 4))
    np.testing.assert_array_equal(vs.affine(array).numpy(), np.ones((1, 3), np.float32))


def test_long_coordinates_are_converted(cloud):
    x = vs.SparseTensor(vs.to_device(cloud[0].astype(np.int64)), vs.to_device(cloud[1]))
    np.testing.assert_array_equal(x.coords.numpy(), cloud[0])
    with pytest.raises(ValueError, match="must fit 32 bits, found 4294967296"):
        vs.SparseTensor(vs.to_device(np.array([[0, 2**32, 0, 0]])), vs.to_device(cloud[1][:1]))


@pytest.mark.parametrize("again", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy])
def test_arrays_and_tensors_pickle_to_their_device(cloud, again):
    array = vs.to_device(cloud[1])
    other = again(array)
    assert other.device == array.device and address(other) != address(array)
    np.testing.assert_array_equal(other.numpy(), cloud[1])
    x = vs.SparseTensor(cloud[0], cloud[1], stride=2).to("cuda")
    y = again(x)
    assert (y.device, y.stride) == (x.device, x.stride)
    np.testing.assert_array_equal(y.coords.numpy(), cloud[0])
    np.testing.assert_array_equal(y.feats.numpy(), cloud[1])


def test_a_tensor_moves_with_its_inverse(cloud):
    x = vs.SparseTensor(cloud[0][::-1], cloud[1][::-1], stride=2, shape=7)
    there = x.to("cuda")
    assert (there.device, there.stride, there.shape) == ("cuda:0", (2, 2, 2), (7, 7, 7))
    back = there.to("cpu")
    for found in (there.inverse.numpy(), back.inverse):
        np.testing.assert_array_equal(found, x.inverse)
    np.testing.assert_array_equal(back.feats, x.feats)


class Case:
    """Operands of ops, seeded; `put` says where each array goes."""

    def __init__(self, put):
        self.put = put
        self.random = np.random.default_rng(3)

    def floats(self, *shape):
        return self.put(self.random.standard_normal(shape).astype(np.float32))

    def points(self, rows=300):
        return self.put(self.random.uniform(-1, 1, (rows, 3)).astype(np.float32))

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


def test_every_op_has_a_case():
    elsewhere = {"build_info", "calibrate_skip", "num_threads", "set_memory_cache", "set_num_threads", "synchronize"}
    elsewhere |= {"prepare_points", "read_points", "synth_lidar", "synth_video", "synth_video_classes", "to_device", "train_ids"}
    elsewhere |= {"from_open3d", "graph_ops", "to_open3d"}
    ops = {name for name in vs.__all__ if name[0].islower()}
    assert ops - elsewhere <= set(CASES)


@pytest.mark.parametrize("case", CASES)
def test_op_as_on_the_cpu(case):
    found = arrays(CASES[case](Case(vs.to_device)))
    expected = arrays(CASES[case](Case(lambda array: array)))
    assert len(found) == len(expected) > 0
    for there, here in zip(found, expected):
        assert isinstance(there, vs.DeviceArray)
        assert (there.dtype, there.shape) == (here.dtype, here.shape)
        np.testing.assert_allclose(there.numpy(), here, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_mixed_devices_are_refused(case):
    """Each array alone stays on the CPU, or alone goes to the device, while the others do not."""
    count = 0

    def counted(array):
        nonlocal count
        count += 1
        return array

    CASES[case](Case(counted))
    for odd in range(count if count > 1 else 0):
        for away in (True, False):
            turn = iter(range(count))
            with pytest.raises(ValueError, match=r"is on|same device|device|on the CPU|cuda:0"):
                CASES[case](Case(lambda array: vs.to_device(array) if (next(turn) == odd) == away else array))


def test_what_belongs_to_the_cpu_refuses_device_arrays():
    floats = vs.to_device(np.zeros(4, np.float32))
    ids = vs.to_device(np.zeros(4, np.uint8))
    model = vs.Model.new("minkunet", width=0.125, seed=1)
    name, weights = next(iter(model.parameters().items()))
    for call in (
        lambda: vs.ConfusionMatrix(3).add(ids, ids),
        lambda: vs.LabelSmoother().push(floats),
        lambda: model.with_parameters({name: vs.to_device(weights)}),
    ):
        with pytest.raises((ValueError, TypeError), match="CPU"):
            call()


class TestModel:
    @pytest.fixture
    def path(self, tmp_path):
        vs.Model.new("minkunet", width=0.125, seed=1).save(tmp_path / "model.safetensors")
        return tmp_path / "model.safetensors"

    @pytest.fixture
    def points(self, synthetic_points):
        return synthetic_points[:2000]

    def test_results_come_to_where_the_points_were(self, path, points):
        model = vs.Model.load(path, device="cuda", dtype="f32")
        here = model.segment(points, scores=True)
        there = model.segment(vs.to_device(points), scores=True)
        for a, b in zip(here, there):
            assert isinstance(a, np.ndarray) and isinstance(b, vs.DeviceArray)
            np.testing.assert_array_equal(a, b.numpy())

    def test_device_points_on_a_cpu_model(self, path, points):
        model = vs.Model.load(path)
        np.testing.assert_array_equal(model.segment(vs.to_device(points)).numpy(), model.segment(points))

    def test_logits_of_a_tensor(self, path, points):
        voxels = vs.voxelize(points, voxel_size=0.1).tensor
        model = vs.Model.load(path, device="cuda", dtype="f32")
        np.testing.assert_array_equal(model.forward(voxels.to("cuda")).numpy(), model.forward(voxels))


class TestTorch:
    @pytest.fixture
    def torch(self):
        torch = pytest.importorskip("torch")
        if not torch.cuda.is_available():
            pytest.skip("torch has no CUDA device here")
        return torch

    def test_shared_both_ways(self, torch):
        x = torch.randn(100, 8, device="cuda")
        assert address(vs.SparseTensor(torch.arange(200, device="cuda").int().view(100, 2), x).feats) == x.data_ptr()
        y = vs.affine(x)
        for view in (torch.from_dlpack(y), torch.as_tensor(y, device="cuda")):
            assert view.data_ptr() == address(y)
            assert torch.equal(view, x)

    def test_work_follows_the_stream_of_the_caller(self, torch):
        weight = torch.eye(64, device="cuda") * 2
        for stream in [torch.cuda.Stream() for _ in range(4)]:
            with torch.cuda.stream(stream):
                x = torch.ones(20_000, 64, device="cuda")
                for _ in range(50):
                    x = torch.from_dlpack(vs.linear(x.mul(0.5), weight))
                total = x.sum()
            stream.synchronize()
            assert total.item() == x.numel()

    def test_a_consumer_on_another_stream_waits(self, torch):
        x = torch.ones(200_000, 64, device="cuda")
        weight = torch.eye(64, device="cuda") * 2
        other = torch.cuda.Stream()
        for _ in range(20):
            y = vs.linear(x, weight)
            with torch.cuda.stream(other):
                assert torch.from_dlpack(y).sum().item() == 2 * x.numel()

    def test_views_that_are_refused(self, torch):
        x = torch.ones(6, 8, device="cuda")
        with pytest.raises(ValueError, match="contiguous"):
            vs.affine(x.t())
        with pytest.raises(ValueError, match="aligned"):
            vs.affine(x.flatten()[1:])
        with pytest.raises((RuntimeError, BufferError), match="detach|grad"):
            vs.affine(x.clone().requires_grad_())
