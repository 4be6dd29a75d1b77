"""Targets and losses of detectors: small cases by hand, and the boxes that the library decodes from the maps of targets."""

import math

import numpy as np
import pytest
import voxshift as vs
import voxshift.torch as vst
from sparse_torch import torch
from voxshift.torch import detection as d

CENTER = {
    "range": {"lowest": [0.0, -4.0], "highest": [8.0, 4.0]},
    "classes": [2, 0],
    "heatmap": "heat",
    "offset": "offset",
    "height": "height",
    "size": "size",
    "rotation": "rotation",
    "rotation_is": "sin_cos",
}


def anchors(at="centers", bins=2):
    kinds = [(0.8, 0.6, 1.7, -0.6), (3.9, 1.6, 1.5, -1.0)]
    return {
        "range": {"lowest": [0.0, -4.0], "highest": [8.0, 4.0]},
        "anchors": [{"size": list(k[:3]), "z": k[3], "yaw": yaw} for k in kinds for yaw in (0.0, 1.57)],
        "anchors_at": at,
        "scores": "scores",
        "boxes": "boxes",
        "directions": "directions",
        "direction_bins": bins,
        "direction_offset": 0.78539,
    }


SELECTION = {
    "score_threshold": 0.5,
    "candidates": 500,
    "most": 100,
    "per_class": False,
    "overlap": 0.1,
    "lowest": [-1e3] * 3,
    "highest": [1e3] * 3,
    "least_size": 0.0,
    "most_size": 1e3,
}


def found_in(maps, head, classes):
    """What Detector makes of maps float32 [W, H, C] by name: a network whose one pixel a transposed convolution spreads out."""
    lowest, highest = [-100.0] * 3, [100.0] * 3
    nodes = [
        {"name": "voxel", "op": "voxelize_points", "inputs": ["input"], "voxel_size": 200.0, "lowest": lowest, "highest": highest},
        {"name": "image", "op": "bird_eye_view", "inputs": ["voxel"], "shape": [1, 1, 1]},
        {"name": "one", "op": "columns", "inputs": ["image"], "first": 3, "count": 1},
    ]
    tensors = {}
    for name, values in maps.items():
        tensors[name + ".weight"] = np.ascontiguousarray(np.moveaxis(np.asarray(values), -1, 0)[None])
        nodes.append({"name": name, "op": "conv_transpose2d", "inputs": ["one"], "parameters": {"weight": name + ".weight"}})
    graph = {"input": "points", "dims": 3, "in_channels": 4, "nodes": nodes, "outputs": list(maps)}
    detection = {"heads": [head], "selection": SELECTION}
    model = vs.Model.from_graph(graph, tensors, "lidar", classes, detection=detection)
    result = vs.Detector(model).detect(np.array([[0, 0, 0, 1]], np.float32))
    order = np.lexsort((result.boxes[:, 1], result.boxes[:, 0]))
    return result.boxes[order, :7], result.classes[order]


BOXES = np.array(
    [
        [0.9, -2.3, -0.8, 0.9, 0.5, 1.75, -2.8],
        [2.6, 2.2, -1.1, 3.7, 1.7, 1.6, 0.3],
        [6.4, -1.1, -0.9, 4.2, 1.5, 1.4, 3.0],
        [6.9, 3.1, -0.7, 0.7, 0.6, 1.6, 1.5],
    ],
    np.float32,
)


def expect_boxes(found, expected):
    assert found.shape == expected.shape, found
    np.testing.assert_allclose(found[:, :6], expected[:, :6], atol=1e-4)
    np.testing.assert_allclose(np.exp(1j * found[:, 6]), np.exp(1j * expected[:, 6]), atol=1e-4)


