"""The SparseConvTensor of voxshift.torch.spconv, its containers, tables and bad input."""

from collections import OrderedDict

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: Debian's python3-torch")

from torch import nn  # noqa: E402
from voxshift.torch import spconv  # noqa: E402


def tensor_of(random, channels=3, rows=30, shape=(6, 5, 7)):
    cells = np.unique(np.stack([random.integers(0, n, rows) for n in (2, *shape)], 1), axis=0)
    cells = torch.from_numpy(random.permutation(cells).astype(np.int32))
    feats = torch.from_numpy(random.standard_normal((len(cells), channels), np.float32))
    return spconv.SparseConvTensor(feats, cells, shape, 2)


def test_features_and_indices_are_the_tensors_that_were_given(random):
    x = tensor_of(random)
    feats, indices = x.features, x.indices
    spconv.SubMConv3d(3, 3, 3)(x)
    y = x.replace_feature(feats * 2)
    assert torch.equal(x.features, feats) and x.indices is indices and y.indices is indices
    assert y.indice_dict is x.indice_dict and y.spatial_shape == x.spatial_shape and y.batch_size == 2
    z = x.shadow_copy()
    assert z is not x and torch.equal(z.features, feats) and z.indices is indices
    x.features = feats + 1
    assert torch.equal(x.features, feats + 1) and torch.equal(z.features, feats)
    assert x.sparity == len(indices) / (6 * 5 * 7) / 2 and x.spatial_size == 210
    assert repr(x) == f"SparseConvTensor[shape=torch.Size([{len(feats)}, 3])]"


def test_dense_holds_features_at_their_cells(random):
    for shape in ((9,), (4, 6), (6, 5, 7), (3, 4, 3, 2)):
        x = tensor_of(random, shape=shape)
        expected = torch.zeros(2, *shape, 3)
        for row, cell in enumerate(x.indices.tolist()):
            expected[tuple(cell)] = x.features[row]
        assert torch.equal(x.dense(channels_first=False), expected)
        assert torch.equal(x.dense(), expected.movedim(-1, 1)) and x.dense().is_contiguous()
        x.rows().sorted  # noqa: B018  the other order is at hand
        assert torch.equal(spconv.ToDense()(x), expected.movedim(-1, 1))
        back = spconv.SparseConvTensor.from_dense(expected)
        assert torch.equal(back.dense(False), expected) and back.indices.tolist() == sorted(x.indices.tolist())


def test_dense_has_gradients(random):
    x = tensor_of(random)
    feats = x.features.clone().requires_grad_()
    factors = torch.from_numpy(random.random((2, 3, 6, 5, 7), np.float32))
    (x.replace_feature(feats).dense() * factors).sum().backward()
    for row, (b, z, y, x_) in enumerate(x.indices.tolist()):
        assert torch.equal(feats.grad[row], factors[b, :, z, y, x_])


def test_rows_may_be_selected_and_indices_replaced(random):
    x = tensor_of(random)
    picked = x.select_by_index(torch.arange(0, len(x.indices), 2))
    assert torch.equal(picked.features, x.features[::2]) and torch.equal(picked.indices, x.indices[::2])
    layer = spconv.SubMConv3d(3, 3, 3)
    keyed = spconv.SubMConv3d(3, 3, 3, indice_key="a")(x)
    assert keyed.indice_dict and not keyed.select_by_index(torch.arange(3)).indice_dict
    strided = spconv.SparseConv3d(3, 3, 3, 1, 1)
    rows = len(strided(x).indices)
    x.spatial_shape = [7, 6, 8]
    assert strided(x).spatial_shape == [7, 6, 8] and len(strided(x).indices) > rows
    x.spatial_shape = [6, 5, 7]
    x.indices = torch.flip(x.indices, [0])
    expected = layer(spconv.SparseConvTensor(x.features.flip(0), x.indices.flip(0), x.spatial_shape, 2))
    assert torch.equal(layer(x).features, expected.features.flip(0))
    before = layer(x)
    x.indices[:, 1] += 1
    x.spatial_shape = [7, 5, 7]
    assert torch.equal(layer(x).features, before.features)
    flat = spconv.SparseConv3d(3, 3, (1, 1, 2))
    assert flat(x).indices[:, 1].min() == x.indices[:, 1].min() > 0
    x.indices[:, 1] -= 1
    assert flat(x).indices[:, 1].min() == x.indices[:, 1].min()


