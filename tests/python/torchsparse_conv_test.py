"""voxshift.torch.torchsparse's convolutions against the rules of torchsparse's versions as plain loops."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: Debian's python3-torch")

import torchsparse_oracle as oracle  # noqa: E402
import voxshift.torch.torchsparse as torchsparse  # noqa: E402
from voxshift.torch.torchsparse import nn as spnn  # noqa: E402
from voxshift.torch.torchsparse.nn import functional as F  # noqa: E402

WINDOWS = [
    ((1, 1, 1), (1, 1, 1), 0),
    ((1, 1, 1), (2, 2, 2), 0),
    ((2, 2, 2), (1, 1, 1), 0),
    ((2, 2, 2), (2, 2, 2), 0),
    ((3, 3, 3), (1, 1, 1), 0),
    ((3, 3, 3), (2, 2, 2), 0),
    ((3, 3, 3), (2, 2, 2), 1),
    ((3, 3, 3), (3, 3, 3), 0),
    ((4, 4, 4), (1, 1, 1), 0),
    ((4, 4, 4), (2, 2, 2), 1),
    ((5, 5, 5), (1, 1, 1), 0),
    ((5, 5, 5), (2, 2, 2), 2),
    ((3, 1, 3), (1, 1, 1), 0),
    ((3, 1, 3), (2, 2, 2), 0),
    ((1, 3, 1), (1, 2, 1), 0),
    ((2, 3, 2), (1, 1, 1), 0),
    ((3, 2, 3), (2, 2, 2), 0),
]
RULES = [("1.4", None), ("2.0", None), ("2.1", None), ("2.1", "spconv"), ("2.1", "minkowski")]


@pytest.fixture(params=RULES, ids=lambda rules: "-".join(filter(None, rules)))
def rules(request):
    """(version, downsample mode of kmap_mode "hashmap" or None)."""
    version, mode = request.param
    with torchsparse.following(version):
        if mode:
            F.set_global_conv_config({"kmap_mode": "hashmap", "downsample_mode": mode})
        yield version, mode
    F.clear_global_conv_config()


def scattered(random, lowest=0, n=60, extent=6):
    """Unique cells (batch, x, y, z) in a random order."""
    cells = random.integers(lowest, lowest + extent, (n, 4))
    cells[:, 0] = random.integers(0, 2, n)
    return [tuple(map(int, cell)) for cell in random.permutation(np.unique(cells, axis=0))]


def tensor_of(cells, feats, version, stride=1):
    coords = torch.tensor(cells, dtype=torch.int)
    if version != "2.1":
        coords = torch.cat([coords[:, 1:] * stride, coords[:, :1]], dim=1)
    return torchsparse.SparseTensor(feats, coords, stride)


def cells_of(x, version):
    coords = x.C.tolist()
    if version == "2.1":
        return [tuple(c) for c in coords]
    steps = x.s
    assert all(v % s == 0 for c in coords for v, s in zip(c, steps))
    return [(c[3], *(v // s for v, s in zip(c, steps))) for c in coords]


def expected(cells, size, stride, padding, version, mode):
    if version == "2.1":
        return oracle.from_2_1(cells, size, stride, [padding] * 3, mode is not None, mode == "minkowski")
    return oracle.before_2_1(cells, size, stride, version)


def layer(random, size, stride, padding, version, channels=(3, 4), **options):
    if version == "2.1":
        options["padding"] = padding
    module = spnn.Conv3d(*channels, size, stride, bias=True, **options)
    with torch.no_grad():
        module.kernel.copy_(torch.from_numpy(random.standard_normal(module.kernel.shape).astype(np.float32)))
    return module


def mixed(values):
    return (values * torch.arange(1.0, values.numel() + 1).view_as(values).sin()).sum()


def weights_of(module):
    return module.kernel if module.kernel.dim() == 3 else module.kernel.unsqueeze(0)


@pytest.mark.parametrize("lowest", [0, -3])
@pytest.mark.parametrize("size,stride,padding", WINDOWS)
def test_layers_there_and_back(random, rules, size, stride, padding, lowest):
    version, mode = rules
    cells = scattered(random, lowest)
    feats = torch.from_numpy(random.standard_normal((len(cells), 3)).astype(np.float32)).requires_grad_()
    down = layer(random, size, stride, padding, version)
    up = layer(random, size, stride, padding, version, (4, 2), transposed=True)
    x = tensor_of(cells, feats, version, stride=2)
    y = down(x)
    coarse, offsets = expected(cells, size, stride, padding, version, mode)
    found = cells_of(y, version)
    assert y.s == tuple(2 * s for s in stride)
    assert len(found) == len(coarse) and set(found) == coarse
    if max(stride) == 1:
        assert y.C is x.C
    truth = oracle.convolved(cells, feats, weights_of(down), found, offsets, stride) + down.bias
    torch.testing.assert_close(y.F, truth, atol=1e-4, rtol=1e-4)
    parts = [(y.F, truth)]
    if size != (1, 1, 1) or max(stride) > 1:
        z = up(y)
        back = oracle.convolved_back(cells, found, truth, weights_of(up), offsets, stride) + up.bias
        assert cells_of(z, version) == cells and z.s == (2, 2, 2)
        torch.testing.assert_close(z.F, back, atol=1e-4, rtol=1e-4)
        parts.append((z.F, back))
    given = [feats, down.kernel, down.bias, *([up.kernel, up.bias] if len(parts) == 2 else [])]
    gradients = []
    for side in range(2):
        total = sum(mixed(part[side]) for part in parts)
        gradients.append(torch.autograd.grad(total, given, allow_unused=True))
    for ours, theirs in zip(*gradients):
        theirs = torch.zeros_like(ours) if theirs is None else theirs
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_spatial_range_and_generated_voxels(random):
    cells = [(0, *cell) for cell in {tuple(map(int, c)) for c in random.integers(0, 4, (12, 3))}]
    feats = torch.from_numpy(random.standard_normal((len(cells), 3)).astype(np.float32))
    size, stride, extent = (3, 3, 3), (2, 2, 2), (9, 9, 8)
    F.set_global_conv_config({"kmap_mode": "hashmap"})
    try:
        x = torchsparse.SparseTensor(feats, torch.tensor(cells, dtype=torch.int), 4, spatial_range=(1, *extent))
        module = layer(random, size, stride, 0, "2.1", transposed=True, generative=True)
        y = module(x)
    finally:
        F.clear_global_conv_config()
    offsets = oracle.ordered_offsets([-1] * 3, size)
    made = {oracle.fine_cell(cell, stride, offset) for cell in cells for offset in offsets}
    made = {(c[0], *(min(max(v, 0), end - 1) for v, end in zip(c[1:], extent))) for c in made}
    found = [tuple(c) for c in y.C.tolist()]
    assert set(found) == made and len(found) == len(made) and y.s == (2, 2, 2)
    rows = {oracle.fine_cell(cell, stride, (0, 0, 0)): row for row, cell in enumerate(cells)}
    for row, cell in enumerate(found):
        total = module.bias.detach().clone()
        for k, offset in enumerate(offsets):
            of = rows.get(oracle.shifted(cell, offset))
            if of is not None:
                total = total + feats[of] @ module.kernel[k].detach()
        torch.testing.assert_close(y.F[row].detach(), total, atol=1e-4, rtol=1e-4)


def test_an_extent_bounds_strided_layers():
    cells = [(0, 4, 0, 0), (0, 0, 4, 2)]
    for extent, highest in (((6, 7, 6), (1, 2, 1)), ((7, 6, 7), (2, 1, 2))):
        feats, coords = torch.ones(2, 3), torch.tensor(cells, dtype=torch.int)
        y = spnn.Conv3d(3, 2, 3, 2)(torchsparse.SparseTensor(feats, coords, spatial_range=(1, *extent)))
        assert y.spatial_range == (1, *(high + 1 for high in highest))
        taps, stride = oracle.ordered_offsets([0] * 3, (3, 3, 3)), (2, 2, 2)
        inside = lambda _, c: all(0 <= v <= high for v, high in zip(c[1:], highest))
        reached = oracle.reached(cells, [tuple(-t for t in tap) for tap in taps], stride, inside)
        assert {tuple(c) for c in y.C.tolist()} == reached


def test_maps_are_shared_and_told_apart(random):
    cells = scattered(random)
    x = tensor_of(cells, torch.randn(len(cells), 3), "2.1")
    first, second = layer(random, (3, 3, 3), (2, 2, 2), 1, "2.1"), layer(random, (3, 3, 3), (2, 2, 2), 1, "2.1")
    a, b = first(x), second(x)
    assert a.C is b.C and len(x._caches.kmaps) == 1
    back = layer(random, (2, 2, 2), (2, 2, 2), 0, "2.1", (4, 2), transposed=True)
    with pytest.raises(ValueError, match=r"\[conv3d\] expects a convolution of window \(2, 2, 2\) and stride"):
        back(a)
    with pytest.raises(ValueError, match="repeated"):
        first(tensor_of(cells + cells[:1], torch.randn(len(cells) + 1, 3), "2.1"))
    with pytest.raises(ValueError, match="coords expects int32"):
        first(torchsparse.SparseTensor(torch.randn(4, 3), torch.randn(4, 4)))
    with torchsparse.following("1.4"), pytest.raises(ValueError, match="multiples"):
        first(torchsparse.SparseTensor(torch.randn(1, 3), torch.ones(1, 4, dtype=torch.int), 2))
    with pytest.raises(ValueError, match="version"):
        torchsparse.set_version("3")
    assert torchsparse.__version__ == "2.1.0"


def test_a_voxel_at_an_even_highest_coordinate_has_no_parent_in_2_1():
    cells, down = [(0, 0, 0, 0), (0, 4, 4, 4)], spnn.Conv3d(1, 1, 2, 2)
    assert down(tensor_of(cells, torch.ones(2, 1), "2.1")).C.tolist() == [[0, 0, 0, 0]]
    with torchsparse.following("1.4"):
        assert len(down(tensor_of(cells, torch.ones(2, 1), "1.4")).C) == 2


def test_parameters_are_torchsparses():
    kernels = {(1, 1): (3, 4), (2, 2): (8, 3, 4), (3, 1): (27, 3, 4)}
    for (size, stride), shape in kernels.items():
        state = spnn.Conv3d(3, 4, size, stride, bias=True).state_dict()
        assert {name: tuple(value.shape) for name, value in state.items()} == {"kernel": shape, "bias": (4,)}
    assert spnn.Conv3d(3, 4, 1, 2).kernel.shape == (1, 3, 4)
    with torchsparse.following("1.4"):
        assert spnn.Conv3d(3, 4, 1, 2).kernel.shape == (3, 4)
        assert spnn.Conv3d(3, 4, 3, 1, 2).dilation == 2
    assert spnn.Conv3d(3, 4, 3, 2, 1).padding == (1, 1, 1)
    assert list(spnn.BatchNorm(3).state_dict()) == list(torch.nn.BatchNorm1d(3).state_dict())


def test_kept_weights_follow_their_changes(random):
    cells = scattered(random)
    module = layer(random, (3, 3, 3), (1, 1, 1), 0, "2.1").eval()
    x = tensor_of(cells, torch.randn(len(cells), 3), "2.1")
    with torch.no_grad():
        module(x)
        module.kernel.mul_(2)
        again = module(x).F
    offsets = oracle.ordered_offsets([-1] * 3, (3, 3, 3))
    truth = oracle.convolved(cells, x.F, module.kernel, cells, offsets, (1, 1, 1)) + module.bias
    torch.testing.assert_close(again, truth, atol=1e-4, rtol=1e-4)


def test_voxels_of_no_rows():
    x = torchsparse.SparseTensor(torch.zeros(0, 3), torch.zeros(0, 4, dtype=torch.int))
    y = spnn.Conv3d(3, 4, 2, 2)(spnn.Conv3d(3, 3, 3)(x))
    assert y.F.shape == (0, 4) and y.C.shape == (0, 4)
