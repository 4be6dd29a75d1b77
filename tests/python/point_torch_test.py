"""PVCNN, PVCNN++ and PointNet++ as a whole against PyTorch, on blocks of a scan: unequal clouds in one batch."""

import numpy as np
import pytest
import voxshift as vs
from oracle import relative_error
from point_torch import PointNet2, PvcnnPlusPlus, PvcnnS3dis, PvcnnShapeNet, torch

REFERENCES = {
    "pvcnn": PvcnnS3dis,
    "pvcnn-shapenet": PvcnnShapeNet,
    "pvcnn++": PvcnnPlusPlus,
    "pointnet++": PointNet2,
}
OBJECTS = ("pvcnn-shapenet", "pointnet++")


def nearest(points, place, count):
    """The points of a scan nearest to a place, in the scan's order: dense and of irregular density."""
    chosen = np.argsort(np.linalg.norm(points[:, :3] - place, axis=1), kind="stable")[:count]
    return points[np.sort(chosen)]


def block(points, random):
    """Like S3DIS: x y z in a block of 1.5 m, three colours, x y z within the room."""
    xyz = points[:, :3] - points[:, :3].min(axis=0)
    room = xyz / xyz.max(axis=0)
    block = xyz * (1.5 / xyz[:, :2].max()) - np.float32([0.75, 0.75, 0])
    colours = np.column_stack([points[:, 3], random.random((len(points), 2))])
    return np.concatenate([block, colours, room], axis=1).astype(np.float32)


def object_(points, random):
    """Like ShapeNet: x y z in the unit sphere, normals, the kind of object."""
    xyz = points[:, :3] - points[:, :3].mean(axis=0)
    xyz /= np.linalg.norm(xyz, axis=1).max()
    normals = random.standard_normal((len(points), 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    kind = np.zeros((len(points), 16))
    kind[:, random.integers(16)] = 1
    return np.concatenate([xyz, normals, kind], axis=1).astype(np.float32)


def check(scan, arch, width, sizes, random):
    make = object_ if arch in OBJECTS else block
    clouds = [make(nearest(scan, place, n), random) for place, n in zip(([8, 2, -1], [4, -9, 0]), sizes)]
    model = vs.Model.new(arch, width=width, classes=13, seed=4)
    expected, single = (
        np.concatenate([REFERENCES[arch](model.parameters(), dtype).forward(cloud) for cloud in clouds])
        for dtype in (torch.float64, torch.float32)
    )
    assert expected.std(axis=0).min() > 1e-3  # not one answer for all points
    limit = 4 * relative_error(single, expected)  # random weights may amplify rounding: so much the reference loses
    assert limit < 1e-2
    splits = np.cumsum([0, *sizes])
    found = model.forward(np.concatenate(clouds), splits)
    assert relative_error(found, expected) < limit
    alone = model.forward(clouds[0])
    assert relative_error(alone, expected[: sizes[0]]) < limit


@pytest.mark.parametrize(
    "arch, width, sizes",
    [
        ("pvcnn", 0.125, (4000, 333)),
        ("pvcnn-shapenet", 0.125, (1000, 333)),
        ("pvcnn++", 0.25, (1300, 700)),  # more and fewer points than centers
        ("pointnet++", 0.125, (700, 400)),
    ],
)
def test_blocks_of_a_synthetic_scan(synthetic_points, random, arch, width, sizes):
    check(synthetic_points, arch, width, sizes, random)


@pytest.mark.parametrize(
    "arch, width, sizes",
    [
        ("pvcnn", 0.25, (4096, 1500)),
        ("pvcnn-shapenet", 0.25, (2048, 1500)),
        ("pvcnn++", 0.25, (4096, 1500)),
        ("pointnet++", 0.5, (2048, 1500)),
    ],
)
def test_blocks_of_the_real_scan(real_points, random, arch, width, sizes):
    check(real_points, arch, width, sizes, random)
