"""Networks on MinkowskiEngine's tensor fields as model files, which take points with their places first."""

import numpy as np
import pytest
import voxshift as vs
import voxshift.torch as vst
from sparse_torch import torch
from torch import nn
from voxshift.torch import minkowski as ME

Mode = ME.SparseTensorQuantizationMode


def field(random, mode=Mode.UNWEIGHTED_AVERAGE, batches=2, shuffled=False):
    coords = np.concatenate(
        [np.insert(random.uniform(-4, 5, (150, 3)), 0, batch, axis=1) for batch in range(batches)]
    ).astype(np.float32)
    coords = random.permutation(coords) if shuffled else coords
    feats = torch.from_numpy(random.standard_normal((len(coords), 4)).astype(np.float32))
    return ME.TensorField(feats, torch.from_numpy(coords), quantization_mode=mode)


class Labels(nn.Module):
    """A U-Net of two levels on the voxels of points, and a layer of the points."""

    def __init__(self, stride=1):
        super().__init__()
        self.stride = stride
        self.first = ME.MinkowskiConvolution(4, 5, 3, dimension=3)
        self.down = ME.MinkowskiConvolution(5, 6, 2, 2, dimension=3)
        self.up = ME.MinkowskiConvolutionTranspose(6, 5, 2, 2, dimension=3)
        self.last = ME.MinkowskiLinear(14, 3)

    def forward(self, x):
        voxels = self.first(x.sparse(self.stride))
        y = ME.cat(self.up(self.down(voxels)), voxels)
        return self.last(y.cat_slice(x))


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
def test_points_to_voxels_and_back(random, shuffled, stride):
    torch.manual_seed(1)
    x, module = field(random, shuffled=shuffled), Labels(stride)
    model = vst.export(module, x)
    assert model.graph["in_channels"] == 7 and model.graph["input"] == "points"
    other = field(random, batches=1)
    points = torch.cat([other.C[:, 1:], other.F], 1).numpy()
    [(found, _)] = model.run({"input": (points, np.array([0, len(points)], np.int64))}).values()
    np.testing.assert_allclose(found, module(other).F.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("mode", [Mode.UNWEIGHTED_SUM, Mode.MAX_POOL])
def test_what_becomes_of_the_points_of_a_voxel(random, mode):
    class Voxels(nn.Module):
        def forward(self, x):
            return x.sparse(2)

    x = field(random, mode)
    [(found, cells)] = vst.export(Voxels(), x).run({"input": operand(x)}).values()
    expected = {}
    for place, row in zip(x.C.numpy(), x.F.numpy()):
        expected.setdefault((place[0], *np.floor(place[1:] / 2)), []).append(row)
    reduce = np.sum if mode == Mode.UNWEIGHTED_SUM else np.max
    np.testing.assert_array_equal(cells, sorted(expected))
    np.testing.assert_allclose(found, [reduce(expected[key], axis=0) for key in sorted(expected)], atol=1e-5)


def operand(x):
    points = torch.cat([x.C[:, 1:], x.F], 1).numpy()
    return points, np.append(0, np.cumsum(np.bincount(x.C[:, 0].long().numpy()))).astype(np.int64)


@pytest.mark.parametrize("mode, stride", [(Mode.RANDOM_SUBSAMPLE, 1), (Mode.UNWEIGHTED_AVERAGE, 3)])
def test_voxels_that_no_op_makes(random, mode, stride):
    with pytest.raises(vs.InvalidArgument, match="which a model file has no op for"):
        vst.export(Labels(stride), field(random, mode))
