"""MinkUNet, SPVCNN and SPVNAS as a whole against PyTorch."""

import numpy as np
import pytest
import voxshift as vs
from oracle import relative_error
from sparse_torch import Levels, torch, voxels_of
from unet_torch import MinkUNet, SpvCnn, SpvNas

REFERENCES = {"minkunet": MinkUNet, "spvcnn": SpvCnn, "spvnas": SpvNas}


class Scan:
    def __init__(self, points):
        self.cells, self.feats = voxels_of(points)
        self.levels = Levels(self.cells)
        made = vs.voxelize(points, origin="lowest").tensor
        np.testing.assert_array_equal(made.coords[:, 1:], self.cells)
        np.testing.assert_array_equal(made.feats, self.feats)


@pytest.fixture(scope="module")
def synthetic_scan(synthetic_points):
    return Scan(synthetic_points[np.linalg.norm(synthetic_points[:, :2], axis=1) < 10])


@pytest.fixture(scope="module")
def real_scan(real_points):
    return Scan(real_points)


def check(scan, arch, width, dtype):
    model = vs.Model.new(arch, width=width, seed=9)
    with torch.no_grad():
        expected = REFERENCES[arch](model.parameters(), scan.levels, dtype).forward(scan.feats)
    assert expected.std(axis=0).min() > 1e-3  # not one answer for all voxels
    x = vs.SparseTensor(np.insert(scan.cells, 0, 0, axis=1), scan.feats)
    assert relative_error(model.forward(x), expected) < 1e-4


@pytest.mark.parametrize("arch, width", [("minkunet", 0.25), ("spvcnn", 0.4), ("spvnas", 0.3)])
def test_synthetic_scan(synthetic_scan, arch, width):
    check(synthetic_scan, arch, width, torch.float64)


def test_full_width(synthetic_points):
    check(Scan(synthetic_points[np.linalg.norm(synthetic_points[:, :2], axis=1) < 4]), "minkunet", 1.0, torch.float64)


@pytest.mark.parametrize("arch, width", [("minkunet", 0.4), ("spvcnn", 0.25), ("spvnas", 0.3)])
def test_real_scan(real_scan, arch, width):
    check(real_scan, arch, width, torch.float32)  # half the time of float64


def test_real_scan_has_the_published_levels(real_scan):
    # levels and pairs of this scan, published with spvnas' voxelisation
    cells = real_scan.levels.cells
    assert len(cells[0]) == 94_625
    assert [round(len(level) / 1000, 1) for level in cells] == [94.6, 68.9, 42.2, 21.5, 9.5]
    assert sum(len(fine) for fine, _ in real_scan.levels.around[0]) == 286_263
