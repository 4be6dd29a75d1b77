"""Every layer of voxshift.torch.spconv, forward and gradients, against loops over cells."""

import numpy as np
import pytest
import spconv_oracle as oracle

torch = pytest.importorskip("torch", reason="PyTorch is not installed: Debian's python3-torch")

from voxshift.torch import spconv  # noqa: E402

SHAPES = {1: (23,), 2: (9, 8), 3: (6, 5, 7), 4: (4, 3, 5, 4)}


class Input:
    """Two batches of cells in no order, and features."""

    def __init__(self, random, dims, channels=3, rows=40):
        self.shape = SHAPES[dims]
        cells = {(int(random.integers(2)), *map(int, random.integers(0, self.shape))) for _ in range(rows)}
        self.cells = [tuple(cell) for cell in random.permutation(sorted(cells)).tolist()]
        self.feats = torch.from_numpy(random.standard_normal((len(cells), channels), np.float32)).requires_grad_()
        self.tensor = spconv.SparseConvTensor(self.feats, torch.tensor(self.cells, dtype=torch.int32), self.shape, 2)


def check_close(found, expected):
    assert found.shape == expected.shape
    assert (found.detach().double() - expected.detach()).abs().max() <= 1e-4 * max(1, expected.detach().abs().max())


def check(random, given, out, expected, leaves):
    """Equal features and, for one upstream gradient, gradients. leaves: (float32 leaf, its float64 twin)."""
    check_close(out, expected)
    upstream = torch.from_numpy(random.standard_normal(tuple(out.shape)))
    found = torch.autograd.grad(out, [leaf for leaf, _ in leaves], upstream.float())
    wanted = torch.autograd.grad(expected, [twin for _, twin in leaves], upstream)
    for mine, theirs in zip(found, wanted):
        check_close(mine, theirs)


def twins(*leaves):
    return [(leaf, leaf.detach().double().requires_grad_()) for leaf in leaves]


def taps_first(weight):
    """[taps, in, out] of spconv 2's [out, *kernel, in]."""
    return weight.flatten(1, -2).permute(1, 2, 0)


def per_axis(value, dims):
    return list(value)[:dims] if isinstance(value, tuple) else [value] * dims


@pytest.mark.parametrize("dims", [1, 2, 3, 4])
@pytest.mark.parametrize("kernel, dilation", [(3, 1), (5, 1), (3, 2), ((3, 1, 3, 1), 1), ((1, 3, 3, 1), (1, 2, 1, 1))])
def test_submanifold(random, dims, kernel, dilation):
    given = Input(random, dims)
    kernel, dilation = per_axis(kernel, dims), per_axis(dilation, dims)
    if dims == 4 and kernel == [5] * 4:
        kernel = [5, 3, 1, 3]
    if kernel == [1]:
        kernel = [7]
    layer = getattr(spconv, f"SubMConv{dims}d")(3, 4, kernel, dilation=dilation)
    out = layer(given.tensor)
    assert out.indices is given.tensor.indices and out.spatial_shape == list(given.shape)
    (x, w, b) = leaves = twins(given.feats, layer.weight, layer.bias)
    pairs = oracle.submanifold(given.cells, kernel, dilation)
    expected = oracle.convolved(x[1], taps_first(w[1]), pairs, len(given.cells)) + b[1]
    check(random, given, out.features, expected, leaves)


WINDOWS = [
    # kernel, stride, padding, dilation
    (1, 2, 0, 1),
    (2, 2, 0, 1),
    (3, 2, 1, 1),
    (3, 1, 1, 1),
    (3, 1, 0, 2),
    (4, 2, 1, 1),
    (5, 2, 2, 1),
    ((3, 1, 3, 1), (2, 1, 1, 2), (1, 0, 1, 0), 1),
    ((1, 3, 2, 2), (1, 2, 2, 1), (0, 1, 0, 1), (1, 1, 2, 1)),
]


def windows(dims, window):
    kernel, stride, padding, dilation = (per_axis(value, dims) for value in window)
    if dims == 4:
        kernel = [min(k, 3) for k in kernel]
    return kernel, stride, padding, dilation