@pytest.mark.parametrize("rotation", ["sin_cos", "cos_sin"])
def test_maps_of_center_targets_are_decoded_to_the_boxes(rotation):
    head, extent = {**CENTER, "rotation_is": rotation}, (32, 16)
    classes = np.array([2, 0, 0, 2])
    targets = vst.center_targets(head, extent, [BOXES], [classes])
    maps = {"heat": np.where(targets.heatmap[0] == 1, 4.0, -4.0).astype(np.float32)}
    _, i, j = targets.cells.T
    for key, values in targets.maps.items():
        maps[key] = np.zeros((*extent, values.shape[1]), np.float32)
        maps[key][i, j] = values
    boxes, found = found_in(maps, head, 3)
    expect_boxes(boxes, BOXES)
    assert found.tolist() == classes.tolist()


@pytest.mark.parametrize("at", ["centers", "edges"])
def test_maps_of_anchor_targets_are_decoded_to_the_boxes(at):
    head, extent = anchors(at), (16, 16)
    classes = np.array([0, 1, 1, 0])
    targets = vst.anchor_targets(head, extent, BOXES, classes, 2, positive=0.35, negative=0.3)
    labels = targets.labels.numpy()
    assert {0, 1} <= set(labels.ravel())
    maps = {
        "scores": np.where(labels[..., None] == np.arange(2), 4.0, -4.0).astype(np.float32).reshape(*extent, -1),
        "boxes": targets.boxes.numpy().reshape(*extent, -1),
        "directions": np.where(targets.directions.numpy()[..., None] == np.arange(2), 1, 0).astype(np.float32),
    }
    maps["directions"] = maps["directions"].reshape(*extent, -1)
    boxes, found = found_in(maps, head, 2)
    expect_boxes(boxes, BOXES)
    assert found.tolist() == classes.tolist()


def test_radius_of_a_square_by_hand():
    # 4 o r^2 - 2 o (l + w) r - (1 - o) l w = 0 has b = -4, c = -90: (b + sqrt(16 + 144)) / 2
    assert vst.detection.gaussian_radius(10, 10, 0.1) == pytest.approx((-4 + math.sqrt(160)) / 2)
    # at a large overlap the first case is the least
    total, area = 16.0, 60.0
    first = (total + math.sqrt(total**2 - 4 * area * 0.3 / 1.7)) / 2
    third = (-1.4 * total + math.sqrt((1.4 * total) ** 2 + 4 * 2.8 * area * 0.3)) / 2
    assert d.gaussian_radius(10, 6, 0.7) == pytest.approx(min(first, third))


def test_heat_of_two_boxes_by_hand():
    boxes = np.array([[3.5, 0.5, 1, 1, 1, 2, 0], [5.25, 0.5, 1, 1, 1, 2, math.pi / 2], [9, 0, 0, 1, 1, 1, 0]], np.float32)
    targets = vst.center_targets(CENTER, (8, 8), [boxes[:0], boxes], [np.zeros(0, int), np.array([0, 0, 0])])
    heat = targets.heatmap.numpy()
    assert heat.shape == (2, 8, 8, 2) and not heat[0].any() and not heat[1, ..., 0].any()
    sigma = 5 / 6  # of radius 2

    def bell(i, j):
        near = lambda c: math.exp(-((i - c) ** 2 + (j - 4) ** 2) / (2 * sigma**2)) if max(abs(i - c), abs(j - 4)) <= 2 else 0
        return max(near(3), near(5))

    np.testing.assert_allclose(heat[1, ..., 1], [[bell(i, j) for j in range(8)] for i in range(8)], rtol=1e-6)
    assert targets.cells.tolist() == [[1, 3, 4], [1, 5, 4]]
    np.testing.assert_allclose(targets.maps["offset"], [[0.5, 0.5], [0.25, 0.5]], atol=1e-6)
    np.testing.assert_allclose(targets.maps["size"], np.log([[1, 1, 2], [1, 1, 2]]), atol=1e-6)
    np.testing.assert_allclose(targets.maps["rotation"], [[0, 1], [1, 0]], atol=1e-6)


