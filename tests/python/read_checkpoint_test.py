"""Checkpoints that torch.save wrote, read without torch: equal to what torch.load gives, and nothing in them runs."""

import argparse
import collections
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import voxshift as vs

torch = pytest.importorskip("torch")

FORMS = pytest.mark.parametrize("form", ["zip", "legacy"])
FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
DTYPES = [*FLOATS, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]


@pytest.fixture(scope="module", autouse=True)
def needs_libzip(tmp_path_factory):
    path = tmp_path_factory.mktemp("probe") / "a.pkl"
    path.write_bytes(pickle.dumps({}))
    try:
        vs.read_checkpoint(path)
    except vs.BackendUnavailable as error:
        pytest.skip(str(error))


def saved(value, path, form="zip", **options):
    torch.save(value, path, _use_new_zipfile_serialization=form == "zip", **options)
    return path


def as_array(tensor):
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def assert_equal(read, loaded, where="root"):
    """What read_checkpoint gives and what torch.load gives, to the bit."""
    if isinstance(loaded, torch.Tensor):
        expected = as_array(loaded)
        assert isinstance(read, np.ndarray) and read.dtype == expected.dtype and read.shape == expected.shape, where
        assert read.tobytes() == expected.tobytes(), where
    elif isinstance(loaded, np.ndarray):
        assert read.dtype == loaded.dtype and read.shape == loaded.shape and read.tobytes() == loaded.tobytes(), where
    elif isinstance(loaded, dict):
        assert isinstance(read, dict) and list(read) == list(loaded), where
        for key, value in loaded.items():
            assert_equal(read[key], value, f"{where}[{key!r}]")
    elif isinstance(loaded, (list, tuple)):
        assert type(read) is (tuple if isinstance(loaded, tuple) else list) and len(read) == len(loaded), where
        for i, value in enumerate(loaded):
            assert_equal(read[i], value, f"{where}[{i}]")
    else:
        assert type(read) is type(loaded), where
        assert read == loaded or (read != read and loaded != loaded), where


def random(dtype, *shape):
    values = torch.randn(*shape) * 50
    return values > 0 if dtype == torch.bool else values.abs().to(dtype) if dtype == torch.uint8 else values.to(dtype)


@FORMS
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype(tmp_path, form, dtype):
    torch.manual_seed(0)
    value = {"matrix": random(dtype, 5, 7), "scalar": random(dtype, 1)[0], "empty": random(dtype, 0, 3)}
    assert_equal(vs.read_checkpoint(saved(value, tmp_path / "a.pth", form)), value)


@FORMS
def test_extreme_halves(tmp_path, form):
    bits = torch.arange(-32768, 32768, dtype=torch.int16)
    value = [bits.view(torch.float16).clone(), bits.view(torch.bfloat16).clone()]
    read = vs.read_checkpoint(saved(value, tmp_path / "a.pth", form))
    np.testing.assert_array_equal(read[0].view(np.int16), bits.numpy())
    np.testing.assert_array_equal(read[1].view(np.uint32), (bits.numpy().astype(np.int64) << 16 & 0xFFFFFFFF).astype(np.uint32))


@FORMS
def test_views_share_their_storage(tmp_path, form):
    base = torch.arange(120, dtype=torch.float32)
    grid = base.view(2, 3, 4, 5)
    value = {"base": base, "grid": grid, "turned": grid.permute(3, 1, 0, 2), "part": grid[1, 1:, ::2, 3], "same": base,
             "strided": base[7::11], "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
             "expanded": base[3].expand(4, 6), "one": base[119:], "half": base.view(torch.float32)[60:].half().t()}
    read = vs.read_checkpoint(saved(value, tmp_path / "a.pt", form))
    assert_equal(read, value)
    read["base"][:] = -1
    for name in ("grid", "turned", "part", "same", "strided", "expanded", "one"):
        assert (read[name] == -1).all(), name
    assert (read["channels_last"] != -1).all()
    assert read["turned"].strides == tuple(4 * stride for stride in value["turned"].stride())
    assert read["base"] is read["same"]


