"""What spconv 1 and mmcv mean by the same names, stored weights of every version, and points to voxels."""

import numpy as np
import pytest
import spconv_oracle as oracle
from spconv_layers_test import Input, check, twins

torch = pytest.importorskip("torch", reason="PyTorch is not installed: Debian's python3-torch")

from torch import nn  # noqa: E402
from voxshift.torch import spconv  # noqa: E402
from voxshift.torch.spconv import v1  # noqa: E402


class Input1(Input):
    """Of spconv 1's tensor."""

    def __init__(self, random, dims, **named):
        super().__init__(random, dims, **named)
        self.tensor = v1.SparseConvTensor(self.feats, self.tensor.indices, self.shape, 2)


def taps_first(weight):
    """[taps, in, out] of spconv 1's [*kernel, in, out]."""
    return weight.flatten(0, -3)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("kernel, dilation", [(2, 1), (3, 1), (4, 1), (3, 2), (2, 2)])
def test_taps_of_submanifold_layers_start_half_a_kernel_before(random, dims, kernel, dilation):
    given = Input1(random, dims)
    layer = getattr(v1, f"SubMConv{dims}d")(3, 4, kernel, dilation=dilation)
    assert layer.weight.shape == (*[kernel] * dims, 3, 4)
    (x, w, b) = leaves = twins(given.feats, layer.weight, layer.bias)
    pairs = oracle.submanifold(given.cells, [kernel] * dims, [dilation] * dims, [-(kernel // 2)] * dims)
    expected = oracle.convolved(x[1], taps_first(w[1]), pairs, len(given.cells)) + b[1]
    check(random, given, layer(given.tensor).features, expected, leaves)


def test_layers_of_a_key_take_its_first_map(random):
    """Cylinder3D: the map of (1, 3, 3) serves (3, 1, 3), and (3, 3, 3) with 9 of its 27 weights."""
    given = Input1(random, 3)
    layers = [v1.SubMConv3d(3, 3, kernel, indice_key="a", bias=False) for kernel in ((1, 3, 3), (3, 1, 3), (3, 3, 3))]
    out, leaves = given.tensor, twins(given.feats, *(layer.weight for layer in layers))
    expected = leaves[0][1]
    pairs = oracle.submanifold(given.cells, [1, 3, 3], [1, 1, 1])
    for layer, (_, weight) in zip(layers, leaves[1:]):
        out = layer(out)
        expected = oracle.convolved(expected, taps_first(weight)[:9], pairs, len(given.cells))
    check(random, given, out.features, expected, leaves)
    assert given.tensor.find_indice_pair("a") is out.find_indice_pair("a")
    indices, inputs, found, count, shape = out.find_indice_pair("a")
    assert found.shape == (9, 2, len(given.cells)) and int(count.sum()) == len(pairs) and shape == list(given.shape)
    listed = [(k, int(i), int(o)) for k in range(9) for i, o in found[k, :, : count[k]].t()]
    assert sorted(listed) == sorted(pairs)
    with pytest.raises(ValueError, match="a map of 9 taps, the layer's kernel is"):
        v1.SubMConv3d(3, 3, 2, indice_key="a")(out)


def test_strided_layers_of_a_key_take_its_first_map(random):
    given = Input1(random, 3)
    first = v1.SparseConv3d(3, 4, 3, 2, 1, indice_key="a", bias=False)
    again = v1.SparseConv3d(3, 4, (1, 3, 9), 2, indice_key="a", bias=False)
    back = v1.SparseInverseConv3d(4, 2, (3, 9, 1), indice_key="a", bias=False)
    first(given.tensor)
    out = back(again(given.tensor))
    (x, w, v) = leaves = twins(given.feats, again.weight, back.weight)
    outputs, pairs, _ = oracle.strided(given.cells, given.shape, [3] * 3, [2] * 3, [1] * 3, [1] * 3)
    expected = oracle.convolved(x[1], taps_first(w[1]), pairs, len(outputs))
    expected = oracle.convolved(expected, taps_first(v[1]), oracle.swapped(pairs), len(given.cells))
    check(random, given, out.features, expected, leaves)
    assert out.spatial_shape == list(given.shape) and torch.equal(out.indices, given.tensor.indices)


def test_one_tap_ignores_the_stride(random):
    given = Input1(random, 3)
    layer = v1.SparseConv3d(3, 4, 1, stride=2)
    out = layer(given.tensor)
    (x, w, b) = leaves = twins(given.feats, layer.weight, layer.bias)
    check(random, given, out.features, x[1] @ w[1].reshape(3, 4) + b[1], leaves)
    assert out.indices is given.tensor.indices and out.spatial_shape == list(given.shape)


def test_sequential_changes_the_tensor_it_is_given(random):
    given = Input1(random, 3)
    feats = given.tensor.features.detach().clone()
    given.tensor.features = feats
    out = v1.SparseSequential(nn.ReLU())(given.tensor)
    assert out is given.tensor and torch.equal(out.features, torch.relu(feats))
    given.tensor.features = feats
    v1.SparseSequential(v1.SubMConv3d(3, 3, 3), nn.ReLU())(given.tensor)
    assert torch.equal(given.tensor.features, feats)


def test_every_name_of_spconv1_has_its_rules():
    for name in v1.__all__:
        value = getattr(v1, name)
        if isinstance(value, type) and issubclass(value, spconv.SparseConvolution):
            assert issubclass(value, v1.SparseConvolution) and value.layout == "RSCK"
    for name in ("conv", "modules", "core", "pool"):
        assert not hasattr(v1, name)  # those of spconv 2


def test_spconv1_initialises_by_the_shape_of_its_weight():
    weight = v1.SubMConv3d(8, 16, 3).weight
    assert 0.9 < weight.abs().max() * np.sqrt(3 * 3 * 8 * 16) <= 1
    weight = spconv.SubMConv3d(8, 16, 3).weight
    assert 0.9 < weight.abs().max() * np.sqrt(27 * 8) <= 1


LAYOUTS = {"KRSC": (16, 2, 3, 1, 8), "RSKC": (2, 3, 1, 16, 8), "RSCK": (2, 3, 1, 8, 16)}


def stored(kernel, layout):
    """kernel [2, 3, 1, in, out] as this layout has it."""
    return kernel.permute({"KRSC": (4, 0, 1, 2, 3), "RSKC": (0, 1, 2, 4, 3), "RSCK": (0, 1, 2, 3, 4)}[layout]).contiguous()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("module, own", [(spconv, "KRSC"), (v1, "RSCK")])
def test_weights_of_every_version_load(random, layout, module, own):
    kernel = torch.from_numpy(random.random((2, 3, 1, 8, 16), np.float32))
    layer = module.SparseConv3d(8, 16, (2, 3, 1), bias=False)
    assert layer.weight.shape == LAYOUTS[own]
    layer.load_state_dict({"weight": stored(kernel, layout)})
    assert torch.equal(layer.weight.detach(), stored(kernel, own))


def test_a_layout_that_the_shape_does_not_tell_is_asked_for(random):
    kernel = torch.from_numpy(random.random((2, 3, 1, 8, 8), np.float32))
    layer = spconv.SparseConv3d(8, 8, (2, 3, 1), bias=False)
    with pytest.raises(ValueError, match="weight of shape .* may be RSKC or RSCK; load it within .*saved_layout"):
        layer.load_state_dict({"weight": stored(kernel, "RSKC")})
    for layout in LAYOUTS:
        with spconv.saved_layout(layout):
            layer.load_state_dict({"weight": stored(kernel, layout)})
        assert torch.equal(layer.weight.detach(), stored(kernel, "KRSC"))
    with spconv.saved_layout("RSCK"), pytest.raises(ValueError, match="is not laid out as RSCK"):
        spconv.SparseConv3d(8, 4, (2, 3, 1), bias=False).load_state_dict({"weight": torch.zeros(4, 2, 3, 1, 8)})
    with pytest.raises(ValueError, match="expects one of KRSC, RSKC, RSCK, found CHWN"):
        with spconv.saved_layout("CHWN"):
            pass
    with pytest.raises(RuntimeError, match="size mismatch"):
        layer.load_state_dict({"weight": torch.zeros(3, 3, 3, 8, 8)})


@pytest.mark.parametrize("layout, shape", [("RSCK", (1, 1, 1, 3, 5)), ("RSKC", (1, 1, 1, 5, 3)), ("KRSC", (5, 1, 1, 1, 3))])
def test_the_weight_of_one_tap_is_inputs_by_outputs_in_every_layout(random, layout, shape):
    given = Input(random, 3)
    weight = torch.from_numpy(random.random((3, 5), np.float32))
    layer = spconv.SubMConv3d(3, 5, 1, bias=False)
    with spconv.saved_layout(layout):
        layer.load_state_dict({"weight": weight.reshape(shape)})
    torch.testing.assert_close(layer(given.tensor).features, given.feats @ weight)


def plain_voxels(points, size, lowest, extent, voxels, per_voxel):
    """The cells z y x in the order of the points, the points of each, and the voxel of each point."""
    cells, members, of_point = [], [], []
    for row in points:
        place = tuple(int(np.floor((row[a] - lowest[a]) / size[a])) for a in range(3))[::-1]
        if not all(0 <= c < n for c, n in zip(place, extent[::-1])) or (place not in cells and len(cells) == voxels):
            of_point.append(-1)
            continue
        if place not in cells:
            cells.append(place)
            members.append([])
        of_point.append(cells.index(place))
        if len(members[of_point[-1]]) < per_voxel:
            members[of_point[-1]].append(row)
    return cells, members, of_point


@pytest.mark.parametrize("voxels, per_voxel", [(100, 3), (12, 2)])
def test_points_become_voxels_in_the_order_they_come(random, voxels, per_voxel):
    points = random.uniform(-1, 5, (300, 4)).astype(np.float32)
    size, corners, extent = [1.0, 2.0, 1.5], [0.0, 0.0, 0.0, 4.0, 4.0, 3.0], [4, 2, 2]
    cells, members, of_point = plain_voxels(points, np.float32(size), corners[:3], extent, voxels, per_voxel)
    generator = spconv.PointToVoxel(size, corners, 4, voxels, per_voxel)
    assert generator.grid_size == [2, 2, 4]
    found, indices, count, ids = generator.generate_voxel_with_id(torch.from_numpy(points))
    assert indices.tolist() == [list(cell) for cell in cells] and ids.tolist() == of_point
    assert count.tolist() == [len(m) for m in members] and found.shape == (len(cells), per_voxel, 4)
    full = generator(torch.from_numpy(points), empty_mean=True)[0]
    for v, m in enumerate(members):
        assert np.array_equal(found[v, : len(m)], m) and not found[v, len(m) :].any()
        assert torch.equal(full[v, : len(m)], found[v, : len(m)])
        np.testing.assert_allclose(full[v, len(m) :], np.broadcast_to(np.mean(m, 0), (per_voxel - len(m), 4)), rtol=1e-5)
    gathered = spconv.utils.gather_features_by_pc_voxel_id(indices.float(), ids, -7)
    assert all(torch.equal(g, indices[v].float()) if v >= 0 else (g == -7).all() for g, v in zip(gathered, of_point))
    old = v1.VoxelGenerator(size, corners, per_voxel, voxels).generate(points)
    assert np.array_equal(old["voxels"], found) and np.array_equal(old["coordinates"], indices)
    unpacked = tuple(old)
    assert np.array_equal(unpacked[2], count)
    cpu = spconv.utils.Point2VoxelCPU3d(size, corners, 4, voxels, per_voxel).point_to_voxel(torch.from_numpy(points))
    assert np.array_equal(cpu[1].numpy(), indices)


def test_no_points_are_no_voxels():
    found = spconv.PointToVoxel([1, 1, 1], [0, 0, 0, 2, 2, 2], 4, 10, 3)(torch.zeros(0, 4))
    assert [tuple(part.shape) for part in found] == [(0, 3, 4), (0, 3), (0,)]
    with pytest.raises(ValueError, match=r"expects \[N, 4\], found \(5, 3\)"):
        spconv.PointToVoxel([1, 1, 1], [0, 0, 0, 2, 2, 2], 4, 10, 3)(torch.zeros(5, 3))
    with pytest.raises(ValueError, match="expects 6 numbers"):
        spconv.PointToVoxel([1, 1, 1], [0, 0, 2, 2], 4, 10, 3)
