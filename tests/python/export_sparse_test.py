"""Networks in the styles of other libraries as model files: runs of the file against the module, by layouts written
out here.
"""

import numpy as np
import pytest
import voxshift as vs
import voxshift.torch as vst
from sparse_torch import torch
from torch import nn
from voxshift.torch import minkowski as ME
from voxshift.torch import scatter, spconv, torchsparse
from voxshift.torch.torchsparse import nn as spnn
from voxshift.torch.torchsparse.nn import functional as spf

SHAPE = (4, 16, 24)


def cells(random, rows=160, batches=1, extent=SHAPE):
    """int32 [N, 4], batch first, unique, rows of a batch in no order; the corner is one of them."""
    found = []
    for batch in range(batches):
        places = np.stack([random.integers(0, n, rows) for n in extent], 1)
        places = np.unique(np.vstack([places, np.array(extent) - 1]), axis=0)
        found.append(np.insert(random.permutation(places), 0, batch, axis=1))
    return torch.from_numpy(np.concatenate(found).astype(np.int32))


def in_order(coords):
    """The rows in the library's order."""
    return np.lexsort(coords.numpy().T[::-1])


def run(model, coords, feats, shape=SHAPE):
    order = in_order(coords)
    return model.run(vs.SparseTensor(coords.numpy()[order], feats.numpy()[order], shape=shape))


def trained(module):
    torch.manual_seed(3)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.uniform_(-1, 1)
            part.running_var.uniform_(0.5, 2)
    return module.eval()


def close(found, expected):
    np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-4)


def block(layer, channels):
    return spconv.SparseSequential(layer, nn.BatchNorm1d(channels, eps=1e-3), nn.ReLU(True))


