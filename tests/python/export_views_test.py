"""Views of voxels along an axis, as torchsparse and MinkowskiEngine write them, as model files: each is compared with
the module by export, on the example and on a second one.
"""

import numpy as np
import pytest
import voxshift as vs
import voxshift.torch as vst
from export_sparse_test import cells
from sparse_torch import torch
from torch import nn
from voxshift.torch import minkowski as ME
from voxshift.torch.torchsparse import SparseTensor, rules
from voxshift.torch.torchsparse import nn as spnn

EXTENT = (7, 6, 5)


class Then(nn.Module):
    """A layer between a convolution of voxels and one of what it gives."""

    def __init__(self, layer, last):
        super().__init__()
        self.first, self.layer, self.last = spnn.Conv3d(4, 3, 3), layer, last
        nn.init.uniform_(self.layer.bias, 1, 2) if isinstance(getattr(layer, "bias", None), nn.Parameter) else None

    def forward(self, x):
        return self.last(self.layer(self.first(x)))


def tensor(random, version):
    coords = cells(random, 60, 2, EXTENT)
    coords = coords if rules._VERSIONS[version].batch == 0 else coords[:, [1, 2, 3, 0]]
    return SparseTensor(torch.from_numpy(random.standard_normal((len(coords), 4)).astype(np.float32)), coords)


each_version = pytest.mark.parametrize("version", ["1.4", "2.1"])


@each_version
@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("bias", [False, True])
def test_images_of_columns(random, version, axis, bias):
    with rules.following(version):
        x = tensor(random, version)
        vst.export(Then(spnn.ToBEVHeightCompression(3, EXTENT, dim=axis), nn.Conv2d(3 * EXTENT[axis], 2, 3)), x)
        layer = spnn.ToDenseBEVConvolution(3, 5, EXTENT, dim=axis, bias=bias)
        model = vst.export(Then(layer, nn.Conv2d(5, 2, 3)), x)
        assert model.parameters()["layer.kernel"].shape == (5, (3 + bias) * EXTENT[axis])


@each_version
@pytest.mark.parametrize("heights, stride", [(5, 1), (5, 2), (6, 3), (8, 1)])
@pytest.mark.parametrize("bias", [False, True])
def test_voxels_of_columns(random, version, heights, stride, bias):
    with rules.following(version):
        layer = spnn.ToBEVConvolution(3, 5, heights, stride, dim=2, bias=bias)
        vst.export(Then(layer, spnn.Conv3d(5, 2, 3)), tensor(random, version))


def test_views_that_no_graph_has(random):
    """Of a grid that begins elsewhere, and of voxels above it, which the layer puts into its highest cells."""
    x = tensor(random, "2.1")
    moved = spnn.ToBEVHeightCompression(3, EXTENT, (0, 0, -1), dim=2)
    low = spnn.ToBEVHeightCompression(3, (7, 6, 4), dim=2)
    for layer, channels in ((moved, 15), (low, 12)):
        with pytest.raises(vs.InvalidArgument, match="the result of .* in layer, which a model file"):
            vst.export(Then(layer, nn.Conv2d(channels, 2, 3)), x)


class Dense(nn.Module):
    """A strided layer of MinkowskiEngine in dense form, whose batch is as large as the shape says."""

    def __init__(self, shape):
        super().__init__()
        self.down, self.dense = ME.MinkowskiConvolution(4, 3, 2, 2, dimension=3), ME.MinkowskiToDenseTensor(shape)
        self.last = nn.Conv2d(3 * 3, 2, 3, padding=1)

    def forward(self, x):
        return self.last(self.dense(self.down(x)).permute(0, 1, 4, 2, 3).flatten(1, 2))


def test_dense_tensors_of_a_shape(random):
    coords, others = cells(random, 60, 2, EXTENT), cells(random, 30, 2, EXTENT)
    x, other = (ME.SparseTensor(torch.randn(len(c), 4), c) for c in (coords, others))
    module = Dense(torch.Size((2, 3, 4, 3, 3)))
    model = vst.export(module, x, check=other)
    assert [node["op"] for node in model.graph["nodes"]] == ["conv", "bird_eye_view", "conv2d"]
    with pytest.raises(vs.InvalidArgument, match=r"\[dense\] batch 3 lies outside of the shape's 2"):
        vst.export(module, x)
    with pytest.raises(vs.InvalidArgument, match="which a model file has no op for"):
        vst.export(Dense(None), x)