@FORMS
def test_modules_optimizer_and_nested_values(tmp_path, form):
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Linear(4, 4))
    net[2].weight.data = net[2].weight.data.t()
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.randn(2, 3, 6, 6)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 3])
    value = {"state_dict": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 7, "lr": 1e-3, "best": None,
             "parameter": torch.nn.Parameter(torch.ones(3)), "frozen": torch.nn.Parameter(torch.ones(2), False),
             "names": ["a", "ü", "名", ""], "nested": {"a": [(1, 2.5, True), {3: {"b": [[]]}}], (1, "x"): b"\0\xff\x80"},
             "large": [2**31, -(2**31), 2**62, -(2**63), 2**63, -(2**64), 2**200, -(2**77) + 5, 0, -1, 255, 256, 65536],
             "floats": [0.1, float("inf"), float("nan"), -0.0], "set": {1, 2, 3}, "size": tuple(torch.Size([3, 4]))}
    read = vs.read_checkpoint(saved(value, tmp_path / "a.ckpt", form))
    assert_equal(read, value)
    assert read["state_dict"]._metadata == value["state_dict"]._metadata
    assert read["state_dict"]._metadata["1"]["version"] == 2
    scheduler_read = vs.read_checkpoint(saved(scheduler.state_dict(), tmp_path / "b.ckpt", form))
    assert scheduler_read["milestones"] == {1: 1, 3: 1} and scheduler_read["last_epoch"] == scheduler.last_epoch


@FORMS
def test_containers_of_the_standard_library(tmp_path, form):
    value = {"namespace": argparse.Namespace(width=1.5, classes=["a"]), "size": torch.Size([2, 3]),
             "default": collections.defaultdict(list, {"a": [1]}), "ordered": collections.OrderedDict(b=1, a=2)}
    read = vs.read_checkpoint(saved(value, tmp_path / "a.pth", form))
    assert read == {"namespace": {"width": 1.5, "classes": ["a"]}, "size": (2, 3), "default": {"a": [1]}, "ordered": {"b": 1, "a": 2}}
    assert list(read["ordered"]) == ["b", "a"]


@pytest.mark.parametrize("protocol", range(6))
@FORMS
def test_every_protocol(tmp_path, form, protocol):
    numbers = np.arange(6, dtype=np.float32).reshape(2, 3)
    value = {"tensor": torch.randn(3, 4), "text": "línea\n'quoted\" \\u0041", "numbers": numbers, "turned": numbers.T,
             "integers": [0, 255, 256, -1, 2**40, 2**70, True, False, None], "floats": [1.5, -0.0, 1e300], "bytes": b"a\xff\0\n",
             "same": [numbers, numbers], "tuple": (), "tuples": [(1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)], "sets": [{1}, set()]}
    if form == "legacy" and protocol < 2:
        return  # torch's own ids of storages need protocol 2 there
    if protocol < 2:
        del value["tensor"]
    path = saved(value, tmp_path / "a.pth", form, pickle_protocol=protocol)
    read = vs.read_checkpoint(path)
    assert_equal({key: read[key] for key in value if key != "sets"}, {key: value[key] for key in value if key != "sets"})
    assert read["sets"] == [{1}, set()]
    assert read["same"][0] is read["same"][1]


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_without_torch(tmp_path, protocol):
    value = {"weight": np.random.default_rng(0).normal(size=(3, 4)), "step": np.int64(3), "rate": np.float32(0.5),
             "flag": np.bool_(True), "half": np.float16(1.5), "empty": np.zeros((0, 2), np.uint8), "big": np.arange(3, dtype=">i4")}
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    read = vs.read_checkpoint(path)
    assert_equal(read["weight"], value["weight"])
    assert_equal(read["empty"], value["empty"])
    assert (read["step"], read["rate"], read["half"], read["flag"]) == (3, 0.5, 1.5, True)
    assert isinstance(read["big"], vs.OpaqueObject) and read["big"].name.startswith("numpy.")


class HistoryBuffer:
    """As mmengine's: arrays and functions in the state of an object."""

    def __init__(self):
        self._log_history = np.arange(4.0)
        self._statistics_methods = {"mean": np.mean}
        self.owner = self


class Command:
    def __init__(self, text):
        self.text = text

    def __reduce__(self):
        return os.system, (self.text,)


@FORMS
def test_objects_of_other_classes_are_placeholders(tmp_path, form):
    value = {"state_dict": {"w": torch.ones(2)}, "message_hub": {"loss": HistoryBuffer()}, "path": Path("a/b"),
             "class": HistoryBuffer, "device": torch.device("cuda:1"), "dtype": torch.float16}
    read = vs.read_checkpoint(saved(value, tmp_path / "a.pth", form))
    assert_equal(read["state_dict"], value["state_dict"])
    buffer = read["message_hub"]["loss"]
    assert isinstance(buffer, vs.OpaqueObject) and buffer.name.endswith(".HistoryBuffer") and buffer.is_object
    assert "HistoryBuffer" in repr(buffer) and "not read" in repr(buffer)
    np.testing.assert_array_equal(buffer.state["_log_history"], np.arange(4.0))
    assert buffer.state["_statistics_methods"]["mean"].name.endswith("mean")
    assert isinstance(buffer.state["owner"], vs.OpaqueObject)  # itself, cut there
    assert read["class"].name.endswith(".HistoryBuffer") and not read["class"].is_object
    assert read["dtype"].name == "torch.float16" and read["device"].arguments == ("cuda", 1)


