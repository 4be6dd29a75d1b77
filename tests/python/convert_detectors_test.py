"""Detectors of mmdetection3d and OpenPCDet from their checkpoints: maps as the libraries make them, on axes z, y, x."""


import numpy as np
import pytest
import voxshift as vs
from detectors_test import points_of, profile_file, settings_of
from library_detectors import Detector, torch

BOTH = ("mmdet3d", "openpcdet")
CASES = [  # arch, style, classes, columns, on pillars, layout of the kernels, max_points, further settings
    ("second", "mmdet3d", 3, 4, False, "spconv1", 5, {}),
    ("second", "openpcdet", 3, 4, False, "spconv2.2", 5, {}),
    ("second", "openpcdet", 1, 4, False, "spconv2.0", 5, {}),
    ("second", "mmdet3d", 3, 5, False, "spconv2.2", 5, {"pts": "pts_"}),
    ("second", "openpcdet", 3, 5, False, "spconv2.2", 5, {}),
    ("pointpillars", "mmdet3d", 3, 4, True, None, 2, {}),
    ("pointpillars", "openpcdet", 3, 4, True, None, 2, {}),
    ("pointpillars", "mmdet3d", 3, 5, True, None, 3, {"pts": "pts_", "reader": "vfe_layers", "first_stride": 1}),
    ("pointpillars", "openpcdet", 3, 5, True, None, 3, {"layers": 2, "first_stride": 1}),
    ("pointpillars", "mmdet3d", 10, 5, True, None, 3, {"reader": "vfe_layers", "layers": 2}),
    ("centerpoint", "mmdet3d", 10, 5, False, "spconv2.2", 5, {}),
    ("centerpoint", "openpcdet", 10, 5, False, "spconv1", 5, {}),
    ("centerpoint", "openpcdet", 3, 5, False, "spconv2.2", 5, {"groups": (2, 1)}),
    ("centerpoint", "mmdet3d", 10, 5, True, None, 4, {}),
    ("centerpoint", "openpcdet", 10, 5, True, None, 0, {"layers": 2}),
    ("centerpoint", "openpcdet", 3, 5, True, None, 3, {"layers": 2}),
]


def checkpoint_of(net, style, path, **more):
    """What the library saves."""
    if style == "openpcdet":
        torch.save({"epoch": 80, "model_state": net.state_dict(), "version": "pcdet+0.6.0+0000000"}, path)
    else:
        torch.save({"meta": {"epoch": 80, **more}, "state_dict": net.state_dict(), "message_hub": {}}, path)
    return path


def expect_maps(model, net, points):
    settings = settings_of(model)
    expected = net.maps(points, settings)
    found = model.run(points_of(points, settings))
    assert set(found) == set(expected)
    for name, (maps, _) in found.items():
        wanted = expected[name].permute(0, 3, 2, 1).numpy()
        assert wanted.std((0, 1, 2)).min() > 1e-3, name  # not the same everywhere
        assert np.abs(np.asarray(maps) - wanted).max() < 1e-4 * np.abs(wanted).max(), name


@pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(map(str, c[:6])) + ("-" + "-".join(c[7]) if c[7] else ""))
def test_maps_are_those_of_the_library(case, tmp_path, synthetic_points):
    arch, style, classes, columns, pillars, layout, max_points, more = case
    net = Detector(arch, style, classes, columns, pillars, layout or "spconv2.2", seed=4, **more)
    points = np.c_[synthetic_points, np.float32(0.05) * (np.arange(len(synthetic_points), dtype=np.float32) % 10)][:, :columns]
    points = np.ascontiguousarray(points)
    path = checkpoint_of(net, style, tmp_path / "net.pth")
    notes = []
    model = vs.convert(path, profile=profile_file(tmp_path, pillars, columns, max_points, 400), notes=notes)
    assert model.arch == arch and len(model.classes) == classes
    assert any(f"recognised {arch} of {style}" in line for line in notes)
    if layout is not None:
        assert any(f"kernels as {layout}" in line for line in notes)
    expect_maps(model, net, points)
    boxes = vs.Detector(model).detect(points).boxes
    assert boxes.shape[1] == (9 if classes == 10 else 7)


CONFIG = """point_cloud_range = [0, -40, -3, 70.4, 40, 1]
model = dict(
    type='VoxelNet',
    data_preprocessor=dict(
        type='Det3DDataPreprocessor', voxel=True,
        voxel_layer=dict(
            max_num_points=4,
            max_voxels=(16000, 300),
            point_cloud_range=[2, -6.4, -3, 14.8, 6.4,
                               1],
            voxel_size=[0.2, 0.2, 0.1])),
    bbox_head=dict(anchor_generator=dict(ranges=[[0, -40.0, -0.6, 70.4, 40.0, -0.6]], rotations=[0, 1.57])))
"""