@pytest.mark.parametrize("dims", [1, 2, 3, 4])
@pytest.mark.parametrize("window", WINDOWS)
def test_strided_and_back(random, dims, window):
    kernel, stride, padding, dilation = window = windows(dims, window)
    if kernel == [1] * dims and stride == [1] * dims:
        kernel[-1] = 2
    if any(n + 2 * p < d * (k - 1) + 1 for n, k, p, d in zip(SHAPES[dims], kernel, padding, dilation)):
        pytest.skip("the window does not fit")
    given = Input(random, dims)
    down = getattr(spconv, f"SparseConv{dims}d")(3, 4, *window, bias=True, indice_key="down")
    up = getattr(spconv, f"SparseInverseConv{dims}d")(4, 2, kernel, indice_key="down", bias=False)
    coarse = down(given.tensor)
    outputs, pairs, extent = oracle.strided(given.cells, given.shape, *window)
    assert coarse.indices.tolist() == [list(cell) for cell in outputs] and coarse.spatial_shape == extent
    if kernel == [1] * dims:  # an inverse layer of one tap is a product that stays
        assert up(coarse).indices is coarse.indices
        (x, w, b) = leaves = twins(given.feats, down.weight, down.bias)
        expected = oracle.convolved(x[1], taps_first(w[1]), pairs, len(outputs)) + b[1]
        return check(random, given, coarse.features, expected, leaves)
    fine = up(coarse)
    assert torch.equal(fine.indices, given.tensor.indices) and fine.spatial_shape == list(given.shape)
    (x, w, b, v) = leaves = twins(given.feats, down.weight, down.bias, up.weight)
    expected = oracle.convolved(x[1], taps_first(w[1]), pairs, len(outputs)) + b[1]
    check_close(coarse.features, expected)
    expected = oracle.convolved(expected, taps_first(v[1]), oracle.swapped(pairs), len(given.cells))
    check(random, given, fine.features, expected, leaves)


@pytest.mark.parametrize("dims", [1, 2, 3, 4])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("more", [0, 1])
def test_transposed(random, dims, window, more):
    window = windows(dims, window)
    if window[0] == [1] * dims and window[1] == [1] * dims:
        window[0][-1] = 2
    given = Input(random, dims, rows=15)
    layer = spconv.SparseConvolution(dims, 3, 4, *window, transposed=True, output_padding=more)
    if more == 0:
        layer = getattr(spconv, f"SparseConvTranspose{dims}d")(3, 4, *window)
    out = layer(given.tensor)
    outputs, pairs, extent = oracle.transposed(given.cells, given.shape, *window, [more] * dims)
    assert out.indices.tolist() == [list(cell) for cell in outputs] and out.spatial_shape == extent
    (x, w, b) = leaves = twins(given.feats, layer.weight, layer.bias)
    expected = oracle.convolved(x[1], taps_first(w[1]), pairs, len(outputs)) + b[1]
    check(random, given, out.features, expected, leaves)


@pytest.mark.parametrize("kind", ["SubMConv3d", "SparseConv3d"])
@pytest.mark.parametrize("outputs", [3, 5])
def test_one_tap_reads_its_weight_as_inputs_by_outputs(random, kind, outputs):
    given = Input(random, 3)
    layer = getattr(spconv, kind)(3, outputs, 1)
    assert layer.weight.shape == (outputs, 1, 1, 1, 3)
    out = layer(given.tensor)
    assert out.indices is given.tensor.indices
    (x, w, b) = leaves = twins(given.feats, layer.weight, layer.bias)
    check(random, given, out.features, x[1] @ w[1].reshape(3, outputs) + b[1], leaves)


@pytest.mark.parametrize("dims", [1, 2, 3, 4])
@pytest.mark.parametrize("how, kind", [("max", "SparseMaxPool"), ("mean", "SparseAvgPool")])
@pytest.mark.parametrize("window", [(2, 2, 0, 1), (3, 2, 1, 1), (3, 1, 1, 1), (2, 1, 0, 2)])
def test_pools(random, dims, how, kind, window):
    window = windows(dims, window)
    given = Input(random, dims)
    layer = getattr(spconv, f"{kind}{dims}d")(*window, indice_key="pool")
    out = layer(given.tensor)
    outputs, pairs, extent = oracle.strided(given.cells, given.shape, *window)
    assert out.indices.tolist() == [list(cell) for cell in outputs] and out.spatial_shape == extent
    leaves = twins(given.feats)
    check(random, given, out.features, oracle.pooled(leaves[0][1], pairs, len(outputs), how), leaves)
    back = getattr(spconv, f"SparseInverseConv{dims}d")(3, 2, window[0], indice_key="pool", bias=False)
    expected = oracle.convolved(
        out.features.double(), taps_first(back.weight.double()), oracle.swapped(pairs), len(given.cells)
    )
    check_close(back(out).features, expected)


