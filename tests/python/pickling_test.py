"""Pickling and copying: data come back equal and independent, what holds threads or a stream is refused by name."""

import copy
import io
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
import voxshift as vs
from oracle import random_cloud


def pickled(thing):
    return pickle.loads(pickle.dumps(thing))


WAYS = pytest.mark.parametrize("again", [pickled, copy.copy, copy.deepcopy])


def fields(thing):
    """The public attributes of an object that are data, by name."""
    values = {name: getattr(thing, name) for name in dir(thing) if not name.startswith("_")}
    return {name: value for name, value in values.items() if not callable(value)}


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    elif isinstance(a, (str, int, float, bool, tuple, type(None))):
        assert a == b
    elif isinstance(a, (list, dict)):
        assert len(a) == len(b)
        for key in a if isinstance(a, dict) else range(len(a)):
            assert_same(a[key], b[key])
    else:
        assert fields(a)
        for name, value in fields(a).items():
            assert_same(value, getattr(b, name))


@pytest.fixture(scope="module")
def clip_model():
    return vs.Model.pretrained("tsm-mobilenetv2-motions", threads=1)


def cloud_of_a_file(points):
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "a.npy", points)
        return vs.read_points(Path(folder) / "a.npy")


class OnceKnown:
    def __init__(self):
        self.history, self.window = [1.5, np.float32([1, 2])], "mean"


def object_of_a_checkpoint():
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.pkl").write_bytes(pickle.dumps({"state_dict": {}, "log": OnceKnown()}))
        try:
            return {"OpaqueObject": vs.read_checkpoint(Path(folder) / "a.pkl")["log"]}
        except vs.BackendUnavailable:
            return {}


def things(clip_model):
    random = np.random.default_rng(3)
    points = random.random((60, 4), np.float32)
    coords, feats = random_cloud(random, 80, 3, 9)
    turned = random.permutation(len(coords))
    repeated = np.concatenate([coords, coords[:7]])
    x = vs.SparseTensor(coords, feats, stride=2, shape=(9, 10, 11))
    matrix = vs.ConfusionMatrix(3)
    matrix.add(np.array([0, 1, 255, 2], np.uint8), np.array([0, 2, 1, 2], np.uint8))
    frame = np.zeros((128, 128, 3), np.uint8)
    result = vs.Recognizer(clip_model).push(frame)
    return {
        "Coordinates": vs.Coordinates(repeated[::-1], stride=(1, 2, 3), shape=9),
        "Coordinates of an op": vs.max_pool(x, 2, stride=2).coordinates,
        "Coordinates without rows": vs.Coordinates(coords[:0]),
        "SparseTensor": vs.SparseTensor(coords[turned], feats[turned]),
        "SparseTensor with repeats": vs.SparseTensor(repeated, np.concatenate([feats, feats[:7]]), reduce="sum"),
        "SparseTensor of an op": vs.max_pool(x, 2, stride=2),
        "SparseTensor without rows": vs.SparseTensor(coords[:0], feats[:0]),
        "Detections": vs.Detector(vs.Model.new("pointpillars", width=0.0625, threads=1)).detect(points * np.float32([20, 8, -2, 1])),
        "PointCloud": cloud_of_a_file(points),
        "Voxels": vs.voxelize(points, 0.2, range=((0, 0, 0), (0.9, 0.9, 0.9)), reduce="mean"),
        "NearestNeighbors": vs.knn_search(points, points[:9], 4),
        "RaggedNeighbors": vs.fixed_radius_search(points, points[:9], 0.3),
        "Interpolation": vs.three_nearest(points, points[:9]),
        "ClassInfo": clip_model.classes[0],
        "ConfusionMatrix": matrix,
        "FrameCost": result.cost,
        "FrameResult": result,
        **object_of_a_checkpoint(),
    }


DATA = {"SparseTensor", "Voxels", "NearestNeighbors", "RaggedNeighbors", "Interpolation", "ClassInfo", "ConfusionMatrix"}
DATA |= {"Coordinates", "Detections", "FrameCost", "FrameResult", "Model", "DeviceArray", "PointCloud", "OpaqueObject"}
REFUSED = {"Detector", "ThreadPool", "Recognizer", "LabelSmoother", "StreamingShift", "MaskedLayer", "Page"}


def test_every_class_is_data_or_refused():
    classes = {name for name in vs.__all__ if isinstance(getattr(vs, name), type)}
    assert classes == DATA | REFUSED | {name for name in classes if issubclass(getattr(vs, name), BaseException)}