def test_boxes_of_other_heads_and_without_extent_are_no_targets():
    boxes = np.array([[3.5, 0.5, 1, 1, 1, 2, 0], [5.5, 0.5, 1, 0, 1, 2, 0]], np.float32)
    targets = vst.center_targets(CENTER, (8, 8), [boxes], [np.array([1, 0])])
    assert not targets.heatmap.any() and not len(targets.cells)


def test_cells_beside_a_centre_give_its_box():
    boxes = np.array([[0.5, 0.25, 1, 1, 1, 2, 0]], np.float32)
    targets = vst.center_targets(CENTER, (8, 8), [boxes], [np.array([0])], spread=1)
    assert targets.cells.tolist() == [[0, i, j] for i in (0, 1) for j in (3, 4, 5)]  # cell (0, 4), at the map's edge
    places = targets.maps["offset"] + targets.cells[:, 1:]
    np.testing.assert_allclose(places, np.broadcast_to([0.5, 4.25], (6, 2)), atol=1e-6)
    assert (targets.heatmap == 1).sum() == 1


def test_velocities_are_targets_where_the_head_has_them():
    boxes = np.array([[3.5, 0.5, 1, 1, 1, 2, 0, 7, -8]], np.float32)
    targets = vst.center_targets({**CENTER, "velocity": "v"}, (8, 8), [boxes], [np.array([0])])
    assert targets.maps["velocity"].tolist() == [[7, -8]]


def test_gaussian_focal_loss_by_hand():
    p, heat = [0.9, 0.2, 0.6], [1.0, 0.5, 0.0]
    logits = torch.tensor([math.log(v / (1 - v)) for v in p])
    expected = -(0.1**2 * math.log(0.9)) - 0.5**4 * 0.2**2 * math.log(0.8) - 0.6**2 * math.log(0.4)
    assert d.gaussian_focal_loss(logits, torch.tensor(heat)).item() == pytest.approx(expected, rel=1e-5)
    two = d.gaussian_focal_loss(torch.cat([logits, logits]), torch.tensor(heat * 2)).item()
    assert two == pytest.approx(expected, rel=1e-5)  # over the number of centres


