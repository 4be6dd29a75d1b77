"""ONNX files with sparse convolutions, as NVIDIA's exporter for libspconv and Autoware's write them."""

import warnings

import numpy as np
import pytest
import torch
import voxel_rules as rules
import voxshift as vs
from onnx_writer import model, node, value

SHAPE = (9, 8, 7)
THREE = (3, 3, 3)


def weights(random, *shape):
    """As such files hold them: f16."""
    return (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float16)


def tensor_of(x, shape):
    coords = np.array([(0, *c) for c in x], np.int32)
    return vs.SparseTensor(coords, np.array(list(x.values()), np.float32), shape=shape)


def output(model, x, shape):
    result = model.run(tensor_of(x, shape))
    result = list(result.values())[0] if isinstance(result, dict) else result
    return result


class Scn:
    """A file of NVIDIA's exporter while it is made."""

    def __init__(self, random):
        self.random, self.nodes, self.initializers = random, [], {}

    def conv(self, x, out, inside, outside, kernel=THREE, stride=(1, 1, 1), padding=(1, 1, 1), subm=True, rulebook="",
             inverse=False, activation="None", bias=True, **more):
        name = f"spconv{len(self.nodes)}"
        self.initializers[f"{name}.weight"] = weights(self.random, outside, *kernel, inside)
        inputs = [x, f"{name}.weight"]
        if bias:
            self.initializers[f"{name}.bias"] = weights(self.random, outside)
            inputs.append(f"{name}.bias")
        self.nodes.append(node("SparseConvolution", inputs, [out], f"conv{len(self.nodes)}", ndim=3, in_channels=inside,
                               out_channels=outside, kernel_size=kernel, output_bound=200000, stride=stride,
                               dilation=(1, 1, 1), padding=padding, transposed=0, inverse=inverse,
                               output_padding=(0, 0, 0), groups=1, subm=subm, rulebook=rulebook, activation=activation,
                               input_shape=(30, inside), output_shape=(30, outside), **more))
        weight = self.initializers[f"{name}.weight"].astype(np.float64)
        return weight, self.initializers[f"{name}.bias"].astype(np.float64) if bias else 0.0

    def write(self, path, outputs):
        path.write_bytes(model(self.nodes, [value("0", (30, 4), 10)], [value(one, (1,), 10) for one in outputs],
                               self.initializers, opset=11))
        return path


def encoder(random, x, grid_of):
    """BEVFusion's encoder in miniature, its file's parts and what it gives: grid_of(dense) is the image [C, H, W]."""
    scn = Scn(random)
    biased = lambda y, layer: rules.each(y, lambda v: v + layer[1])
    layer = scn.conv("0", "1", 4, 8, rulebook="subm1", activation="ReLU")
    y = rules.relu(biased(rules.submanifold(x, layer[0]), layer))
    layer = scn.conv("1", "2", 8, 8, rulebook="subm1", activation="ReLU", precision="int8", output_precision="int8",
                     weight_dynamic_ranges=[1.0, 2.0], input_dynamic_range=3.0)
    z = rules.relu(biased(rules.submanifold(y, layer[0]), layer))
    layer = scn.conv("2", "3", 8, 8, rulebook="subm1")
    z = biased(rules.submanifold(z, layer[0]), layer)
    scn.nodes += [node("QuantAdd", ["3", "1"], ["4"], input0_dynamic_range=1.0), node("Relu", ["4"], ["5"])]
    y = rules.relu(rules.plus(z, y))
    layer = scn.conv("5", "6", 8, 12, stride=(2, 2, 2), subm=False, rulebook="spconv1", activation="ReLU")
    y, extent = rules.strided(y, layer[0], SHAPE, (2, 2, 2), (1, 1, 1))
    y = rules.relu(biased(y, layer))
    layer = scn.conv("6", "7", 12, 10, (1, 1, 3), (1, 1, 2), (0, 0, 0), subm=False, rulebook="spconv_down2", bias=False)
    y, extent = rules.strided(y, layer[0], extent, (1, 1, 2), (0, 0, 0))
    return scn, grid_of(rules.dense(y, extent, 10)), extent


def test_an_encoder_of_nvidias_exporter_gives_its_view_from_above(tmp_path, random):
    x = rules.voxels(random, SHAPE, 40, 4)
    scn, expected, (height, width, depth) = encoder(
        random, x, lambda grid: grid.transpose(0, 3, 1, 2).reshape(-1, *grid.shape[1:3]))
    scn.nodes += [node("ScatterDense", ["7"], ["8"], input_spatial_shape=(height, width, depth), format="xyz",
                       output_shape=(1, 10, height, width, depth)),
                  node("Transpose", ["8"], ["9"], dims=(0, 1, 4, 2, 3)),
                  node("Reshape", ["9"], ["10"], dims=(1, 10 * depth, height, width))]
    notes = []
    result = vs.convert(scn.write(tmp_path / "net.scn.onnx", ["10"]), notes=notes)
    got = output(result, x, SHAPE)
    np.testing.assert_allclose(np.asarray(got[0])[0].transpose(2, 0, 1), expected, rtol=1e-4, atol=1e-4)
    assert any("int8" in line for line in notes) and any("output_bound" in line for line in notes)