def test_sums(random):
    x = tensor_of(random)
    conv = spconv.SubMConv3d(3, 3, 3)
    y = conv(x)
    for total in (x + y, y + x, spconv.AddTable()([x, y]), spconv.AddTable()([y, x]), y + x.features):
        assert torch.equal(total.features, x.features + y.features) and total.indices is x.indices
    z = y.replace_feature(y.features)
    z.rows()  # on the cells, in the given order
    assert torch.equal((y + z).features, 2 * y.features) and torch.equal((z + y).features, 2 * y.features)
    joined = spconv.JoinTable()([y, x, y])
    assert torch.equal(joined.features, torch.cat([y.features, x.features, y.features], 1))
    assert torch.equal(conv(x.replace_feature(x.features)).minus().features, -y.features)
    y += x
    assert torch.equal(y.features, (x + conv(x)).features)


def test_sums_of_different_indices(random):
    a, b = tensor_of(random), tensor_of(random)
    leaves = [x.features.clone().requires_grad_() for x in (a, b)]
    out = spconv.AddTableMisaligned()([a.replace_feature(leaves[0]), b.replace_feature(leaves[1])])
    rows = {}
    for x in (a, b):
        for cell, feats in zip(x.indices.tolist(), x.features):
            rows[tuple(cell)] = rows.get(tuple(cell), 0) + feats
    assert out.indices.tolist() == [list(cell) for cell in sorted(rows)]
    torch.testing.assert_close(out.features.detach(), torch.stack([rows[cell] for cell in sorted(rows)]))
    factors = torch.from_numpy(random.random(tuple(out.features.shape), np.float32))
    (out.features * factors).sum().backward()
    place = {tuple(cell): i for i, cell in enumerate(out.indices.tolist())}
    for x, leaf in zip((a, b), leaves):
        assert torch.equal(leaf.grad, factors[[place[tuple(cell)] for cell in x.indices.tolist()]])


def test_sums_keep_the_maps_of_the_largest(random):
    x = spconv.SubMConv3d(3, 3, 3, indice_key="kept")(tensor_of(random))
    same = spconv.functional.sparse_add(x, x.replace_feature(x.features))
    assert same.find_indice_pair("kept") is not None
    assert spconv.functional.sparse_add(x, tensor_of(random)).find_indice_pair("kept") is None


def test_sequential_takes_modules_in_every_form(random):
    conv, relu = spconv.SubMConv3d(3, 4, 3), nn.ReLU()
    seq = spconv.SparseSequential(OrderedDict([("c", conv), ("r", relu)]))
    assert len(seq) == 2 and seq[0] is conv and seq[-1] is relu and list(seq) == [conv, relu]
    seq.add(nn.Linear(4, 2), name="last")
    seq.add(nn.Identity())
    assert list(seq._modules) == ["c", "r", "last", "3"]
    named = spconv.SparseSequential(c=conv, r=relu)
    assert [name for name, _ in named.named_children()] == ["c", "r"]
    x = tensor_of(random)
    assert torch.equal(named(x).features, torch.relu(conv(x).features))
    with pytest.raises(IndexError):
        seq[5]
    with pytest.raises(KeyError):
        seq.add(relu, name="c")
    spconv.assign_name_for_sparse_modules(seq)
    assert seq.c._sparse_unique_name == "c"


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_and_relu_are_torchs(random, training):
    x = tensor_of(random)
    conv = spconv.SubMConv3d(3, 4, 3)
    norm, other = nn.BatchNorm1d(4, eps=1e-3, momentum=0.01), nn.BatchNorm1d(4, eps=1e-3, momentum=0.01)
    seq = spconv.SparseSequential(conv, norm, nn.ReLU()).train(training)
    other.train(training)
    for _ in range(2):
        found, expected = seq(x).features, torch.relu(other(conv(x).features))
        torch.testing.assert_close(found, expected)
    factors = torch.from_numpy(random.random(tuple(found.shape), np.float32))
    gradients = torch.autograd.grad((found * factors).sum(), (conv.weight, norm.weight, norm.bias))
    wanted = torch.autograd.grad((expected * factors).sum(), (conv.weight, other.weight, other.bias))
    for mine, theirs in zip(gradients, wanted):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
    for (name, mine), theirs in zip(norm.state_dict().items(), other.state_dict().values()):
        torch.testing.assert_close(mine, theirs, msg=name)