@WAYS
def test_data(clip_model, again):
    for what, thing in things(clip_model).items():
        assert_same(thing, again(thing)), what


@WAYS
def test_a_tensor_that_came_back_runs(random, again):
    coords, feats = random_cloud(random, 200, 3, 9, channels=4)
    x = vs.SparseTensor(coords, feats)
    weight = random.standard_normal((27, 4, 3)).astype(np.float32)
    y = again(x)
    np.testing.assert_array_equal(vs.conv(y, weight).feats, vs.conv(x, weight).feats)
    np.testing.assert_array_equal(vs.add(x, y).feats, x.feats + y.feats)


def test_deep_copies_do_not_share_memory(random):
    x = vs.SparseTensor(*random_cloud(random, 50, 3, 9))
    assert np.shares_memory(copy.copy(x).feats, x.feats)
    assert not np.shares_memory(copy.deepcopy(x).feats, x.feats)


@WAYS
def test_models(small_model, clip_model, again):
    for model in (small_model, clip_model, vs.Model.new("pvcnn", width=0.125, threads=1)):
        other = again(model)
        assert (other.arch, other.graph, other.profile) == (model.arch, model.graph, model.profile)
        assert (other.threads, other.device, other.dtype) == (model.threads, model.device, model.dtype)
        assert_same(other.classes, model.classes)
        assert_same(other.parameters(), model.parameters())
    points = (np.random.default_rng(1).random((400, 4)) * [4, 4, 4, 1]).astype(np.float32)
    np.testing.assert_array_equal(again(small_model).segment(points), small_model.segment(points))
    frames = np.zeros((2, 128, 128, 3), np.uint8)
    np.testing.assert_array_equal(again(clip_model).recognize(frames), clip_model.recognize(frames))
    assert again(clip_model).skip_thresholds == clip_model.skip_thresholds is not None


@WAYS
def test_what_cannot_be_pickled_says_why(clip_model, again):
    weight = np.zeros((1, 1, 1, 1), np.float32)
    refused = [
        vs.Detector(vs.Model.new("pointpillars", width=0.0625, threads=1)),
        vs.ThreadPool(1),
        vs.Recognizer(clip_model),
        vs.LabelSmoother(),
        vs.StreamingShift(),
        vs.MaskedLayer.conv2d(4, 4, weight),
        vs.Page(np.zeros((2, 3), np.float32)),
    ]
    assert {type(thing).__name__ for thing in refused} == REFUSED
    for thing in refused:
        with pytest.raises(TypeError, match=f"a {type(thing).__name__} cannot be pickled or copied: .*make a new one"):
            again(thing)


@pytest.mark.parametrize("name", [name for name in vs.__all__ if name.endswith(("Error", "Argument", "Memory"))])
def test_exceptions(name):
    error = pickled(getattr(vs, name)("what was expected, what was found"))
    assert type(error) is getattr(vs, name) and str(error) == "what was expected, what was found"


def test_torch(random):
    torch = pytest.importorskip("torch", reason="voxshift.torch needs PyTorch")
    import voxshift.torch as vst

    coords, feats = random_cloud(random, 90, 3, 5, channels=4)
    x = vst.SparseTensor(torch.from_numpy(feats[::-1].copy()), coords[::-1].copy(), stride=2)
    for y in (pickled(x), copy.deepcopy(x)):
        assert torch.equal(y.feats, x.feats) and torch.equal(y.inverse, x.inverse)
        assert torch.equal(y.coords, x.coords) and y.stride == x.stride
        assert torch.equal((x + y).feats, 2 * x.feats)

    def stored(thing):
        file = io.BytesIO()
        torch.save(thing, file)
        file.seek(0)
        return torch.load(file, weights_only=False)

    network = vst.MinkUNet(width=1 / 32, seed=1)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.01)
    layers = torch.nn.Sequential(vst.Conv3d(4, 8, 3), vst.BatchNorm(8, activation="relu"), vst.MaxPool3d(), vst.Linear(8, 3))
    x = vst.SparseTensor(torch.from_numpy(feats), coords)
    for module in (network.eval(), layers.eval()):
        expected = module(x)
        for other in (stored(module), copy.deepcopy(module)):
            found = other(x)
            assert torch.equal(getattr(found, "feats", found), getattr(expected, "feats", expected))
            assert not any(p is q for p, q in zip(other.parameters(), module.parameters()))
    assert_same(stored(network).to_model().parameters(), network.to_model().parameters())