@pytest.mark.parametrize("transposed", [False, True])
def test_a_grid_with_its_height_first_is_seen_from_above(tmp_path, random, transposed):
    """det3d's view(N, C * D, H, W); BEVFusion's files of order z y x give it with x before y, ours keeps y before x."""
    x = rules.voxels(random, SHAPE, 30, 4)
    scn = Scn(random)
    layer = scn.conv("0", "1", 4, 6, rulebook="subm")
    y = rules.each(rules.submanifold(x, layer[0]), lambda v: v + layer[1])
    depth, height, width = SHAPE
    scn.nodes.append(node("ScatterDense", ["1"], ["2"], input_spatial_shape=SHAPE, format="zyx", output_shape=(1, 6, *SHAPE)))
    if transposed:
        scn.nodes += [node("Transpose", ["2"], ["3"], dims=(0, 1, 2, 4, 3)),
                      node("Reshape", ["3"], ["4"], dims=(1, 6 * depth, width, height))]
    else:
        scn.nodes.append(node("Reshape", ["2"], ["4"], dims=(1, 6 * depth, height, width)))
    notes = []
    result = vs.convert(scn.write(tmp_path / "net.onnx", ["4"]), notes=notes)
    got = np.asarray(output(result, x, SHAPE)[0])[0].transpose(2, 0, 1)
    np.testing.assert_allclose(got, rules.dense(y, SHAPE, 6).reshape(-1, height, width), rtol=1e-4, atol=1e-4)
    said = [line for line in notes if '"4"' in line]
    assert bool(said) == transposed and (not transposed or "width 7, height 8" in said[0])


def test_inverse_layers_go_back_by_their_rulebook(tmp_path, random):
    x = rules.voxels(random, SHAPE, 40, 4)
    scn = Scn(random)
    down = scn.conv("0", "1", 4, 6, stride=(2, 2, 1), padding=(1, 0, 1), subm=False, rulebook="down", bias=False)
    up = scn.conv("1", "2", 6, 5, subm=False, rulebook="down", inverse=True, padding=(0, 0, 0))
    model_ = vs.convert(scn.write(tmp_path / "net.onnx", ["2"]))
    y, _ = rules.strided(x, down[0], SHAPE, (2, 2, 1), (1, 0, 1))
    expected = rules.each(rules.inverse(y, up[0], x, SHAPE, (2, 2, 1), (1, 0, 1)), lambda v: v + up[1])
    features, coords = output(model_, x, SHAPE)
    assert [tuple(c[1:]) for c in coords.tolist()] == list(expected)
    np.testing.assert_allclose(features, np.array(list(expected.values())), rtol=1e-4, atol=1e-4)


class Pairs(torch.autograd.Function):
    """AWML's symbols: outputs are coordinates, pairs, mask, order, count."""

    @staticmethod
    def symbolic(g, coords, native, shape, kernel, stride, padding, subm):
        return g.op("autoware::GetIndicePairs" if native else "autoware::GetIndicePairsImplicitGemm", coords,
                    batch_size_i=1, spatial_shape_i=shape, algo_i=1, ksize_i=kernel, stride_i=stride, padding_i=padding,
                    dilation_i=[1, 1, 1], out_padding_i=[0, 0, 0], subm_i=subm, transpose_i=False, is_train_i=False,
                    outputs=5)

    @staticmethod
    def forward(ctx, coords, native, shape, kernel, stride, padding, subm):
        return coords[:], torch.zeros(27, len(coords)), torch.zeros(len(coords), 1), torch.zeros(len(coords)), coords[:1, 0]


class Gemm(torch.autograd.Function):
    @staticmethod
    def symbolic(g, x, weight, native, pairs, mask, order, count, subm):
        if native:
            return g.op("autoware::IndiceConv", x, weight, pairs, mask, count, is_subm_i=subm)
        return g.op("autoware::ImplicitGemm", x, weight, pairs, mask, order, is_train_i=False, is_subm_i=subm,
                    act_alpha_f=0.0, act_beta_f=0.0, output_scale_f=1.0, output_add_scale_f=0.0)

    @staticmethod
    def forward(ctx, x, weight, native, pairs, mask, order, count, subm):
        return x.repeat(1, 4)[:, : weight.shape[0]]


