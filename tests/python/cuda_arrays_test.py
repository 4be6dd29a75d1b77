"""Arrays on a CUDA device: in and out without a copy, every op on them, and nothing that reads them as the CPU's."""

import copy
import gc
import os
import pickle
import weakref

import numpy as np
import pytest
import voxshift as vs
from device_cases import CASES, Case, arrays
from oracle import random_cloud


@pytest.fixture(autouse=True)
def cuda():
    if not vs.build_info()["cuda"]:
        if os.environ.get("VOXSHIFT_REQUIRE_CUDA") == "1":
            pytest.fail("no CUDA device")
        pytest.skip("no CUDA device, or a build without CUDA")


def test_freed_memory_is_kept_per_device():
    for kept in (0, 2**63 - 1):
        vs.set_memory_cache(kept, "cuda")
    with pytest.raises(ValueError, match="cuda"):
        vs.set_memory_cache(0, "gpu")
    with pytest.raises(TypeError):
        vs.set_memory_cache(-1, "cuda")


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


def test_bfloat16_goes_by_dlpack():
    torch = pytest.importorskip("torch")
    values = torch.arange(12.0).reshape(3, 4).bfloat16()
    there = vs.to_device(values, "cuda")
    assert repr(there) == 'DeviceArray(shape=(3, 4), dtype=bfloat16, device="cuda:0")' and there.dtype == "bfloat16"
    assert not hasattr(there, "__cuda_array_interface__") and there.__dlpack_device__() == (2, 0)
    for unknown in (there.numpy, lambda: pickle.dumps(there)):
        with pytest.raises(ValueError, match="numpy has no dtype bf16"):
            unknown()
    back = vs.to_device(there, "cpu")
    assert back.device == "cpu" and back.__dlpack_device__() == (1, 0) and not hasattr(back, "__cuda_array_interface__")
    assert torch.equal(torch.from_dlpack(back), values)
    assert torch.from_dlpack(vs.to_device(values, "cpu")).data_ptr() == values.data_ptr()
    with pytest.raises(ValueError, match=r"bfloat16 has to be contiguous in C order; .*\.contiguous\(\)"):
        vs.to_device(values.t(), "cuda")

    class Both(OnlyDlpack):  # as torch's tensors, whose interface has a name of its own for it
        dtype = torch.bfloat16
        __cuda_array_interface__ = property(lambda self: {"shape": (3, 4), "typestr": "<V2", "data": (0, False), "version": 3})

    for given in (there, OnlyDlpack(there), Both(there)):
        taken = vs.sum_rows(given)
        np.testing.assert_array_equal(taken.numpy(), [12, 15, 18, 21])


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
