"""Clouds of Open3D, there and back."""

import builtins

import numpy as np
import pytest
import voxshift as vs

o3d = pytest.importorskip("open3d", reason="needs Open3D (Debian: python3-open3d)")

FIELDS = ("points", "rgb", "label", "ring", "time")


def assert_same(found, expected):
    assert (found.origin, found.has_remission, len(found)) == (expected.origin, expected.has_remission, len(expected))
    for name in FIELDS:
        a, b = getattr(found, name), getattr(expected, name)
        assert (a is None) == (b is None), name
        if b is not None:
            assert a.dtype == b.dtype, name
            np.testing.assert_array_equal(a, b, err_msg=name)


@pytest.fixture(params=[0.25, 500000.25], ids=["near", "utm"])
def whole(request, tmp_path):
    """A cloud with every field."""
    path = tmp_path / "a.ply"
    path.write_text(
        "ply\nformat ascii 1.0\nelement vertex 2\nproperty double x\nproperty double y\nproperty float z\n"
        "property ushort intensity\nproperty uchar red\nproperty uchar green\nproperty uchar blue\nproperty uint label\n"
        "property uchar ring\nproperty double time\nend_header\n"
        f"{request.param} 2 3 40 1 2 255 252 63 0.1\n{request.param + 1.5} 5 6 65535 0 5 6 4294967295 0 1.5\n"
    )
    return vs.read_points(path)


def values(cloud):
    return {name: tensor.numpy() for name, tensor in cloud.point.items()}


def test_every_field_there_and_back(whole):
    cloud = vs.to_open3d(whole)
    assert isinstance(cloud, o3d.t.geometry.PointCloud)
    found = values(cloud)
    far = whole.origin[0] != 0
    assert {name: (a.dtype, a.shape) for name, a in found.items()} == {
        "positions": (np.float64 if far else np.float32, (2, 3)), "colors": (np.uint8, (2, 3)),
        "intensity": (np.float32, (2, 1)), "label": (np.uint32, (2, 1)), "ring": (np.int32, (2, 1)),
        "time": (np.float64, (2, 1))}
    x = 500000.25 if far else 0.25
    assert found["positions"].tolist() == [[x, 2, 3], [x + 1.5, 5, 6]]
    assert found["intensity"].tolist() == [[40], [65535]]
    assert_same(vs.from_open3d(cloud), whole)


def test_arrays(synthetic_points, tmp_path):
    five = np.column_stack([synthetic_points, np.arange(len(synthetic_points)) % 32]).astype(np.float32)
    np.save(tmp_path / "five.npy", five)
    expected = vs.read_points(tmp_path / "five.npy")
    for given in (five, expected, np.asfortranarray(five)):
        cloud = vs.to_open3d(given)
        assert set(values(cloud)) == {"positions", "intensity", "columns"}
        assert_same(vs.from_open3d(cloud), expected)
    bare = vs.to_open3d(five[:, :3])
    assert set(values(bare)) == {"positions"}
    again = vs.from_open3d(bare)
    assert not again.has_remission
    np.testing.assert_array_equal(again.points, np.column_stack([five[:, :3], np.zeros(len(five), np.float32)]))
    np.testing.assert_array_equal(values(vs.to_open3d(np.float64([[500000.01, 1, 2]])))["positions"], [[500000.01, 1, 2]])


def test_nothing_in_it():
    assert len(vs.from_open3d(vs.to_open3d(np.empty((0, 4), np.float32)))) == 0
    assert len(vs.from_open3d(o3d.t.geometry.PointCloud())) == 0
    assert len(vs.from_open3d(o3d.geometry.PointCloud())) == 0


def test_colours_of_classes(whole, small_model):
    classes = small_model.classes
    cloud = vs.to_open3d(whole, labels=np.array([8, 255], np.uint8), classes=classes)
    assert values(cloud)["colors"].tolist() == [[255, 0, 255], [128, 128, 128]]  # road, none
    assert values(cloud)["train_id"].tolist() == [[8], [255]]
    assert values(cloud)["label"].tolist() == [[252], [4294967295]]
    np.testing.assert_array_equal(np.asarray(cloud.to_legacy().colors) * 255, values(cloud)["colors"])
    assert values(vs.to_open3d(whole, [-1, 264], classes))["train_id"].tolist() == [[255], [255]]  # 264 is no 8
    for labels, given in [([1, 2, 3], classes), ([0.5, 1], classes), ([[1, 2]], classes), ([1, 2], None)]:
        with pytest.raises(ValueError, match=r"^\[to_open3d\] .*labels"):
            vs.to_open3d(whole, labels, given)


def test_clouds_that_others_made():
    legacy = o3d.geometry.PointCloud(o3d.utility.Vector3dVector([[1, 2, 3], [500000.25, 5, 6], [500001.5, 5, 6]]))
    legacy.colors = o3d.utility.Vector3dVector([[0, 0.2, 1], [0, 0, 0], [1, 1, 1]])
    cloud = vs.from_open3d(legacy)
    assert (cloud.origin[0], cloud.has_remission, cloud.label) == (500000, False, None)
    assert cloud.points[1].tolist() == [0.25, 5, 6, 0]
    assert cloud.rgb.tolist() == [[0, 51, 255], [0, 0, 0], [255, 255, 255]]
    tensor = o3d.t.geometry.PointCloud.from_legacy(legacy)  # float32
    assert vs.from_open3d(tensor).rgb.tolist() == cloud.rgb.tolist()


@pytest.mark.parametrize("name", ["remission", "intensity", "Reflectivity", "reflectance", "scalar_Intensity", "amplitude"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.float32, np.float64])
def test_remission_by_its_usual_names(name, dtype):
    cloud = o3d.t.geometry.PointCloud(o3d.core.Tensor(np.float32([[1, 2, 3], [4, 5, 6]])))
    cloud.point[name] = o3d.core.Tensor(np.array([[7], [200]], dtype))
    cloud.point["normals"] = o3d.core.Tensor(np.float32([[1, 0, 0], [0, 1, 0]]))  # nothing that voxshift has
    cloud.point["Classification"] = o3d.core.Tensor(np.array([[2], [5]], np.uint8))
    found = vs.from_open3d(cloud)
    assert found.has_remission and found.points.tolist() == [[1, 2, 3, 7], [4, 5, 6, 200]]
    assert found.label.tolist() == [2, 5] and found.rgb is None


def test_what_is_no_cloud(monkeypatch):
    for given in (np.zeros((3, 2), np.float32), np.zeros(4, np.float32), np.zeros((3, 4), int)):
        with pytest.raises(ValueError, match=r"^\[to_open3d\] expected floats \[N, C >= 3\], found"):
            vs.to_open3d(given)
    for given in (np.zeros((3, 4), np.float32), None, o3d.geometry.TriangleMesh()):
        with pytest.raises(TypeError, match=r"^\[from_open3d\] expected a PointCloud of Open3D's, found "):
            vs.from_open3d(given)


def test_without_open3d(monkeypatch):
    original = builtins.__import__

    def refuse(name, *rest, **named):
        if name.split(".")[0] == "open3d":
            raise ImportError(name)
        return original(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match="to_open3d needs Open3D: pip install open3d"):
        vs.to_open3d(np.zeros((1, 3), np.float32))