def test_a_pool_takes_its_kernel_for_the_stride():
    assert spconv.SparseMaxPool3d(2).stride == [2, 2, 2]
    assert spconv.SparseMaxPool(3, 3).stride == [1, 1, 1]


@pytest.mark.parametrize("how, layer", [("max", spconv.SparseGlobalMaxPool()), ("mean", spconv.SparseGlobalAvgPool())])
def test_global_pools_give_a_row_per_batch(random, how, layer):
    given = Input(random, 3)
    given.tensor.batch_size = 4
    out = layer(given.tensor)
    (x,) = leaves = twins(given.feats)
    rows = [x[1][[i for i, cell in enumerate(given.cells) if cell[0] == batch]] for batch in (0, 1)]
    expected = torch.stack([r.max(0).values if how == "max" else r.mean(0) for r in rows])
    expected = torch.cat([expected, torch.zeros(2, 3)])
    check(random, given, out, expected, leaves)


def test_submanifold_layers_of_a_key_share_a_map(random):
    given = Input(random, 3)
    first = spconv.SubMConv3d(3, 4, 3, indice_key="a", bias=False)
    second = spconv.SubMConv3d(4, 2, 3, indice_key="a", bias=False)
    middle = first(given.tensor)
    data = middle.find_indice_pair("a")
    assert data.is_subm and data.ksize == [3, 3, 3] and given.tensor.find_indice_pair("a") is None
    pairs = sorted(oracle.submanifold(given.cells, [3] * 3, [1] * 3))
    found, count = data.indice_pairs, data.indice_pair_num
    listed = [(k, int(i), int(o)) for k in range(27) for i, o in found[:, k, : count[k]].t()]
    assert sorted(listed) == pairs and int((found >= 0).sum()) == 2 * len(pairs)
    (x, w, v) = leaves = twins(given.feats, first.weight, second.weight)
    expected = oracle.convolved(x[1], taps_first(w[1]), pairs, len(given.cells))
    expected = oracle.convolved(expected, taps_first(v[1]), pairs, len(given.cells))
    check(random, given, second(middle).features, expected, leaves)


def test_the_same_bits_for_any_order_of_rows_and_number_of_threads(random):
    import voxshift as vs

    given = Input(random, 3, rows=80)
    layers = spconv.SparseSequential(
        spconv.SubMConv3d(3, 8, 3, indice_key="a"), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), spconv.SparseConv3d(8, 4, 3, 2, 1)
    ).eval()
    order = torch.from_numpy(random.permutation(len(given.cells)))
    turned = spconv.SparseConvTensor(given.feats[order], given.tensor.indices[order], given.shape, 2)
    first = layers(given.tensor).features
    vs.set_num_threads(1)
    assert torch.equal(layers(turned).features, first)


def test_features_of_half_precision_are_computed_in_float32(random):
    given = Input(random, 3)
    layer = spconv.SubMConv3d(3, 4, 3).half()
    x = given.tensor.replace_feature(given.feats.half())
    out = layer(x).features
    assert out.dtype == torch.float16
    wide = spconv.SubMConv3d(3, 4, 3)
    wide.load_state_dict(layer.float().state_dict())
    assert torch.equal(out, wide(given.tensor.replace_feature(given.feats.half().float())).features.half())


@pytest.mark.parametrize("kind, dims", [("SubMConv", 2), ("SparseConv", 3), ("SparseConvTranspose", 1)])
def test_tensors_without_rows_go_through(kind, dims):
    layer = getattr(spconv, f"{kind}{dims}d")(3, 4, 3)
    feats = torch.zeros(0, 3, requires_grad=True)
    x = spconv.SparseConvTensor(feats, torch.zeros(0, 1 + dims, dtype=torch.int32), [9] * dims, 1)
    out = spconv.SparseSequential(layer, torch.nn.BatchNorm1d(4))(x)
    assert out.features.shape == (0, 4) and out.dense().shape == (1, 4, *out.spatial_shape)
    out.features.sum().backward()
    assert feats.grad.shape == (0, 3)
