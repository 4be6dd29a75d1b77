"""Arrays in and out: numpy, DLPack, buffers; what is shared, what is copied, who keeps what alive."""

import gc
import weakref

import numpy as np
import pytest
import voxshift as vs
from oracle import random_cloud


def address(array):
    return array.__array_interface__["data"][0]


class OnlyDlpack:
    """What other libraries' arrays look like from outside."""

    def __init__(self, array, device=(1, 0)):
        self.array = array
        self.device = device

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device


@pytest.fixture
def cloud(random):
    return random_cloud(random, 100, 3, 9, channels=4)


@pytest.mark.parametrize("wrap", [lambda a: a, OnlyDlpack, memoryview], ids=["numpy", "dlpack", "buffer"])
def test_input_is_not_copied(cloud, wrap):
    coords, feats = cloud
    x = vs.SparseTensor(wrap(coords), wrap(feats))
    np.testing.assert_array_equal(x.coords, coords)
    assert address(x.feats) == address(feats)


def test_output_goes_to_dlpack_without_a_copy(cloud):
    x = vs.SparseTensor(*cloud)
    for out in (vs.affine(x.feats), x.inverse, x.feats, vs.kernel_map(x), vs.argmax(x.feats)):
        assert address(np.from_dlpack(out)) == address(out)
        assert np.asarray(out) is out


def test_input_lives_as_long_as_it_is_used(cloud):
    coords, feats = cloud
    source = feats.copy()
    freed = weakref.ref(source)
    x = vs.SparseTensor(coords, source)
    del source
    gc.collect()
    assert freed() is not None
    view = x.feats
    y = x.with_features(feats)
    del x
    gc.collect()
    np.testing.assert_array_equal(view, feats)
    assert freed() is not None
    del view
    gc.collect()
    assert freed() is None
    assert len(y) == len(feats)


def test_output_outlives_its_tensor(cloud):
    coords, feats = cloud
    x = vs.SparseTensor(coords[::-1], feats[::-1])
    views = (x.coords, x.feats, x.inverse)
    del x
    gc.collect()
    for view, expected in zip(views, (coords, feats, np.arange(len(coords))[::-1])):
        np.testing.assert_array_equal(view, expected)


def test_read_only_input_works_and_stays_read_only(cloud):
    coords, feats = cloud
    coords.setflags(write=False)
    feats.setflags(write=False)
    x = vs.SparseTensor(coords, feats)
    assert address(x.feats) == address(feats)
    assert not x.feats.flags.writeable
    assert vs.affine(feats).flags.writeable


@pytest.mark.parametrize(
    "change",
    [
        np.asfortranarray,
        lambda a: np.repeat(a, 2, axis=0)[::2],
        lambda a: a[::-1].copy()[::-1],
        lambda a: a.astype(">f4"),
        lambda a: np.frombuffer(b"." + a.tobytes(), np.float32, offset=1).reshape(a.shape),
    ],
    ids=["fortran", "strided", "reversed", "big-endian", "unaligned"],
)
def test_other_layouts_are_copied_right(cloud, change):
    feats = cloud[1]
    np.testing.assert_array_equal(vs.affine(change(feats)), feats)


@pytest.mark.parametrize("dtype", ["float64", "uint32", "int16", "complex64", "U3", "O"])
def test_other_dtypes_are_value_errors(dtype):
    with pytest.raises(ValueError, match=r"expected float32, .* found .* \[2, 2\]"):
        vs.affine(np.zeros((2, 2), dtype))


@pytest.mark.parametrize("value", [None, "text", 3.0, [[1.0]], {}])
def test_what_is_no_array_is_a_type_error(value):
    with pytest.raises(TypeError):
        vs.argmax(value)


def test_memory_of_another_kind_of_device_is_a_value_error(cloud):
    with pytest.raises(ValueError, match="memory of the CPU or of CUDA, found DLPack device type 10"):
        vs.affine(OnlyDlpack(cloud[1], device=(10, 0)))


def test_memory_of_a_device_that_is_not_here(cloud):
    with pytest.raises(RuntimeError, match=r"memory of cuda:77, .* \.cpu\(\)"):
        vs.affine(OnlyDlpack(cloud[1], device=(2, 77)))


def test_a_failing_export_is_passed_on():
    class Broken(OnlyDlpack):
        def __dlpack__(self, **options):
            raise BufferError("not today")

    with pytest.raises(BufferError, match="not today"):
        vs.affine(Broken(None))


class TestTorch:
    @pytest.fixture
    def torch(self):
        return pytest.importorskip("torch")

    def test_tensors_in_without_a_copy(self, torch, cloud):
        coords, feats = (torch.from_numpy(a) for a in cloud)
        x = vs.SparseTensor(coords.long(), feats)
        assert address(x.feats) == feats.data_ptr()
        np.testing.assert_array_equal(x.coords, cloud[0])

    def test_results_out_without_a_copy(self, torch, cloud):
        x = vs.SparseTensor(*cloud)
        y = vs.conv(x, torch.ones(27, 4, 6), bias=torch.zeros(6))
        out = torch.from_dlpack(y.feats)
        assert out.data_ptr() == address(y.feats)
        out[0, 0] = 123
        assert y.feats[0, 0] == 123

    def test_transposed_tensor(self, torch, cloud):
        feats = torch.from_numpy(cloud[1])
        np.testing.assert_array_equal(vs.affine(feats.t().contiguous().t()), cloud[1])

    def test_bool_mask(self, torch, cloud):
        x = vs.SparseTensor(*cloud)
        mask = torch.from_numpy(cloud[1])[:, 0] > 0
        np.testing.assert_array_equal(vs.select_rows(x, mask).coords, cloud[0][mask.numpy()])

    def test_tensor_with_gradient_is_refused(self, torch):
        with pytest.raises(RuntimeError, match="detach"):
            vs.affine(torch.ones(2, 2, requires_grad=True))