def test_sigmoid_focal_loss_by_hand():
    logits = torch.tensor([math.log(0.9 / 0.1), math.log(0.2 / 0.8)])
    found = d.sigmoid_focal_loss(logits, torch.tensor([1.0, 0.0]))
    expected = [-0.25 * 0.1**2 * math.log(0.9), -0.75 * 0.2**2 * math.log(0.8)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_anchors_by_their_overlap():
    head = {**anchors(), "range": {"lowest": [0.0, 0.0], "highest": [8.0, 1.0]}}
    # cells at x 0.5 .. 7.5; the box of class 1 lies as the anchor at 3.5, one cell on 2.9 of 3.9 m are shared
    boxes = np.array([[3.5, 0.5, -0.9, 3.9, 1.6, 1.5, 0.1]], np.float32)
    targets = vst.anchor_targets(head, (8, 1), boxes, np.array([1]), 2, positive=0.6, negative=0.5)
    one_off = 2.9 / (2 * 3.9 - 2.9)
    assert 0.5 < one_off < 0.6
    labels = targets.labels[:, 0].numpy()
    assert labels[:, 2].tolist() == [-1, -1, -2, 1, -2, -1, -1, -1]
    assert (labels[:, [0, 1, 3]] == -1).all()
    np.testing.assert_allclose(targets.boxes[3, 0, 2], [0, 0, 0.1 / 1.5, 0, 0, 0, 0.1], atol=1e-6)
    # from 45 degrees on, 0.1 is the second half turn's
    assert targets.directions[3, 0, 2] == 1


def test_a_box_far_from_all_anchors_has_its_best_ones():
    head = anchors()
    boxes = np.array([[4.0, 0.25, -0.9, 1.0, 0.5, 1.5, 0]], np.float32)
    targets = vst.anchor_targets(head, (16, 16), boxes, np.array([1]), 2, positive=0.9, negative=0.8)
    assert (targets.labels == 1).any()
    nothing = vst.anchor_targets(head, (16, 16), np.zeros((0, 7), np.float32), np.zeros(0, int), 2)
    assert (nothing.labels == -1).all()


def test_anchor_loss_by_hand():
    head, extent = anchors(), (2, 1)
    labels = torch.tensor([[[0, -1, -2, 1]], [[-1, -1, -1, -1]]])
    boxes = torch.zeros(2, 1, 4, 7)
    targets = [d.AnchorTargets(labels, boxes, torch.zeros(2, 1, 4, dtype=torch.long))]
    maps = {
        "scores": torch.zeros(1, *extent, 8),
        "boxes": torch.zeros(1, *extent, 28),
        "directions": torch.zeros(1, *extent, 8),
    }
    maps["boxes"][0, 0, 0, 0] = 2.0  # of a box: x
    maps["boxes"][0, 0, 0, 3 * 7 + 6] = math.pi  # half a turn is no difference
    maps["boxes"][0, 0, 0, 7] = 50.0  # of an anchor that is none
    losses = d.anchor_loss(head, maps, targets)
    ones, zeros = 2 * 0.25, 12 * 0.75  # 7 anchors of 2 classes count
    assert losses["scores"].item() == pytest.approx((ones + zeros) * 0.25 * math.log(2) / 2, rel=1e-5)
    assert losses["boxes"].item() == pytest.approx(2 * (2 - 1 / 18) / 2, rel=1e-5)
    assert losses["directions"].item() == pytest.approx(0.2 * math.log(2), rel=1e-5)


def scan(seed):
    points, _, objects = vs.synth_lidar(seed, boxes=True)
    return points[::6].copy(), objects["boxes"]


@pytest.mark.parametrize("arch, profile", [("centerpoint", "lidar"), ("pointpillars", "kitti-pillars")])
def test_a_detector_learns(arch, profile):
    """All weights have a gradient, and steps along it make the loss smaller."""
    torch.manual_seed(0)
    model = vs.Model.new(arch, profile=profile, width=0.125, classes=3)
    network = vst.Network(model).reset_statistics()
    points, boxes = zip(*(scan(seed) for seed in (1, 2)))
    splits = np.cumsum([0, *map(len, points)])
    classes = [np.arange(len(b)) % 3 for b in boxes]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    values = []
    for _ in range(3):
        maps = network(torch.from_numpy(np.concatenate(points)), row_splits=splits)
        loss = sum(vst.detection_loss(model.detection, maps, boxes, classes).values())
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
        optimizer.step()
        values.append(loss.item())
    assert values[2] < values[1] < values[0], values


def test_an_axis_has_two_headings():
    box = np.array([[3.5, 0.5, 1, 1, 1, 2, 0]], np.float32)
    maps = {name: torch.zeros(1, 8, 8, n) for name, n in (("heat", 2), ("offset", 2), ("height", 1), ("size", 3))}
    for cosine, of_rotation, of_axis in ((1, 0.1, 0.1), (-1, 2.1, 0.1), (0, 1.1, 1.1)):
        maps["rotation"] = torch.tensor([0.1, cosine]).expand(1, 8, 8, 2)
        losses = vst.detection_loss({"heads": [CENTER]}, maps, [box], [np.array([0])], {"rotation": 1.0, "axis": 3.0})
        assert losses["rotation"].item() == pytest.approx(of_rotation, rel=1e-5)
        assert losses["axis"].item() == pytest.approx(3 * of_axis, rel=1e-5)
    assert "axis" not in vst.detection_loss({"heads": [CENTER]}, maps, [box], [np.array([0])])


def test_another_number_of_scans_is_an_error():
    maps = {"heat": torch.zeros(2, 8, 8, 2)}
    with pytest.raises(ValueError, match="boxes and classes of 2 scans, found 1 and 1"):
        vst.detection_loss({"heads": [CENTER]}, maps, [np.zeros((0, 7))], [np.zeros(0)])
