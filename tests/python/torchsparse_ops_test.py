"""voxshift.torch.torchsparse beside its convolutions: points, norms, pooling, batches, and whole networks."""

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: Debian's python3-torch")

import voxshift as vs  # noqa: E402
import voxshift.torch as vst  # noqa: E402
import voxshift.torch.torchsparse as torchsparse  # noqa: E402
from voxshift.torch.torchsparse import nn as spnn  # noqa: E402
from voxshift.torch.torchsparse.backbones import SparseResNet21D, SparseResUNet42  # noqa: E402
from voxshift.torch.torchsparse.nn import functional as F  # noqa: E402
from voxshift.torch.torchsparse.nn.utils import fapply, get_kernel_offsets  # noqa: E402
from voxshift.torch.torchsparse.utils.collate import sparse_collate, sparse_collate_fn  # noqa: E402
from voxshift.torch.torchsparse.utils.quantize import sparse_quantize  # noqa: E402


@pytest.fixture(params=["1.4", "2.1"])
def version(request):
    with torchsparse.following(request.param):
        yield request.param


def scattered(random, n=60, extent=6, batches=2):
    cells = random.integers(0, extent, (n, 4))
    cells[:, 0] = random.integers(0, batches, n)
    return random.permutation(np.unique(cells, axis=0)).astype(np.int32)


def coords_of(cells, version):
    return torch.from_numpy(cells if version == "2.1" else np.ascontiguousarray(cells[:, [1, 2, 3, 0]]))


def made(random, version, channels=4, **options):
    cells = scattered(random, **options)
    feats = torch.from_numpy(random.standard_normal((len(cells), channels)).astype(np.float32))
    return torchsparse.SparseTensor(feats, coords_of(cells, version)), cells


def test_instance_norm_is_over_the_channels_of_each_voxel(random, version):
    x, _ = made(random, version)
    found = spnn.InstanceNorm(4, eps=1e-3)(x).feats
    centred = x.feats - x.feats.mean(1, keepdim=True)
    torch.testing.assert_close(found, centred / (centred.square().mean(1, keepdim=True) + 1e-3).sqrt())


def fnv(row):
    value = 14695981039346656037
    for number in row:
        value = ((value ^ (int(number) & 0xFFFFFFFF)) * 1099511628211) % 2**64
    return (value >> 60) ^ (value & (2**60 - 1))


def test_hashes_and_queries(random, version):
    coords = coords_of(scattered(random) - np.array([0, 3, 3, 3], np.int32), version)
    hashes = F.sphash(coords)
    assert hashes.tolist() == [fnv(row) for row in coords.tolist()]
    offsets = get_kernel_offsets(2, 2)
    assert offsets.tolist() == [[x, y, z] for x in (0, 2) for y in (0, 2) for z in (0, 2)]
    axes = [1, 2, 3] if version == "2.1" else [0, 1, 2]
    around = F.sphash(coords, offsets)
    for k, offset in enumerate(offsets.tolist()):
        moved = coords.clone()
        moved[:, axes] += torch.tensor(offset, dtype=torch.int)
        assert around[k].tolist() == [fnv(row) for row in moved.tolist()]
    references = torch.cat([hashes[5:], hashes[5:9]])
    found = F.sphashquery(around, references)
    first = {}
    for row, value in enumerate(references.tolist()):
        first.setdefault(value, row)
    assert found.tolist() == [[first.get(value, -1) for value in row] for row in around.tolist()]
    assert F.sphashquery(hashes, references[:0]).tolist() == [-1] * len(hashes)
    assert F.spcount(torch.tensor([0, 2, 2, -1, 7]), 4).tolist() == [1, 0, 2, 0]
    with pytest.raises(ValueError, match="sphash"):
        F.sphash(coords.long())


def test_voxelize_and_devoxelize(random, version):
    feats = torch.from_numpy(random.standard_normal((30, 3)).astype(np.float32)).requires_grad_()
    index = torch.from_numpy(random.integers(-1, 7, 30))
    out = F.spvoxelize(feats, index, F.spcount(index, 8))
    truth = torch.stack([feats[index == v].mean(0) if (index == v).any() else torch.zeros(3) for v in range(8)])
    torch.testing.assert_close(out, truth)
    corners = torch.from_numpy(random.integers(-1, 30, (20, 8)))
    weights = torch.rand(20, 8)
    back = F.spdevoxelize(feats, corners, weights)
    lines = []
    for row, weight in zip(corners.tolist(), weights):
        lines.append(sum((w * feats[r] for r, w in zip(row, weight) if r >= 0), torch.zeros(3)))
    torch.testing.assert_close(back, torch.stack(lines))
    pairs = ((out, back), (truth, torch.stack(lines)))
    ours, theirs = (torch.autograd.grad(a.sin().sum() + b.cos().sum(), feats)[0] for a, b in pairs)
    torch.testing.assert_close(ours, theirs)