@FORMS
def test_a_whole_module_is_its_attributes(tmp_path, form):
    net = torch.nn.Linear(2, 3)
    read = vs.read_checkpoint(saved(net, tmp_path / "a.pth", form))
    assert read.name == "torch.nn.modules.linear.Linear"
    assert_equal(read.state["_parameters"], dict(net._parameters))


@FORMS
def test_a_command_is_not_run(tmp_path, form):
    value = {"w": torch.ones(2), "evil": Command(f"touch {tmp_path}/ran")}
    read = vs.read_checkpoint(saved(value, tmp_path / "a.pth", form))
    assert_equal(read["w"], value["w"])
    assert read["evil"].name == "posix.system" and read["evil"].arguments == (f"touch {tmp_path}/ran",)
    with pytest.raises(vs.IoError, match=r"b\.pth: is a call of posix\.system, which is not made"):
        vs.read_checkpoint(saved(Command(f"touch {tmp_path}/ran"), tmp_path / "b.pth", form))
    (tmp_path / "c.pkl").write_bytes(b"cos\nsystem\n(S'touch " + bytes(tmp_path) + b"/ran'\ntR.")
    with pytest.raises(vs.IoError, match=r"c\.pkl: is a call of os\.system"):
        vs.read_checkpoint(tmp_path / "c.pkl")
    assert not (tmp_path / "ran").exists()


def test_packed_archives_and_sparse_tensors(tmp_path):
    value = {"w": torch.arange(3000, dtype=torch.float16), "sparse": torch.eye(3).to_sparse(), "complex": torch.ones(2, dtype=torch.complex64)}
    path = saved(value, tmp_path / "a.pth")
    with zipfile.ZipFile(path) as stored, zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in stored.infolist():
            packed.writestr(entry.filename, stored.read(entry))
    for name in ("a.pth", "b.pth"):
        read = vs.read_checkpoint(tmp_path / name)
        assert_equal(read["w"], value["w"])
        assert isinstance(read["sparse"], vs.OpaqueObject) and isinstance(read["complex"], vs.OpaqueObject)


