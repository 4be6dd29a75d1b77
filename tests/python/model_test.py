"""Model: files, parameters, forward and segment, report, errors."""

import os
import warnings

import numpy as np
import pytest
import voxshift as vs


@pytest.fixture(scope="session")
def saved(small_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    small_model.save(path)
    return path


def small_cloud(random, rows=500):
    return (random.random((rows, 4)) * [4, 4, 4, 1]).astype(np.float32)


def test_new_model(small_model):
    assert (small_model.arch, small_model.device, small_model.threads) == ("minkunet", "cpu", 2)
    assert [c.name for c in small_model.classes][:2] == ["car", "bicycle"]
    assert (small_model.classes[18].raw_id, small_model.classes[0].rgb) == (81, (100, 150, 245))
    profile = small_model.profile
    assert (profile["name"], profile["rounding"], profile["reduce"], profile["origin"], profile["range"]) == (
        "spvnas",
        "half_even",
        "first",
        "lowest",
        None,
    )
    assert profile["voxel_size"] == pytest.approx(0.05)
    assert profile["scale"] == [1, 1, 1, 1]


def test_published_parameter_counts():
    # SemanticKITTI's MinkUNet of spvnas: 5.435 M at width 0.5, 8.771 M at 0.64, with 19 classes.
    for width, millions in [(0.5, 5.435), (0.64, 8.771)]:
        assert vs.Model.new(width=width).parameter_count / 1e6 == pytest.approx(millions, abs=5e-4)


def test_parameters_are_views(small_model):
    parameters = small_model.parameters()
    kernel = parameters["stem.0.kernel"]
    assert kernel.shape == (27, 4, 4) and kernel.dtype == np.float32
    assert np.shares_memory(kernel, small_model.parameters()["stem.0.kernel"])
    with pytest.raises(ValueError, match="read-only"):
        kernel[0] = 0
    trained = sum(p.size for name, p in parameters.items() if ".running_" not in name)
    assert trained == small_model.parameter_count


def test_seed_decides_the_weights():
    kernels = [vs.Model.new(width=0.0625, seed=seed).parameters()["stem.3.kernel"] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])


def test_saved_and_loaded_is_the_same(small_model, saved, random):
    loaded = vs.Model.load(saved, threads=1)
    assert loaded.threads == 1
    assert (loaded.arch, loaded.profile) == (small_model.arch, small_model.profile)
    for name, value in small_model.parameters().items():
        np.testing.assert_array_equal(loaded.parameters()[name], value)
    points = small_cloud(random)
    np.testing.assert_array_equal(loaded.segment(points), small_model.segment(points))
    assert vs.Model.load(str(saved)).classes[3].name == "truck"


def test_segment_is_forward_on_voxels(small_model, synthetic_points):
    points = synthetic_points.copy()
    points[5], points[-1, 2] = np.nan, np.inf
    labels, scores = small_model.segment(points, scores=True)
    voxels = vs.voxelize(points, origin="lowest")
    logits = small_model.forward(voxels.tensor)
    assert labels.dtype == np.uint8 and labels.shape == (len(points),)
    kept = voxels.inverse >= 0
    assert np.flatnonzero(~kept).tolist() == [5, len(points) - 1]
    np.testing.assert_array_equal(labels[kept], np.argmax(logits, axis=1)[voxels.inverse[kept]])
    assert len(np.unique(labels)) > 2
    assert labels[5] == labels[-1] == 255
    e = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    softmax = e / e.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scores[kept], softmax[voxels.inverse[kept]], rtol=1e-5, atol=1e-7)
    assert not scores[~kept].any()
    np.testing.assert_array_equal(small_model.segment(points), labels)


def test_report(small_model, synthetic_points):
    points = synthetic_points.copy()
    points[:3] = np.nan
    small_model.segment(points)
    report = small_model.report
    assert (report["points"], report["dropped"]) == (len(points), 3)
    assert report["voxels"] == len(vs.voxelize(points).tensor)
    assert set(report["seconds"]) == {"voxelize", "maps", "network"}
    layer = report["layers"][0]
    assert (layer["name"], layer["kind"], layer["in_channels"], layer["out_channels"]) == ("stem.0", "conv 3x3x3", 4, 4)
    assert layer["pairs"] == len(vs.kernel_map(vs.voxelize(points, origin="lowest").tensor))
    assert report["macs"] == sum(layer["macs"] for layer in report["layers"])


def test_degenerate_scans(small_model):
    assert small_model.segment(np.zeros((0, 4), np.float32)).shape == (0,)
    assert small_model.segment(np.full((3, 4), np.nan, np.float32)).tolist() == [255] * 3
    labels = small_model.segment(np.ones((50, 4), np.float32))
    assert len(set(labels.tolist())) == 1 and labels[0] < 19


def test_profile_by_name_and_file(saved, tmp_path):
    pointcept = vs.Model.load(saved, profile="pointcept")
    assert (pointcept.profile["rounding"], pointcept.profile["range"][1]) == ("floor", pytest.approx([35.2, 35.2, 2]))
    labels = pointcept.segment(np.array([[0, 0, 0, 0.5], [50, 0, 0, 0]], np.float32))
    assert labels[0] < 19 and labels[1] == 255
    with pytest.raises(ValueError, match="spvnas, pointcept"):
        vs.Model.load(saved, profile="unheard-of")
    (tmp_path / "profile.json").write_text("{")
    with pytest.raises(OSError, match="is not JSON"):
        vs.Model.load(saved, profile=str(tmp_path / "profile.json"))