def test_trilinear_weights(random, version):
    scale = 4
    points = torch.from_numpy(random.uniform(-20, 20, (25, 4)).astype(np.float32))
    index = torch.from_numpy(random.integers(-1, 2, (25, 8)))
    found = F.calc_ti_weights(points, index if version == "2.1" else index.t(), scale)
    found = found if version == "2.1" else found.t()
    for point, row, weights in zip(points.tolist(), index.tolist(), found.tolist()):
        wanted = []
        for corner, present in zip(itertools.product((0, 1), repeat=3), row):
            weight = 1.0
            for bit, value in zip(corner, point):
                part = value / scale - np.floor(value / scale)
                weight *= part if bit else 1 - part
            wanted.append(weight if present != -1 else 0)
        np.testing.assert_allclose(weights, np.array(wanted) / (sum(wanted) + 1e-8), atol=1e-5)


def test_rows_keep_the_users_order(random, version):
    x, _ = made(random, version)
    norm, conv = spnn.BatchNorm(4), spnn.Conv3d(4, 4, 3)
    y = spnn.ReLU(True)(norm(conv(x)))
    both = torchsparse.cat([y, x])
    torch.testing.assert_close(both.F, torch.cat([y.F, x.F], 1))
    torch.testing.assert_close((y + x).F, y.F + x.F)
    torch.testing.assert_close((x + y).F, y.F + x.F)
    other = torchsparse.SparseTensor(torch.randn(len(x.F), 4), x.C)
    torch.testing.assert_close((conv(x) + other).F, conv(x).F + other.F)
    weights = torch.rand(len(x.F), 1)
    torch.testing.assert_close(fapply(y, lambda f: f * weights).F, y.F * weights)
    y.F = y.F + 1
    torch.testing.assert_close(conv(y).F, conv(torchsparse.SparseTensor(y.F, x.C)).F)
    with pytest.raises(ValueError, match="cat"):
        torchsparse.cat([x, torchsparse.SparseTensor(x.F[1:], x.C[1:])])


def test_norms_activations_and_pooling(random, version):
    x, cells = made(random, version)
    batch = torch.from_numpy(cells[:, 0])
    norm, plain = spnn.BatchNorm(4, momentum=0.2), torch.nn.BatchNorm1d(4, momentum=0.2)
    torch.testing.assert_close(norm(x).F, plain(x.F))
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(norm.state_dict()[name], value)
    torch.testing.assert_close(norm.eval()(x).F, plain.eval()(x.F))
    groups = spnn.GroupNorm(2, 4)
    for index in (0, 1):
        rows = batch == index
        image = torch.nn.functional.group_norm(x.F[rows].t()[None], 2, groups.weight, groups.bias)[0].t()
        torch.testing.assert_close(groups(x).F[rows], image)
    torch.testing.assert_close(spnn.LeakyReLU(0.1)(x).F, torch.nn.functional.leaky_relu(x.F, 0.1))
    torch.testing.assert_close(F.silu(x, inplace=False).F, torch.nn.functional.silu(x.F))
    torch.testing.assert_close(spnn.GlobalAvgPool()(x), torch.stack([x.F[batch == b].mean(0) for b in (0, 1)]))
    torch.testing.assert_close(spnn.GlobalMaxPool()(x), torch.stack([x.F[batch == b].max(0)[0] for b in (0, 1)]))
    cropped = spnn.SparseCrop((1, 1, 1), (4, 5, 6))(x)
    kept = ((cells[:, 1:] >= 1) & (cells[:, 1:] < (4, 5, 6))).all(1)
    assert torch.equal(cropped.F, x.F[torch.from_numpy(kept)])


def test_views_from_above(random, version):
    x, cells = made(random, version)
    dense = torch.zeros(2, 4, 6, 6, 6)
    for row, (b, *place) in enumerate(cells.tolist()):
        dense[(b, slice(None), *place)] = x.F[row]
    found = spnn.ToBEVHeightCompression(4, (6, 6, 6), dim=1)(x)
    torch.testing.assert_close(found, dense.permute(0, 3, 1, 2, 4).reshape(2, 24, 6, 6))
    conv = spnn.ToDenseBEVConvolution(4, 5, (6, 6, 6), dim=2)
    torch.testing.assert_close(conv(x), torch.einsum("bcxyz,zcd->bdxy", dense, conv.kernel), atol=1e-5, rtol=1e-4)
    flat = spnn.ToBEVReduction(dim=0)(x)
    columns = {}
    for row, (b, _, y, z) in enumerate(cells.tolist()):
        columns.setdefault((b, y, z), []).append(row)
    order = [0, 2, 3] if version == "2.1" else [3, 1, 2]
    found = [tuple(place) for place in flat.C[:, order].tolist()]
    assert sorted(found) == sorted(columns)
    torch.testing.assert_close(flat.F, torch.stack([x.F[columns[place]].mean(0) for place in found]))