def test_safetensors(tmp_path):
    tensors = {"a": np.arange(6, dtype=np.float64).reshape(2, 3), "b": np.array([True, False]), "c": np.array(7, np.int16)}
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in tensors.items():
        word = {"d": "F64", "?": "BOOL", "h": "I16"}[array.dtype.char]
        header[name] = {"dtype": word, "shape": array.shape, "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    header["f8"] = {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [len(data), len(data) + 2]}
    header["bf16"] = {"dtype": "BF16", "shape": [1], "data_offsets": [len(data) + 2, len(data) + 4]}
    text = str(header).replace("'", '"').replace("(", "[").replace(",)", "]").replace(")", "]").encode()
    path = tmp_path / "a.bin"
    path.write_bytes(struct.pack("<Q", len(text)) + text + data + b"\0\0\x80\x3f")
    read = vs.read_checkpoint(path)
    for name, array in tensors.items():
        assert_equal(read[name], array)
    assert read["bf16"].dtype == np.float32 and read["bf16"][0] == 1
    assert read["f8"].name == "F8_E4M3" and read._metadata == {"format": "pt"}


BAD = {
    "empty": (b"", "is empty"),
    "text": (b"hello, world", "is no checkpoint"),
    "onnx": (b"\x08\4\x12\7pytorch", "is no checkpoint"),
    "gzip": (b"\x1f\x8b\x08" + bytes(40), "compressed by gzip"),
    "cut pickle": (pickle.dumps({"a": 1})[:-4], "is cut"),
    "only a name": (b"cos\nsystem\n.", "is the name os.system"),
    "cycle": (b"]q\0h\0a.", "holds itself"),
    "cycle of dicts": (b"}q\0(K\1}(K\2h\0uu.", "holds itself"),
    "10 GB": (b"\x80\4\x8d" + struct.pack("<Q", 10 * 2**30) + b"abc", "is cut"),
    "deep": (b"]" * 100_000 + b"a" * 99_999 + b".", "nests"),
    "billion laughs": (b"]q\0K\1a" + b"".join(b"]q" + bytes([i]) + (b"h" + bytes([i - 1]) + b"a") * 20 for i in range(1, 20)) + b".",
                       "refers to its objects"),
    "missing object": (b"\x80\2h\5.", "refers to object 5"),
    "stack": (b"\x80\2K\1K\2s.", "damaged"),
    "key of a dict": (b"}]K\1s.", "key of a dict"),
    "twice": (b"}X\1\0\0\0aK\1sX\1\0\0\0aK\2s.", "twice"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_pickles(tmp_path, name):
    content, message = BAD[name]
    path = tmp_path / "bad.pth"
    path.write_bytes(content)
    with pytest.raises(vs.IoError, match=message) as error:
        vs.read_checkpoint(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


@FORMS
def test_cut_files(tmp_path, form):
    whole = saved({"w": torch.randn(50, 50), "v": torch.randn(7)}, tmp_path / "a.pth", form).read_bytes()
    for bytes_left in [*range(1, 400, 7), *range(400, len(whole), 997), len(whole) - 1]:
        path = tmp_path / "cut.pth"
        path.write_bytes(whole[:bytes_left])
        with pytest.raises(vs.IoError):
            vs.read_checkpoint(path)


def rewritten(path, old, new):
    """The archive with other bytes in its pickle."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    name = next(name for name in entries if name.endswith("data.pkl"))
    assert old in entries[name]
    entries[name] = entries[name].replace(old, new, 1)
    with zipfile.ZipFile(path, "w") as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)


def test_sizes_that_lie(tmp_path):
    path = tmp_path / "a.pth"
    tensor = torch.arange(11 * 13, dtype=torch.float32).view(11, 13)
    for old, new, message in [
        (b"K\x8f", b"\x8a\x05" + struct.pack("<Q", 10 * 2**30)[:5], "claims 10737418240 elements"),  # elements of the storage
        (b"K\x0bK\x0d", b"K\x0bK\x0e", "of a storage of 143"),  # shape
        (b"K\x0dK\x01", b"K\x0eK\x01", "of a storage of 143"),  # stride
        (b"K\x0dK\x01", b"\x8a\x08" + struct.pack("<q", 2**62) + b"K\x01", "of a storage of 143"),
        (b"K\x0dK\x01", b"J\xff\xff\xff\xffK\x01", "with strides"),
        (b"K\x0bK\x0d", b"\x8a\x08" + struct.pack("<q", 2**62) + b"K\x0d", "of a storage of 143"),
        (b"K\x0bK\x0d", b"J\xff\xff\xff\xffK\x0d", "of shape"),
        (b"QK\x00", b"QK\x01", "from element 1"),
        (b"QK\x00", b"QN", "without shape"),
        (b"X\x01\x00\x00\x000", b"X\x01\x00\x00\x005", "data/5 is not in the archive"),
        (b"X\x01\x00\x00\x000", b"X\x06\x00\x00\x00../abc", "is not in the archive"),
    ]:
        saved({"w": tensor}, path)
        rewritten(path, old, new)
        with pytest.raises(vs.IoError, match=message):
            vs.read_checkpoint(path)


def test_an_expanded_tensor_costs_nothing(tmp_path):
    path = saved({"w": torch.zeros(1).expand(2**20, 2**20)}, tmp_path / "a.pth")
    assert vs.read_checkpoint(path)["w"].shape == (2**20, 2**20)


def test_refused_by_name(tmp_path):
    class Net(torch.nn.Module):
        def forward(self, x):
            return x + 1

    torch.jit.save(torch.jit.script(Net()), str(tmp_path / "script.pt"))
    with pytest.raises(vs.IoError, match="libtorch archive"):
        vs.read_checkpoint(tmp_path / "script.pt")
    import tarfile

    with tarfile.open(tmp_path / "old.pth", "w") as archive:
        archive.add(tmp_path / "script.pt", "storages")
    with pytest.raises(vs.IoError, match="tar archive"):
        vs.read_checkpoint(tmp_path / "old.pth")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(vs.IoError, match="without data.pkl"):
        vs.read_checkpoint(tmp_path / "other.zip")
    with pytest.raises(vs.IoError, match="nowhere.pth"):
        vs.read_checkpoint(tmp_path / "nowhere.pth")


DATA = os.environ.get("VOXSHIFT_DATA")


@pytest.mark.skipif(not DATA, reason="VOXSHIFT_DATA is not set")
@pytest.mark.parametrize("name", ["spconv_golden_net.pt", "spconv_golden_misc.pt", "spconv_golden_ext_pool.pt",
                                  "resnet20-12fca82f.th", "slim320.pth"])
def test_real_files(name):
    path = Path(DATA) / "checkpoints" / name
    assert_equal(vs.read_checkpoint(path), torch.load(path, map_location="cpu"))


@pytest.mark.skipif(not DATA, reason="VOXSHIFT_DATA is not set")
def test_a_real_libtorch_archive():
    with pytest.raises(vs.IoError, match="libtorch archive"):
        vs.read_checkpoint(Path(DATA) / "checkpoints" / "libtorch_archive.pt")