@pytest.mark.parametrize("layer", [(spconv.SubMConv3d, 3), (spconv.SparseConv3d, 3, 2, 1), (spconv.SubMConv3d, 1)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("relu", [True, False])
def test_inference_folds_batch_norm_into_the_convolution(random, layer, bias, relu):
    x = tensor_of(random)
    kind, *window = layer
    conv, norm = kind(3, 4, *window, bias=bias), nn.BatchNorm1d(4)
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        tensor.data.copy_(torch.from_numpy(random.uniform(0.2, 2, 4)))
    seq = spconv.SparseSequential(conv, norm, *([nn.ReLU()] if relu else []), nn.Identity()).eval()
    expected = seq(x)
    with torch.no_grad():
        found = seq(x)
    assert not found.features.requires_grad and torch.equal(found.indices, expected.indices)
    torch.testing.assert_close(found.features, expected.features.detach())
    conv.weight.data.mul_(2)
    norm.running_mean.add_(1)
    with torch.no_grad():
        torch.testing.assert_close(seq(x).features, seq.requires_grad_()(x).features)
        plain = norm(conv(x).features)
        torch.testing.assert_close(seq(x).features, torch.relu(plain) if relu else plain)


def test_batch_norm_in_training_is_not_folded(random):
    x = tensor_of(random)
    conv, norm, other = spconv.SubMConv3d(3, 4, 3), nn.BatchNorm1d(4), nn.BatchNorm1d(4)
    with torch.no_grad():
        torch.testing.assert_close(spconv.SparseSequential(conv, norm)(x).features, other(conv(x).features))
        torch.testing.assert_close(norm.running_mean, other.running_mean)


def test_hooks_of_fused_modules_are_called(random):
    seen = []
    seq = spconv.SparseSequential(spconv.SubMConv3d(3, 4, 3), nn.BatchNorm1d(4), nn.ReLU())
    for module in seq:
        module.register_forward_hook(lambda module, *_: seen.append(type(module).__name__))
    seq(tensor_of(random))
    assert seen == ["SubMConv3d", "BatchNorm1d", "ReLU"]


def test_modules_that_mix_rows_see_them_in_the_given_order(random):
    class Shifted(nn.Module):
        def forward(self, feats):
            return feats.roll(1, 0)

    x = tensor_of(random)
    conv = spconv.SubMConv3d(3, 4, 3)
    assert torch.equal(spconv.SparseSequential(conv, Shifted())(x).features, conv(x).features.roll(1, 0))


def test_sparse_forms_of_torchs_modules(random):
    x = tensor_of(random)
    norm = spconv.SparseBatchNorm(3).eval()
    for module in (spconv.SparseReLU(), spconv.SparseIdentity(), norm):
        assert torch.equal(module(x).features, module(x.features))
    assert torch.equal(spconv.SparseSequential(spconv.SparseReLU())(x).features, torch.relu(x.features))
    assert spconv.Identity()(x) is x and spconv.RemoveGrid()(x).grid is None
    table = spconv.ConcatTable().add(spconv.Identity()).add(spconv.SparseReLU())
    assert table(x)[0] is x and torch.equal(table(x)[1].features, torch.relu(x.features))
    assert table.input_spatial_size([4]) == [4]


def test_bad_input_is_refused(random):
    x = tensor_of(random)
    f, i = x.features, x.indices
    for bad, message in (
        (lambda: spconv.SparseConvTensor(f, i.long(), x.spatial_shape, 2), "indices expect int32, found int64"),
        (lambda: spconv.SparseConvTensor(f, i, [6, 5], 2), r"indices \[N, 1 \+ 2\]"),
        (lambda: spconv.SparseConvTensor(f, i, x.spatial_shape, 0), "batch_size expects at least 1"),
        (lambda: spconv.SparseConvTensor(f.to("meta"), i, x.spatial_shape, 2), "on the CPU or on CUDA, found one on meta"),
        (lambda: spconv.SubMConv3d(4, 2, 3)(x), "expects 4 channels, the tensor has 3"),
        (lambda: spconv.SubMConv3d(3, 2, 3)(f), "expects a SparseConvTensor of voxshift.torch.spconv, found torch.Tensor"),
        (lambda: spconv.SubMConv3d(3, 2, 2)(x), "expects odd kernels"),
        (lambda: spconv.SubMConv3d(3, 2, 3)(x.replace_feature(f[1:])), f"{len(i)} coordinates, but {len(i) - 1} rows"),
        (lambda: spconv.SubMConv3d(3, 4, 3, groups=2), "groups expects 1"),
        (lambda: spconv.SparseConv3d(3, 4, 1, padding=1), "expects no padding"),
        (lambda: spconv.SparseConv3d(3, 4, (3, 3)), "expects 1 or 3 numbers"),
        (lambda: spconv.SparseInverseConv3d(3, 2, 3, "no")(x), "no layer before .* 'no'"),
        (lambda: spconv.JoinTable()([x, x.select_by_index(torch.arange(3))]), "expects tensors on the same indices"),
        (lambda: spconv.functional.sparse_add(x, x.replace_feature(f[:, :2])), "3 and 2 channels"),
    ):
        with pytest.raises(ValueError, match=message):
            bad()
    twice = spconv.SparseConvTensor(torch.cat([f, f[:1]]), torch.cat([i, i[:1]]), x.spatial_shape, 2)
    with pytest.raises(ValueError, match="1 repeated coordinates"):
        spconv.SubMConv3d(3, 2, 3)(twice)
    with pytest.raises(ValueError, match="shape allows"):
        spconv.SubMConv3d(3, 2, 3)(spconv.SparseConvTensor(f, i, [2, 2, 2], 2))
    with pytest.raises(ValueError, match="column 1 expect 0..1"):
        spconv.SparseConvTensor(f, i, [2, 2, 2], 2).dense()


def test_keys_are_not_shared_by_layers_that_differ(random):
    x = tensor_of(random)
    y = spconv.SubMConv3d(3, 3, 3, indice_key="a")(x)
    down = spconv.SparseConv3d(3, 3, 3, 2, indice_key="b")(y)
    for layer, given, message in (
        (spconv.SubMConv3d(3, 3, (1, 3, 3), indice_key="a"), y, "same kernel size"),
        (spconv.SubMConv3d(3, 3, 3, dilation=2, indice_key="a"), y, "same dilation"),
        (spconv.SubMConv3d(3, 3, 3, indice_key="a"), down, "same spatial shape"),
        (spconv.SparseConv3d(3, 3, 3, 2, indice_key="a"), y, "submanifold layers alone share maps"),
        (spconv.SparseConv3d(3, 3, 3, 2, indice_key="b"), down, "submanifold layers alone share maps"),
        (spconv.SparseInverseConv3d(3, 3, 3, indice_key="a"), y, "goes back on a strided one"),
        (spconv.SparseInverseConv3d(3, 3, 2, indice_key="b"), down, "same kernel size"),
        (spconv.SparseMaxPool3d(2, indice_key="b"), down, "of another layer"),
    ):
        with pytest.raises(ValueError, match=message):
            layer(given)