def test_quantize_and_collate(random, version):
    points = random.uniform(-3, 3, (200, 3))
    coords, index, inverse = sparse_quantize(points, 0.5, return_index=True, return_inverse=True)
    cells = np.floor(points / 0.5).astype(np.int32)
    assert np.array_equal(coords, np.unique(cells, axis=0)) and np.array_equal(coords[inverse], cells)
    firsts = {}
    for row, cell in enumerate(map(tuple, cells)):
        firsts.setdefault(cell, row)
    assert index.tolist() == [firsts[tuple(c)] for c in coords]
    assert len(sparse_quantize(points[:0])) == 0
    x = torchsparse.SparseTensor(random.random((len(coords), 2)).astype(np.float32), coords)
    batch = sparse_collate_fn([{"lidar": x, "name": "a", "size": np.arange(2)}] * 3)
    assert batch["name"] == ["a"] * 3 and batch["size"].shape == (3, 2)
    column = 0 if version == "2.1" else 3
    assert torch.equal(batch["lidar"].C[:, column], torch.arange(3).repeat_interleave(len(coords)).int())
    with pytest.raises(ValueError, match="strides"):
        sparse_collate([x, torchsparse.SparseTensor(x.F, x.C, 2)])


def test_generative_add(random):
    x, cells = made(random, "2.1")
    y, others = made(random, "2.1", n=40)
    total = torchsparse.generative_add(x, y)
    sums = {}
    for tensor, rows in ((x, cells), (y, others)):
        for row, cell in enumerate(map(tuple, rows.tolist())):
            sums[cell] = sums.get(cell, 0) + tensor.F[row]
    assert [tuple(c) for c in total.C.tolist()] == sorted(sums)
    torch.testing.assert_close(total.F, torch.stack([sums[c] for c in sorted(sums)]))


@pytest.mark.parametrize("network", [SparseResUNet42, SparseResNet21D])
def test_networks_train(random, version, network):
    x, _ = made(random, version, n=800, extent=40)
    torch.manual_seed(0)
    module = network(width_multiplier=0.125)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        outputs = module(torchsparse.SparseTensor(x.F, x.C))
        loss = sum(((y.F - 1) ** 2).mean() for y in outputs)
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert all(parameter.grad is not None for parameter in module.parameters()) and losses[-1] < losses[0]


class Labels(torch.nn.Module):
    """A small network whose input is any tensor with feats and coordinates."""

    def __init__(self):
        super().__init__()
        self.net, self.head = SparseResUNet42(width_multiplier=0.125), torch.nn.Linear(12, 5)

    def forward(self, x):
        return self.head(self.net(torchsparse.SparseTensor(x.feats, x.coords))[-1].F)


def test_networks_are_written(random):
    cells = scattered(random, n=500, extent=16)
    feats = torch.from_numpy(random.standard_normal((len(cells), 4)).astype(np.float32))
    module = Labels()
    for layer in module.modules():
        if isinstance(layer, spnn.BatchNorm):
            torch.nn.init.normal_(layer.running_mean, 0, 0.1)
    F.set_global_conv_config({"kmap_mode": "hashmap", "downsample_mode": "minkowski"})
    try:
        x = vst.SparseTensor(feats, cells)
        model = vst.to_model(module, x)
        with torch.no_grad():
            truth = module.eval()(x)
    finally:
        F.clear_global_conv_config()
    found = model.forward(vs.SparseTensor(x.coordinates, x.feats.numpy()))
    np.testing.assert_allclose(found, truth.numpy(), atol=1e-3)


def test_the_hash_table_of_the_compiled_module(random):
    table, cells = torchsparse.backend.GPUHashTable(), scattered(random)
    table.insert_coords(torch.from_numpy(cells[:, [1, 2, 3, 0]]))
    rows = {tuple(cell): row + 1 for row, cell in enumerate(cells.tolist())}
    coarse = np.unique(cells // (1, 2, 2, 2), axis=0).astype(np.int32)
    found = table.lookup_coords(torch.from_numpy(coarse[:, [1, 2, 3, 0]]), (2, 2, 2), (2, 2, 2), 8)
    for place, line in zip(coarse.tolist(), found.tolist()):
        corners = itertools.product((0, 1), repeat=3)
        assert line == [rows.get((place[0], *(2 * p + o for p, o in zip(place[1:], c))), 0) for c in corners]
    table.insert_vals(torch.tensor([7, 5, 9]))
    assert table.lookup_vals(torch.tensor([9, 4, 7])).tolist() == [3, 0, 1]


def test_caches_are_shared_if_told():
    from voxshift.torch.torchsparse.utils import tensor_cache

    tensor_cache.set_tensor_cache_mode(tensor_cache.TensorCacheMode.GLOBAL_TENSOR_CACHE)
    try:
        x, y = (torchsparse.SparseTensor(torch.zeros(1, 1), torch.zeros(1, 4, dtype=torch.int)) for _ in range(2))
        assert x._caches is y._caches is tensor_cache.get_global_tensor_cache()
    finally:
        tensor_cache.clear_global_tensor_cache()
        tensor_cache.set_tensor_cache_mode(tensor_cache.TensorCacheMode.SEPARATE_TENSOR_CACHE)
    assert torchsparse.SparseTensor(x.F, x.C)._caches is not x._caches


def test_tensors_elsewhere_are_refused(random):
    x, _ = made(random, "2.1")
    with pytest.raises(ValueError, match="on the CPU or on CUDA, found one on meta"):
        spnn.Conv3d(4, 4, 3)(torchsparse.SparseTensor(x.F.to("meta"), x.C))