@pytest.mark.parametrize("meta", [
    {"cfg": CONFIG, "dataset_meta": {"classes": ("Pedestrian", "Cyclist", "Car")}}, {"config": CONFIG, "CLASSES": ["Pedestrian", "Cyclist", "Car"]},
])  # fmt: skip
def test_the_checkpoint_says_its_settings(meta, tmp_path, synthetic_points):
    net = Detector("second", "mmdet3d", 3, 4)
    notes = []
    model = vs.convert(checkpoint_of(net, "mmdet3d", tmp_path / "net.pth", **meta), notes=notes)
    profile = model.profile
    assert profile["voxel_size"] == pytest.approx([0.2, 0.2, 0.1]) and profile["cloud"]["max_points"] == 4
    assert profile["range"] == {"lowest": pytest.approx([2, -6.4, -3]), "highest": pytest.approx([14.8, 6.4, 1])} or (
        np.allclose(profile["range"], [[2, -6.4, -3], [14.8, 6.4, 1]])
    )
    assert profile["cloud"]["max_voxels"] == 300 and not any("guess" in line for line in notes)
    assert [c.name for c in model.classes] == ["pedestrian", "cyclist", "car"]
    expect_maps(model, net, synthetic_points)


@pytest.mark.parametrize("arch, style, classes, columns, pillars, more, name, size", [
    ("second", "mmdet3d", 3, 4, False, {}, "kitti-voxels", [0.05, 0.05, 0.1]),
    ("pointpillars", "openpcdet", 3, 4, True, {}, "kitti-pillars", [0.16, 0.16, 4]),
    ("centerpoint", "mmdet3d", 10, 5, False, {}, "nuscenes-voxels", [0.1, 0.1, 0.2]),
    ("centerpoint", "openpcdet", 10, 5, True, {"layers": 2}, "nuscenes-pillars", [0.2, 0.2, 8]),
    ("second", "openpcdet", 3, 5, False, {}, "waymo-voxels", [0.1, 0.1, 0.15]),
    ("pointpillars", "mmdet3d", 3, 5, True, {"pts": "pts_", "reader": "vfe_layers", "first_stride": 1}, "waymo-pillars", [0.32, 0.32, 6]),
])  # fmt: skip
def test_settings_of_the_data_set_where_it_says_none(arch, style, classes, columns, pillars, more, name, size, tmp_path):
    net = Detector(arch, style, classes, columns, pillars, **more)
    notes = []
    model = vs.convert(checkpoint_of(net, style, tmp_path / "net.pth"), notes=notes)
    assert model.profile["name"] == name and model.profile["voxel_size"] == pytest.approx(size)
    assert any(line.startswith("guess:") and name in line for line in notes)
    if name.startswith("waymo") and arch != "centerpoint":
        head = model.detection["heads"][0]
        vehicle = {"openpcdet": ([4.7, 2.1, 1.7], 0.85), "mmdet3d": ([4.73, 2.08, 1.77], 0.8505)}[style]  # z: bottom + half
        assert head["anchors"][1] == {"size": pytest.approx(vehicle[0]), "z": pytest.approx(vehicle[1]), "yaw": pytest.approx(1.57)}
        assert head["anchors_at"] == ("edges" if style == "openpcdet" else "centers")


@pytest.mark.parametrize("change, says", [
    (lambda s: s.pop("backbone_2d.blocks.1.4.weight"), ["backbone_2d.blocks.1.4.weight", "missing", "[32, 32, 3, 3]"]),
    (lambda s: s.update({"backbone_3d.conv2.1.0.weight": torch.zeros(4, 3, 3, 3, 5)}), ["backbone_3d.conv2.1.0.weight", "[4, 3, 3, 3, 4]"]),
    (lambda s: s.update({"roi_head.fc.weight": torch.zeros(2, 2)}), ["roi_head.fc.weight", "no place"]),
    (lambda s: s.update({"dense_head.conv_cls.bias": torch.zeros(17)}), ["dense_head.conv_cls.bias", "17"]),
    (lambda s: s.pop("dense_head.conv_dir_cls.bias"), ["dense_head.conv_dir_cls.bias"]),
])  # fmt: skip
def test_what_does_not_fit(change, says, tmp_path):
    state = dict(Detector("second", "openpcdet", 3, 4).state_dict())
    change(state)
    torch.save({"model_state": state}, tmp_path / "net.pth")
    with pytest.raises(ValueError) as error:
        vs.convert(tmp_path / "net.pth")
    assert all(part in str(error.value) for part in says) and "\n" not in str(error.value), error.value


def test_profiles_that_do_not_fit(tmp_path):
    path = checkpoint_of(Detector("second", "mmdet3d", 3, 4), "mmdet3d", tmp_path / "net.pth")
    for profile, says in (("nuscenes-voxels", "4 columns"), ("spvnas", "whole scans"), ("nothing", "JSON file")):
        with pytest.raises(ValueError, match=says):
            vs.convert(path, profile=profile)