def test_other_class_counts(random):
    model = vs.Model.new(width=0.0625, classes=3)
    assert len(model.classes) == 3
    assert model.segment(small_cloud(random)).max() < 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arch": "resnet"}, "unknown architecture"),
        ({"width": 0}, "width expects"),
        ({"classes": 256}, "classes expects 1 to 255, found 256"),
        ({"classes": 0}, "classes expects 1 to 255, on video 1 to 8192, found 0"),
        ({"arch": "tsm-resnet50", "classes": 8193}, "classes expects 1 to 8192, found 8193"),
        ({"threads": 0}, "threads expects 1 to 1024, found 0"),
        ({"threads": -1}, "threads expects 1 to 1024, found -1"),
        ({"device": "tpu"}, "expected cpu, cuda or cuda:N"),
    ],
)
def test_bad_options_are_value_errors(options, message):
    with pytest.raises(ValueError, match=message):
        vs.Model.new(**{"width": 0.03125, **options})


def test_device_that_the_build_has_not():
    if vs.build_info()["cuda"]:
        pytest.skip("this build has CUDA")
    with pytest.raises(vs.BackendUnavailable, match=r"no CUDA (backend|device)") as caught:
        vs.Model.new(width=0.03125, device="cuda")
    assert isinstance(caught.value, RuntimeError)


def test_wrong_input_is_a_value_error(small_model, random):
    with pytest.raises(ValueError, match="with C >= 3"):
        small_model.segment(np.zeros((5, 2), np.float32))
    with pytest.raises(ValueError, match=r"found float64 \[5, 4\]; .*\.astype\(numpy\.float32\)"):
        small_model.segment(np.zeros((5, 4)))
    with pytest.raises(ValueError, match="takes 4 channels on 3 axes"):
        small_model.forward(vs.SparseTensor(np.zeros((1, 4), np.int32), np.zeros((1, 2), np.float32)))
    with pytest.raises(ValueError, match="2\\^30 cells"):
        small_model.segment(np.array([[3e9, 3e9, 3e9, 0.5]], np.float32))
    assert len(small_model.segment(small_cloud(random))) == 500  # still works


def test_points_without_remission_have_0_and_a_warning(small_model, random):
    points = small_cloud(random)
    points[:, 3] = 0
    with pytest.warns(UserWarning, match="remission is 0 everywhere"):
        expected = small_model.segment(points, scores=True)
    with pytest.warns(UserWarning, match="remission is 0 everywhere") as said:
        found = small_model.segment(points[:, :3], scores=True)
    assert len(said) == 1 and said[0].filename == __file__
    for a, b in zip(found, expected):
        np.testing.assert_array_equal(a, b)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        for _ in range(3):
            small_model.segment(points[:, :3])
    assert len(said) == 1  # once per place, as Python does


def test_float16_points_are_widened(small_model, random):
    narrow = small_cloud(random).astype(np.float16)
    np.testing.assert_array_equal(small_model.segment(narrow), small_model.segment(narrow.astype(np.float32)))


@pytest.mark.parametrize("rows", [3, 4])
def test_a_column_per_point_is_refused(small_model, rows):
    for points in (9, 500):
        with pytest.raises(ValueError, match=rf"found \[{rows}, {points}\], .* transpose it, for instance with points.T"):
            small_model.segment(np.ones((rows, points), np.float32))
    assert len(small_model.segment(np.ones((rows, 8), np.float32))) == rows  # points with columns that are not read
    scenes = vs.Model.new("pvcnn", width=0.125, threads=1)
    with pytest.raises(ValueError, match="transpose it"):
        scenes.segment(np.ones((6, 500), np.float32))
    with pytest.raises(ValueError, match="with C >= 6"):
        scenes.segment(np.ones((500, 3), np.float32))


def test_bad_files_are_os_errors(saved, tmp_path):
    content = saved.read_bytes()
    bad = tmp_path / "bad.safetensors"
    for change in (b"", content[:5], content[:100], content[:-1], b"\xff" * 8 + content[8:]):
        bad.write_bytes(change)
        with pytest.raises(OSError, match="bad.safetensors: ") as caught:
            vs.Model.load(bad)
        assert isinstance(caught.value, vs.IoError)
    with pytest.raises(OSError, match="missing.safetensors: "):
        vs.Model.load(tmp_path / "missing.safetensors")


def test_failed_save_leaves_nothing(small_model, tmp_path):
    with pytest.raises(OSError, match="model.safetensors: "):
        small_model.save(tmp_path / "absent" / "model.safetensors")
    assert os.listdir(tmp_path) == []


def test_bits_do_not_depend_on_threads_or_runs(saved, synthetic_points):
    x = vs.voxelize(synthetic_points, origin="lowest").tensor
    expected = vs.Model.load(saved, threads=1).forward(x)
    for threads in (2, 3):
        np.testing.assert_array_equal(vs.Model.load(saved, threads=threads).forward(x), expected)
    model = vs.Model.load(saved, threads=2)
    for _ in range(10):
        np.testing.assert_array_equal(model.forward(x), expected)


def test_batches_do_not_meet(small_model, random):
    clouds = [vs.voxelize(small_cloud(random), origin="lowest").tensor for _ in range(2)]
    coords = [c.coords.copy() for c in clouds]
    coords[1][:, 0] = 1
    both = vs.SparseTensor(np.vstack(coords), np.vstack([c.feats for c in clouds]))
    alone = np.vstack([small_model.forward(c) for c in clouds])
    np.testing.assert_allclose(small_model.forward(both), alone, rtol=1e-5, atol=1e-5)
