"""Detectors of mmdetection3d and OpenPCDet from their checkpoints: maps as the libraries make them, on axes z, y, x."""

import json

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