class Autoware(torch.nn.Module):
    """Voxel means, a submanifold and a strided layer, the grid as spconv's dense() makes it, a convolution on it."""

    def __init__(self, native):
        super().__init__()
        self.native = native
        self.first = torch.nn.Parameter(torch.randn(6, 3, 3, 3, 4) / 10)
        self.second = torch.nn.Parameter(torch.randn(8, 3, 3, 3, 6) / 10)
        self.norm, self.bias = torch.nn.BatchNorm1d(6), torch.nn.Parameter(torch.randn(8))
        self.conv = torch.nn.Conv2d(8 * 4, 5, 3, padding=1)

    def forward(self, voxels, coords, count):
        x = voxels.sum(1) / count.type_as(voxels).view(-1, 1)
        coords = coords.flip(dims=[-1]).contiguous()
        coords = torch.cat([torch.zeros(coords.shape[0], 1), coords], dim=1).int()
        _, *rule = Pairs.apply(coords, self.native, list(SHAPE), [3, 3, 3], [1, 1, 1], [1, 1, 1], True)
        x = torch.relu(self.norm(Gemm.apply(x, self.first, self.native, *rule, True)))
        coords, *rule = Pairs.apply(coords, self.native, list(SHAPE), [3, 3, 3], [2, 2, 2], [1, 1, 1], False)
        x = Gemm.apply(x, self.second, self.native, *rule, False) + self.bias
        shape = [1, 5, 4, 4, 8]
        grid, flat = torch.zeros(shape), coords.long().view(-1, 4)
        grid[[flat[:, k] for k in range(4)] + [Ellipsis]] = x.view(*(list(coords.shape[:-1]) + shape[4:]))
        grid = grid.permute(0, 4, 1, 2, 3).contiguous()
        n, c, h, w, d = grid.shape
        return self.conv(grid.permute(0, 1, 4, 2, 3).contiguous().view(n, c * d, h, w))


@pytest.mark.parametrize("native", [False, True])
def test_autowares_export_runs_up_to_its_image(tmp_path, random, native):
    torch.manual_seed(2)
    net = Autoware(native).eval()
    net.norm.running_mean += 0.1
    net.norm.running_var *= 1.5
    rows = {0: "voxels"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.randn(7, 10, 4), torch.randint(0, 2, (7, 3), dtype=torch.int32), torch.ones(7)),
                          str(tmp_path / "net.onnx"), opset_version=16, input_names=["voxels", "coors", "count"],
                          output_names=["out"], custom_opsets={"autoware": 1},
                          dynamic_axes={"voxels": rows, "coors": rows, "count": rows})
    notes = []
    result = vs.convert(tmp_path / "net.onnx", notes=notes)
    assert any("ReduceSum" in line and "left out" in line for line in notes)
    assert "coordinates are columns batch, 2, 1, 0 of the file's" in notes
    x = rules.voxels(random, SHAPE, 40, 4)
    numbers = lambda tensor: tensor.detach().double().numpy()
    y = rules.submanifold(x, numbers(net.first))
    scale = 1 / np.sqrt(1.5 + net.norm.eps)
    y = rules.relu(rules.each(y, lambda v: (v - 0.1) * scale))
    y, extent = rules.strided(y, numbers(net.second), SHAPE, (2, 2, 2), (1, 1, 1))
    y = rules.each(y, lambda v: v + numbers(net.bias))
    grid = rules.dense(y, extent, 8).transpose(0, 3, 1, 2).reshape(1, 32, *extent[:2])
    with torch.no_grad():
        expected = net.conv(torch.from_numpy(grid).float())[0].numpy()
    got = np.asarray(output(result, x, SHAPE)[0])[0].transpose(2, 0, 1)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def refused(tmp_path, scn, outputs, words):
    with pytest.raises(OSError, match=words):
        vs.convert(scn.write(tmp_path / "net.onnx", outputs))


def test_maps_that_would_be_others_are_refused(tmp_path, random):
    scn = Scn(random)
    scn.conv("0", "1", 4, 4, rulebook="shared")
    scn.conv("1", "2", 4, 4, (1, 3, 3), padding=(0, 1, 1), rulebook="shared")
    refused(tmp_path, scn, ["2"], r'conv1.*SparseConvolution.*shares the rulebook "shared"')
    scn = Scn(random)
    scn.conv("0", "1", 4, 4, rulebook="a", inverse=True, subm=False)
    refused(tmp_path, scn, ["1"], "inverse to the rulebook")
    scn = Scn(random)
    scn.conv("0", "1", 4, 4, (2, 2, 2))
    refused(tmp_path, scn, ["1"], "2 taps, where odd ones")
    scn = Scn(random)
    scn.conv("0", "1", 4, 4, activation="LeakyReLU")
    refused(tmp_path, scn, ["1"], "LeakyReLU")
    scn = Scn(random)
    scn.conv("0", "1", 4, 4, stride=(2, 2, 2), subm=False)
    scn.conv("0", "2", 4, 4)
    scn.nodes.append(node("Add", ["1", "2"], ["3"]))
    refused(tmp_path, scn, ["3"], "Add")