class Second(nn.Module):
    """OpenPCDet's way: a dict goes in and comes back with more in it."""

    def __init__(self):
        super().__init__()
        self.input = block(spconv.SubMConv3d(3, 8, 3, padding=1, bias=False, indice_key="subm1"), 8)
        self.down = block(spconv.SparseConv3d(8, 12, 3, stride=2, padding=1, bias=False, indice_key="down"), 12)
        self.up = block(spconv.SparseInverseConv3d(12, 8, 3, indice_key="down", bias=False), 8)
        self.bev = nn.Sequential(nn.Conv2d(24, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU())
        self.head = nn.Conv2d(6, 4, 1)
        self.point = nn.Linear(8, 5)

    def forward(self, batch):
        coords, count = batch["voxel_coords"], batch["batch_size"]
        x = spconv.SparseConvTensor(batch["voxel_features"], coords.int(), SHAPE, count)
        fine = self.input(x)
        coarse = self.down(fine)
        dense = coarse.dense()
        n, c, d, h, w = dense.shape
        features = self.bev(dense.view(n, c * d, h, w))
        batch["maps"] = {"cls": self.head(features).permute(0, 2, 3, 1).contiguous()}
        batch["logits"] = self.point(self.up(coarse).features + fine.features)
        batch["encoded"] = coarse
        batch["centers"] = coords.float() + 0.5
        return batch


def test_a_detector_that_fills_a_dict(random, tmp_path):
    module, coords = trained(Second()), cells(random, batches=2)
    feats = torch.randn(len(coords), 3)
    example = {"voxel_features": feats, "voxel_coords": coords.float(), "batch_size": 2, "gt_names": ["car"]}
    model = vst.export(module, example, tmp_path / "net.safetensors")
    assert list(example) == ["voxel_features", "voxel_coords", "batch_size", "gt_names"]
    assert model.graph["outputs"] == ["maps.cls", "logits", "encoded"]
    assert model.graph["input"] == "voxels" and [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]
    assert set(model.parameters()) <= set(module.state_dict())

    coords = cells(random, rows=90)
    feats = torch.randn(len(coords), 3)
    expected = module({"voxel_features": feats, "voxel_coords": coords, "batch_size": 1})
    found = run(vs.Model.load(tmp_path / "net.safetensors"), coords, feats)
    close(found["maps.cls"][0], expected["maps"]["cls"])
    close(found["logits"][0], expected["logits"][in_order(coords)])
    encoded = expected["encoded"]
    close(found["encoded"][0], encoded.features[in_order(encoded.indices)])
    np.testing.assert_array_equal(found["encoded"][1], encoded.indices.numpy()[in_order(encoded.indices)])


class PlainView(nn.Module):
    """BEVFusion's way: x, y, z, of which the last is folded into the channels; channels last on the way."""

    def __init__(self, channels_first):
        super().__init__()
        self.layer, self.channels_first = spconv.SparseConv3d(3, 5, 3, 2, 1), channels_first

    def forward(self, feats, coords, batch_size):
        x = self.layer(spconv.SparseConvTensor(feats, coords, SHAPE, batch_size))
        dense = x.dense() if self.channels_first else x.dense(channels_first=False).permute(0, 4, 1, 2, 3)
        n, c, h, w, d = dense.shape
        return dense.permute(0, 1, 4, 2, 3).contiguous().view(n, c * d, h, w)


@pytest.mark.parametrize("channels_first", [True, False])
def test_another_axis_is_folded(random, channels_first):
    module, coords = PlainView(channels_first), cells(random)
    feats = torch.randn(len(coords), 3)
    model = vst.export(module, (feats, coords, 1))
    close(run(model, coords, feats)["bird_eye_view"][0], module(feats, coords, 1).permute(0, 2, 3, 1))


def test_a_dense_form_comes_as_its_voxels(random):
    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = spconv.SubMConv3d(3, 5, 3)

        def forward(self, feats, coords):
            return self.layer(spconv.SparseConvTensor(feats, coords, SHAPE, int(coords[:, 0].max()) + 1)).dense()

    module, coords = Dense(), cells(random, batches=2)
    feats = torch.randn(len(coords), 3)
    model = vst.export(module, (feats, coords))
    b, z, y, x = coords[in_order(coords)].long().t()
    close(run(model, coords, feats)["layer"][0], module(feats, coords)[b, :, z, y, x])


class PointVoxel(nn.Module):
    """spvnas' way: points are the voxels, and go to coarser ones and back through tables of indices."""

    def __init__(self):
        super().__init__()
        self.stem, self.down = spnn.Conv3d(3, 6, 3), spnn.Conv3d(6, 6, 2, 2)
        self.deep, self.up = spnn.Conv3d(6, 6, 3), spnn.Conv3d(6, 6, 2, 2, transposed=True)
        self.point, self.last = nn.Linear(6, 6), nn.Linear(6, 4)

    @staticmethod
    def to_voxels(feats, coords, like):
        index = spf.sphashquery(spf.sphash(coords), spf.sphash(like))
        return spf.spvoxelize(feats, index, spf.spcount(index.int(), len(like)))

    @staticmethod
    def to_points(x, coords):
        step = x.s[0]
        low = torch.cat([torch.div(coords[:, :3], step, rounding_mode="floor").int() * step, coords[:, 3:].int()], 1)
        kernel = torch.tensor([[i, j, k] for i in (0, step) for j in (0, step) for k in (0, step)]).int()
        index = spf.sphashquery(spf.sphash(low, kernel), spf.sphash(x.C))
        weights = spf.calc_ti_weights(coords.float(), index, scale=step)
        return spf.spdevoxelize(x.F, index.t().contiguous(), weights.t().contiguous())

    def forward(self, x):
        sorted_coords = torch.unique(x.C, dim=0)
        fine = torchsparse.SparseTensor(self.to_voxels(x.F, x.C, sorted_coords), sorted_coords, 1)
        fine = self.stem(fine)
        points = self.to_points(fine, x.C)
        coarse = self.down(fine)
        points = self.to_points(coarse, x.C) + self.point(points).relu()
        back = torchsparse.SparseTensor(
            self.to_voxels(points, torch.cat([x.C[:, :3] // 2 * 2, x.C[:, 3:]], 1), coarse.C), coarse.C, 2
        )
        back.cmaps, back.kmaps = coarse.cmaps, coarse.kmaps
        return self.last(self.to_points(self.up(self.deep(back)), x.C) + points)


def test_points_and_voxels_of_torchsparse(random):
    with torchsparse.following("1.4"):
        coords = cells(random, extent=(16, 16, 8))
        given, feats = coords[:, [1, 2, 3, 0]].contiguous(), torch.randn(len(coords), 3)
        module = trained(PointVoxel())
        x = torchsparse.SparseTensor(feats, given)
        model = vst.export(module, x)
        ops = [node["op"] for node in model.graph["nodes"]]
        assert ops.count("devoxelize") == 1 and ops.count("voxelize") == 1
        expected = module(x)
    close(run(model, coords, feats, None)["last"][0], expected[in_order(coords)])


class Descriptor(nn.Module):
    """MinkowskiEngine's ways: a channel attention over each batch, lengths of 1, one row per batch."""

    def __init__(self):
        super().__init__()
        self.conv = ME.MinkowskiConvolution(3, 8, kernel_size=3, stride=2, bias=True, dimension=3)
        self.norm, self.relu = ME.MinkowskiBatchNorm(8), ME.MinkowskiReLU()
        self.pool, self.fc = ME.MinkowskiGlobalAvgPooling(), ME.MinkowskiLinear(8, 8)
        self.spread = ME.MinkowskiBroadcastMultiplication()
        self.up = ME.MinkowskiConvolutionTranspose(8, 6, kernel_size=2, stride=2, dimension=3)

    def forward(self, x):
        y = self.relu(self.norm(self.conv(x)))
        y = self.spread(y, ME.MinkowskiFunctional.sigmoid(self.fc(self.pool(y))))
        z = self.up(y)
        local = ME.SparseTensor(
            z.F / torch.norm(z.F, p=2, dim=1, keepdim=True),
            coordinate_map_key=z.coordinate_map_key,
            coordinate_manager=z.coordinate_manager,
        )
        return local, self.pool(y).F.clamp(min=1e-6).pow(3)


def test_a_network_of_minkowski_engine(random):
    module, coords = trained(Descriptor()), cells(random, batches=2)
    feats = torch.randn(len(coords), 3)
    local, whole = module(ME.SparseTensor(feats, coordinates=coords))
    model = vst.export(module, ME.SparseTensor(feats, coordinates=coords))
    found = run(model, coords, feats, None)
    assert model.graph["outputs"] == ["0", "1"]
    close(found["0"][0], local.F[in_order(local.C)])
    close(found["1"][0], whole)


class Batches(nn.Module):
    """torch_scatter over the batches of voxels, and their rows again for every voxel."""

    def __init__(self):
        super().__init__()
        self.conv = vst.Conv3d(3, 6, 3)

    def forward(self, x):
        y, batch = self.conv(x).feats, x.coords[:, 0].long()
        mean = scatter.scatter_mean(y, batch, dim=0)
        most = scatter.scatter(y, batch, 0, reduce="max")
        return y * torch.sigmoid(mean)[batch] + most.index_select(0, batch), mean


def test_scatter_over_batches(random):
    coords = cells(random, batches=3)
    x = vst.SparseTensor(torch.randn(len(coords), 3), coords)
    module = Batches()
    rows, mean = module(x)
    found = vst.export(module, x).run(vs.SparseTensor(x.coordinates, x.feats.numpy()))
    close(found["0"][0], rows)
    close(found["1"][0], mean)


def test_inputs_on_the_same_voxels_and_of_another_kind(random):
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.image, self.last = vst.Conv3d(5, 6, 3), nn.Conv2d(3, 6, 3, 2), nn.Linear(6, 2)

        def forward(self, scan, normals, picture, unused):
            y = self.conv(vst.SparseTensor(torch.cat([scan.feats, normals.feats], 1), scan.coordinates))
            return self.last(y.feats), self.image(picture).mean((2, 3))

    coords = cells(random)
    scan = vst.SparseTensor(torch.randn(len(coords), 3), coords)
    normals = scan.with_feats(torch.randn(len(coords), 2))
    picture = torch.randn(1, 3, 9, 8)
    module = Both()
    model = vst.export(module, (scan, normals, picture, torch.randn(4, 4)), check=False)
    assert [one["name"] for one in model.graph["inputs"]] == ["scan", "normals", "picture"]
    assert model.graph["inputs"][1]["rows_of"] == "scan"
    rows, pooled = module(scan, normals, picture, None)
    operands = {"scan": vs.SparseTensor(scan.coordinates, scan.feats.numpy()), "normals": normals.feats.numpy()}
    found = model.run({**operands, "picture": picture.permute(0, 2, 3, 1).contiguous().numpy()})
    close(found["0"][0], rows)
    close(found["1"][0], pooled)
