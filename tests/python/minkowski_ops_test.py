"""voxshift.torch.minkowski beside its convolutions, against MinkowskiEngine's rules as plain loops; whole networks."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: Debian's python3-torch")

import minkowski_oracle as oracle  # noqa: E402
import voxshift.torch.minkowski as ME  # noqa: E402
import voxshift.torch.minkowski.MinkowskiFunctional as MEF  # noqa: E402
from minkowski_conv_test import check, places_of, scattered, tensor  # noqa: E402

POOLS = {"sum": ME.MinkowskiSumPooling, "mean": ME.MinkowskiAvgPooling, "max": ME.MinkowskiMaxPooling}


@pytest.mark.parametrize("reduce", POOLS)
@pytest.mark.parametrize("dims,size,stride", [(1, 2, 2), (2, 3, 1), (3, 3, 2), (3, 2, 2), (3, 3, 3), (3, 5, 2), (4, 2, 2)])
def test_local_pooling(random, reduce, dims, size, stride):
    places = scattered(random, dims)
    x, feats = tensor(random, places)
    y = POOLS[reduce](kernel_size=size, stride=stride, dimension=dims)(x)
    if size == stride:
        groups = oracle.children_of(places, places_of(y), [stride] * dims)
    else:
        groups = oracle.groups_of(places, places_of(y), oracle.cube([size] * dims))
    check(y, oracle.pooled(feats, groups, reduce), oracle.rounded_down(places, [stride] * dims), feats)


@pytest.mark.parametrize("size,stride", [(2, 2), (3, 2), (3, 3)])
def test_transposed_pooling(random, size, stride):
    places = scattered(random, 3)
    x, feats = tensor(random, places)
    y = ME.MinkowskiAvgPooling(kernel_size=size, stride=stride, dimension=3)(x)
    z = ME.MinkowskiPoolingTranspose(kernel_size=size, stride=stride, dimension=3)(y)
    if size == stride:
        groups = oracle.children_of(places, places_of(y), [stride] * 3)
        parents = {row: parent for parent, rows in enumerate(groups) for row in rows}
        truth = torch.stack([y.F[parents[row]] for row in range(len(places))])
    else:
        weight = torch.eye(3).expand(size**3, 3, 3)
        truth = oracle.transposed(places_of(y), y.F, weight, places, oracle.cube([size] * 3))
    check(z, truth, places, feats)


@pytest.mark.parametrize(
    "module,reduce",
    [
        (ME.MinkowskiGlobalSumPooling, "sum"),
        (ME.MinkowskiGlobalAvgPooling, "mean"),
        (ME.MinkowskiGlobalPooling, "mean"),
        (ME.MinkowskiGlobalMaxPooling, "max"),
    ],
)
def test_global_pooling_and_broadcast(random, module, reduce):
    places = [(2 * place[0] + 1, *place[1:]) for place in scattered(random, 3)]  # batches 1 and 3
    x, feats = tensor(random, places)
    groups = [[row for row, place in enumerate(places) if place[0] == b] for b in (1, 3)]
    y = module()(x)
    truth = oracle.pooled(feats, groups, reduce)
    check(y, truth, [(1, 0, 0, 0), (3, 0, 0, 0)], feats)
    spread = torch.stack([truth[place[0] // 2] for place in places])
    for kind, wanted in (
        (ME.MinkowskiBroadcast, spread),
        (ME.MinkowskiBroadcastAddition, feats + spread),
        (ME.MinkowskiBroadcastMultiplication, feats * spread),
        (ME.MinkowskiBroadcastConcatenation, torch.cat([feats, spread], 1)),
    ):
        check(kind()(x, y), wanted, places, feats)
    assert [len(rows) for rows in x.decomposed_features] == [0, len(groups[0]), 0, len(groups[1])]
    torch.testing.assert_close(x.features_at(3), feats[groups[1]])
    assert x.coordinates_at(1).tolist() == [list(places[row][1:]) for row in groups[0]]


def test_instance_norm(random):
    places = scattered(random, 3)
    x, feats = tensor(random, places)
    module = ME.MinkowskiInstanceNorm(3)
    with torch.no_grad():
        module.weight.copy_(torch.randn(1, 3))
        module.bias.copy_(torch.randn(1, 3))
    batch = torch.tensor([place[0] for place in places])
    truth = torch.zeros_like(feats)
    for b in (0, 1):
        part = feats[batch == b]
        centred = part - part.mean(0)
        truth = truth.index_put((torch.nonzero(batch == b).squeeze(1),), centred / (centred.pow(2).mean(0) + 1e-8).sqrt())
    check(module(x), truth * module.weight + module.bias, places, feats, module.weight, module.bias)


def test_norms_and_activations(random):
    places = scattered(random, 3)
    x, feats = tensor(random, places)
    norm, plain = ME.MinkowskiBatchNorm(3, momentum=0.3), torch.nn.BatchNorm1d(3, momentum=0.3)
    assert list(norm.state_dict()) == [f"bn.{name}" for name in plain.state_dict()]
    check(norm(x), plain(feats), places, feats)
    torch.testing.assert_close(norm.bn.running_var, plain.running_var)
    check(norm.eval()(x), plain.eval()(feats), places, feats)
    for name in ("ReLU", "ELU", "GELU", "SiLU", "Sigmoid", "Tanh", "LeakyReLU", "Hardswish", "PReLU"):
        check(getattr(ME, f"Minkowski{name}")()(x), getattr(torch.nn, name)()(feats), places, feats)
    check(ME.MinkowskiSoftmax(dim=1)(x), feats.softmax(1), places, feats)
    check(MEF.relu(x), feats.relu(), places, feats)
    check(MEF.normalize(x, p=2, dim=1), torch.nn.functional.normalize(feats), places, feats)
    linear = ME.MinkowskiLinear(3, 5)
    assert list(linear.state_dict()) == ["linear.weight", "linear.bias"]
    check(linear(x), linear.linear(feats), places, feats, linear.linear.weight)
    assert torch.equal(ME.MinkowskiDropout(0.5).eval()(x).F, feats)
    converted = ME.MinkowskiSyncBatchNorm.convert_sync_batchnorm(torch.nn.Sequential(norm))
    assert type(converted[0]) is ME.MinkowskiSyncBatchNorm and converted[0].bn is norm.bn
    names = "RReLU SELU CELU Softplus Softshrink Softsign Tanhshrink Threshold Softmin LogSoftmax AlphaDropout Hardtanh"
    assert all(hasattr(ME, f"Minkowski{name}") for name in names.split())


def test_arithmetic_on_the_same_coordinates(random):
    places = scattered(random, 3)
    x, feats = tensor(random, places)
    conv = ME.MinkowskiConvolution(3, 3, kernel_size=3, dimension=3)
    y = conv(x)
    for found, wanted in (
        (x + y, feats + y.F),
        (y - x, y.F - feats),
        (x * y, feats * y.F),
        (y / (x * x + 1.0), y.F / (feats * feats + 1)),
        (x * 2.0, feats * 2),
        (x**2, feats**2),
        (ME.cat(x, y), torch.cat([feats, y.F], 1)),
        (ME.cat([y, x]), torch.cat([y.F, feats], 1)),
        (ME.sum(x, y, y), feats + 2 * y.F),
        (ME.mean(x, y), (feats + y.F) / 2),
        (ME.var(x, y), ((feats - y.F) / 2) ** 2),
    ):
        torch.testing.assert_close(found.F, wanted)
        assert places_of(found) == places
    weights = torch.rand(len(places), 1)
    torch.testing.assert_close((conv(x) * weights).F, y.F * weights)
    torch.testing.assert_close(ME.MinkowskiPruning()(conv(x), weights[:, 0] > 0.5).F, y.F[weights[:, 0] > 0.5])
    y += x
    torch.testing.assert_close(y.F, conv(x).F + feats)
    with pytest.raises(ValueError, match="coordinate manager"):
        x + tensor(random, places)[0]
    with pytest.raises(ValueError, match="same coordinate_map_key"):
        ME.cat(x, ME.MinkowskiConvolution(3, 3, kernel_size=2, stride=2, dimension=3)(x))


def joined(random, n=2):
    """Tensors of one manager on different coordinates: [(tensor, features, places)]."""
    found = []
    for _ in range(n):
        places = scattered(random, 2, n=20)
        manager = found[0][0].coordinate_manager if found else None
        found.append((*tensor(random, places, coordinate_manager=manager), places))
    return found


@pytest.mark.parametrize("operator", ["add", "sub", "mul"])
def test_arithmetic_on_different_coordinates(random, operator):
    (x, feats, places), (y, others, other_places) = joined(random)
    function = getattr(torch, operator)
    z = {"add": x + y, "sub": x - y, "mul": x * y}[operator]
    rows, other_rows = ({p: r for r, p in enumerate(ps)} for ps in (places, other_places))
    lines = []
    for place in places_of(z):
        own = feats[rows[place]] if place in rows else torch.zeros(3)
        lines.append(function(own, others[other_rows[place]]) if place in other_rows else own)
    check(z, torch.stack(lines), set(places) | set(other_places), feats, others)


def test_union_and_pruning(random):
    parts = joined(random, 3)
    y = ME.MinkowskiUnion()(*(x for x, _, _ in parts))
    lines = []
    for place in places_of(y):
        lines.append(sum(feats[places.index(place)] for _, feats, places in parts if place in places))
    every = set().union(*(places for _, _, places in parts))
    check(y, torch.stack(lines), every, *(feats for _, feats, _ in parts))
    mask = y.F[:, 0] > 0
    z = ME.MinkowskiPruning()(y, mask)
    kept = [place for place, keep in zip(places_of(y), mask) if keep]
    check(z, torch.stack(lines)[mask], kept, parts[0][1])
    assert places_of(z) == kept and z.tensor_stride == [1, 1]
    with pytest.raises(ValueError, match="mask"):
        ME.MinkowskiPruning()(y, mask[1:])


@pytest.mark.parametrize("dims,stride", [(1, 1), (2, 2), (3, 1), (3, 4), (4, 1)])
def test_interpolation(random, dims, stride):
    places = scattered(random, dims, unit=stride)
    x, feats = tensor(random, places, tensor_stride=stride)
    points = random.uniform(-3 * stride, 5 * stride, (30, dims + 1)).astype(np.float32)
    points[:, 0] = random.integers(0, 2, 30)
    truth = torch.stack([oracle.interpolated(places, feats, [stride] * dims, p) for p in points.tolist()])
    points = torch.from_numpy(points)
    found, (of, to), weights = ME.MinkowskiInterpolation(True, True)(x, points)
    torch.testing.assert_close(found, truth, atol=1e-4, rtol=1e-4)
    again = torch.zeros_like(found).index_add(0, to.long(), feats[of.long()] * weights[:, None])
    torch.testing.assert_close(again, truth, atol=1e-4, rtol=1e-4)
    ours, theirs = (torch.autograd.grad(side.sin().sum(), feats)[0] for side in (found, truth))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


MODES = ME.SparseTensorQuantizationMode


@pytest.mark.parametrize("mode", [MODES.RANDOM_SUBSAMPLE, MODES.UNWEIGHTED_AVERAGE, MODES.UNWEIGHTED_SUM, MODES.MAX_POOL])
def test_quantisation_and_fields(random, mode):
    points = random.uniform(-3, 3, (80, 3)).astype(np.float32)
    points[:, 0] = random.integers(0, 2, 80)
    feats = torch.from_numpy(random.standard_normal((80, 2)).astype(np.float32)).requires_grad_()
    field = ME.TensorField(feats, torch.from_numpy(points), quantization_mode=mode)
    x = field.sparse()
    cells = [tuple(map(int, np.floor(point))) for point in points]
    order = list(dict.fromkeys(cells))
    assert places_of(x) == order
    groups = [[row for row, cell in enumerate(cells) if cell == place] for place in order]
    if mode is MODES.RANDOM_SUBSAMPLE:
        truth = feats[[rows[0] for rows in groups]]
    else:
        names = {MODES.UNWEIGHTED_AVERAGE: "mean", MODES.UNWEIGHTED_SUM: "sum", MODES.MAX_POOL: "max"}
        truth = oracle.pooled(feats, groups, names[mode])
    check(x, truth, order, feats)
    assert field.inverse_mapping(x.coordinate_map_key).tolist() == [order.index(cell) for cell in cells]
    direct = ME.SparseTensor(feats, torch.tensor(cells, dtype=torch.int), quantization_mode=mode)
    torch.testing.assert_close(direct.F, x.F)
    if mode in (MODES.RANDOM_SUBSAMPLE, MODES.UNWEIGHTED_AVERAGE):
        torch.testing.assert_close(x.slice(field).F, x.F[[order.index(cell) for cell in cells]])
        torch.testing.assert_close(x.cat_slice(field).F[:, 2:], feats)
        torch.testing.assert_close(direct.slice(direct).F, x.slice(field).F)
        coarse = ME.MinkowskiMaxPooling(kernel_size=2, stride=2, dimension=2)(x)
        parents = [(c[0], c[1] // 2 * 2, c[2] // 2 * 2) for c in cells]
        rows = [places_of(coarse).index(parent) for parent in parents]
        torch.testing.assert_close(coarse.slice(field).F, coarse.F[rows])
    again = field.sparse(coordinate_map_key=x.coordinate_map_key)
    torch.testing.assert_close(again.F, x.F)
    strided = field.sparse(tensor_stride=2)
    assert strided.tensor_stride == [2, 2] and set(places_of(strided)) == oracle.rounded_down(cells, [2, 2])


def test_splat_and_interpolate(random):
    points = random.uniform(-2, 2, (20, 3)).astype(np.float32)
    points[:, 0] = 0
    feats = torch.from_numpy(random.standard_normal((20, 2)).astype(np.float32)).requires_grad_()
    field = ME.TensorField(feats, torch.from_numpy(points))
    x = field.splat()
    sums = {}
    for row, (_, a, b) in enumerate(points.tolist()):
        for i in (0, 1):
            for j in (0, 1):
                place = (0, int(np.floor(a)) + i, int(np.floor(b)) + j)
                weight = (1 - abs(a - place[1])) * (1 - abs(b - place[2]))
                sums[place] = sums.get(place, 0) + weight * feats[row]
    check(x, torch.stack([sums[place] for place in places_of(x)]), sums, feats)
    back = x.interpolate(field)
    wanted = [oracle.interpolated(places_of(x), x.F, [1, 1], point) for point in points.tolist()]
    torch.testing.assert_close(back.F, torch.stack(wanted), atol=1e-4, rtol=1e-4)
    module = torch.nn.Sequential(ME.MinkowskiLinear(2, 4), ME.MinkowskiBatchNorm(4), ME.MinkowskiReLU())
    assert isinstance(module(field), ME.TensorField)
    pooled = ME.MinkowskiGlobalMaxPooling()(field)
    torch.testing.assert_close(pooled.F, feats.max(0, keepdim=True)[0])


def test_dense_and_sparse(random):
    dense = torch.from_numpy(random.standard_normal((2, 3, 4, 5)).astype(np.float32))
    dense[:, :, random.random((4, 5)) < 0.5] = 0
    x = ME.to_sparse(dense)
    back, lowest, stride = x.dense(shape=dense.shape)
    assert torch.equal(back, dense) and stride.tolist() == [1, 1]
    assert torch.equal(ME.MinkowskiToDenseTensor(dense.shape)(x), dense)
    assert torch.equal(ME.to_sparse_all(dense).dense()[0], dense)
    assert len(ME.MinkowskiToSparseTensor()(dense)) == 40
    assert torch.equal(ME.MinkowskiToFeature()(x), x.F)
    coo, lowest, _ = x.sparse()
    assert torch.equal(coo.to_dense(), dense.permute(0, 2, 3, 1)[:, lowest[0, 0] :, lowest[0, 1] :][:, : coo.shape[1]])
    y, _ = tensor(random, [(0, -2, 4), (0, 2, 0)], tensor_stride=2)
    grid, _, _ = y.dense(min_coordinate=torch.IntTensor([-2, 0]))
    assert grid.shape == (1, 3, 3, 3) and torch.equal(grid[0, :, 0, 2], y.F[0]) and torch.equal(grid[0, :, 2, 0], y.F[1])
    with pytest.raises(ValueError, match="negative"):
        y.dense()


def test_managers_and_keys(random):
    ME.set_sparse_tensor_operation_mode(ME.SparseTensorOperationMode.SHARE_COORDINATE_MANAGER)
    try:
        (x, _), (y, _) = tensor(random, scattered(random, 3)), tensor(random, scattered(random, 3))
        assert x.coordinate_manager is y.coordinate_manager is ME.global_coordinate_manager()
        assert len(x + y) >= len(x)
    finally:
        ME.clear_global_coordinate_manager()
        ME.set_sparse_tensor_operation_mode(ME.SparseTensorOperationMode.SEPARATE_COORDINATE_MANAGER)
    assert ME.global_coordinate_manager() is None
    assert x.coordinate_map_key == ME.CoordinateMapKey([1, 1, 1], "") != y.coordinate_map_key
    assert x.coordinate_map_key.get_key() == ([1, 1, 1], "") and x.coordinate_map_key.get_coordinate_size() == 4
    again = ME.SparseTensor(
        x.F * 2, coordinate_map_key=x.coordinate_map_key, coordinate_manager=x.coordinate_manager
    )
    assert torch.equal(again.C, x.C)
    manager, key = x.coordinate_manager, x.coordinate_map_key
    down = manager.stride(key, 2)
    assert down.get_tensor_stride() == [2, 2, 2] and manager.stride(key, [2, 2, 2]) == down
    of, to = manager.stride_map(key, down)
    coarse = manager.get_coordinates(down)
    assert of.tolist() == list(range(len(x)))
    assert torch.equal(coarse[to][:, 1:], torch.div(x.C[:, 1:], 2, rounding_mode="floor") * 2)
    places, coarse = places_of(x), [tuple(c) for c in coarse.tolist()]
    found = manager.kernel_map(key, down, stride=2, kernel_size=3)
    for k, offset in enumerate(oracle.cube([3] * 3)):
        pairs = {(places[i], coarse[o]) for i, o in zip(*found[k].tolist())} if k in found else set()
        assert pairs == {(oracle.moved(c, offset), c) for c in coarse if oracle.moved(c, offset) in places}
    with pytest.raises(ValueError, match="no map"):
        manager.get_coordinates(4)


def test_quantize_and_collate(random):
    points = random.uniform(-2, 2, (100, 3))
    cells = np.floor(points / 0.5).astype(np.int32)
    order = list(dict.fromkeys(map(tuple, cells)))
    labels = random.integers(0, 2, 100).astype(np.int32)
    coords, feats, index, inverse = ME.utils.sparse_quantize(
        points, points, quantization_size=0.5, return_index=True, return_inverse=True
    )
    assert [tuple(c) for c in coords.tolist()] == order
    assert inverse.tolist() == [order.index(tuple(cell)) for cell in cells]
    assert np.array_equal(feats, points[index])
    coords, kept = ME.utils.sparse_quantize(points, labels=labels, ignore_label=-1, quantization_size=0.5)
    for place, label in zip(order, kept):
        own = set(labels[(cells == place).all(1)])
        assert label == (own.pop() if len(own) == 1 else -1)
    assert torch.equal(ME.utils.sparse_quantize(torch.from_numpy(cells)), torch.tensor(order, dtype=torch.int))
    far = np.array([[0, 0, 0], [2**30, -(2**30), 2**30], [0, 0, 0]])
    assert ME.utils.sparse_quantize(far, return_maps_only=True).tolist() == [0, 1]
    batch = ME.utils.batched_coordinates([points, points[:7]])
    assert batch.dtype == torch.int and batch[:, 0].tolist() == [0] * 100 + [1] * 7
    assert np.array_equal(batch[:100, 1:].numpy(), np.floor(points))
    coords, feats, lists = ME.utils.batch_sparse_collate([(cells, points, labels)] * 2)
    assert coords.shape == (200, 4) and feats.shape == (200, 3) and lists.shape == (200,)
    assert len(ME.utils.SparseCollation(limit_numpoints=150)([(cells, points, labels)] * 2)[0]) == 100
    weight = ME.utils.kaiming_normal_(torch.empty(27, 64, 128), mode="fan_out", nonlinearity="relu")
    assert abs(float(weight.std()) - (2 / (27 * 128)) ** 0.5) < 1e-3
    with pytest.raises(ValueError, match="coordinates, but"):
        ME.utils.sparse_quantize(points, labels=labels[1:])
