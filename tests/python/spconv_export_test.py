"""Networks of spconv's layers as model files: the library gives the module's features, in inference."""

import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: Debian's python3-torch")

import voxshift as vs  # noqa: E402
import voxshift.torch as vst  # noqa: E402
from torch import nn  # noqa: E402
from voxshift.torch import spconv  # noqa: E402
from voxshift.torch.ordered import Cells, Features  # noqa: E402
from voxshift.torch.spconv import v1  # noqa: E402

SHAPE = (9, 8, 11)


class OnVoxels(nn.Module):
    """A network of spconv's on a SparseTensor, to which it is given in an order of its own."""

    def __init__(self, network, order, tensor=spconv.SparseConvTensor):
        super().__init__()
        self.network, self.order, self.tensor = network, order, tensor

    def forward(self, x):
        cells = Cells(x.coords[self.order], shape=x.coordinates.shape)
        given = Features(cells, sorted=x.feats).given
        return self.network(self.tensor(given, cells.coords, x.coordinates.shape, 2))


class Layers(nn.Module):
    """Every kind of layer, and sums and concatenations of what they give."""

    def __init__(self):
        super().__init__()
        self.stem = spconv.SparseSequential(
            spconv.SubMConv3d(4, 6, 3, indice_key="s0"), nn.BatchNorm1d(6), nn.ReLU(), spconv.SubMConv3d(6, 6, (3, 1, 3))
        )
        self.down = spconv.SparseConv3d(6, 8, 3, 2, 1, indice_key="d0")
        self.wide = spconv.SparseConv3d(8, 8, 3, 1, 1, bias=False)
        self.up = spconv.SparseInverseConv3d(8, 6, 3, indice_key="d0")
        self.square = spconv.SubMConv3d(6, 6, 1)
        self.join, self.add = spconv.JoinTable(), spconv.AddTable()
        self.grown = spconv.SparseConvolution(3, 12, 5, 2, 2, output_padding=1, transposed=True)

    def forward(self, x):
        skip = self.stem(x)
        coarse = self.down(skip)
        fine = self.up(coarse)
        fine = fine.replace_feature(torch.relu(fine.features))
        out = self.join([self.add([fine, skip]), self.square(fine)])
        return self.grown(out).features


def example(random):
    cells = np.unique(np.stack([random.integers(0, n, 200) for n in (2, *SHAPE)], 1), axis=0).astype(np.int32)
    feats = torch.from_numpy(random.standard_normal((len(cells), 4), np.float32))
    return vst.SparseTensor(feats, cells, shape=SHAPE), torch.from_numpy(random.permutation(len(cells)))


def settled(network, module, x):
    """In evaluation mode after some batches, so that the statistics are no zeros and ones."""
    for _ in range(3):
        module.train()(x)
    return module.eval()


def through_a_file(module, x, path):
    """The rows that the library gives, in its order."""
    vst.save(module, path, example=x)
    model = vs.Model.load(path)
    return torch.from_numpy(model.forward(vs.SparseTensor(x.coordinates, x.feats.numpy())))


def test_every_layer_is_written(random, tmp_path):
    x, order = example(random)
    network = Layers()
    module = settled(network, OnVoxels(network, order), x)
    found = through_a_file(module, x, tmp_path / "layers.safetensors")
    with torch.no_grad():
        torch.testing.assert_close(found, module(x), rtol=1e-4, atol=1e-4)


def test_shared_maps_and_leaning_taps_of_spconv1_are_written(random, tmp_path):
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = v1.SubMConv3d(4, 6, (1, 3, 3), indice_key="a")
            self.second = v1.SubMConv3d(6, 6, 3, indice_key="a")
            self.even = v1.SubMConv3d(6, 5, 2)
            self.order = None

        def forward(self, x):
            x = self.even(self.second(self.first(x)))
            cells = x.cells()
            return Features(cells, given=x.features).sorted

    x, order = example(random)
    module = OnVoxels(Shared(), order, v1.SparseConvTensor).eval()
    found = through_a_file(module, x, tmp_path / "shared.safetensors")
    with torch.no_grad():
        torch.testing.assert_close(found, module(x), rtol=1e-4, atol=1e-4)


def test_the_network_that_spconv_ran_is_written(tmp_path):
    folder = os.environ.get("VOXSHIFT_DATA")
    if not folder:
        pytest.skip("VOXSHIFT_DATA is not set: no results of spconv")
    from spconv_golden_test import UNet, sparse

    case = torch.load(Path(folder) / "checkpoints" / "spconv_golden_net.pt", map_location="cpu")["cases"][0]
    network = UNet()
    network.load_state_dict(case["state_dict"])
    settle(network, sparse(case["input"]))
    path = tmp_path / "unet.safetensors"
    vst.export(network, sparse(case["input"]), path)
    given = vs.SparseTensor(case["input"]["indices"], case["input"]["features"], shape=case["input"]["spatial_shape"])
    found = torch.from_numpy(vs.Model.load(path).forward(given))
    assert np.array_equal(given.coords, case["expect"]["out_indices"])
    assert (found - case["expect"]["out_features"]).abs().max() <= case["expect"]["atol_out"]


class Case(nn.Module):
    """A case of the file: layers one after the other, branches that a table joins, or sums of tensors."""

    def __init__(self, case):
        super().__init__()
        from spconv_golden_test import layer_of

        joined = case["kind"] == "tables"
        self.layers = nn.ModuleList(layer_of(spec) for spec in case["branch_specs" if joined else "layers"])
        self.table = getattr(spconv, case["table"])() if joined else None

    def forward(self, x):
        if self.table is not None:
            return self.table([layer(x) for layer in self.layers])
        for layer in self.layers:
            x = layer(x)
        return x


IN_FILES = [("ext_pool", case) for case in ("avgp3d_subm", "maxp3d_subm", "maxp3d_d2", "maxp3d_k5_kv125")]
IN_FILES += [("misc", case) for case in ("seq2d_mixed", "tables_jointable", "tables_addtable")]


@pytest.mark.parametrize("name, case", IN_FILES)
def test_layers_that_spconv_ran_are_written(tmp_path, name, case):
    from spconv_golden_test import case_of, sparse

    case = case_of(name, case)
    path, given, expect = tmp_path / "case.safetensors", case["input"], case["expect"]
    module = Case(case)
    settle(module, sparse(given))
    vst.export(module, sparse(given), path)
    x = vs.SparseTensor(given["indices"], given["features"].float(), shape=given["spatial_shape"])
    ((features, coords),) = vs.Model.load(path).run(x).values()
    assert np.array_equal(coords, expect["out_indices"])
    assert (torch.from_numpy(features) - expect["out_features"]).abs().max() <= expect["atol_out"]


def settle(network, x):
    """The files' results are of batch norm in training mode: its statistics of this batch are what inference has."""
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm1d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.register_forward_hook(_biased)
    network.train()(x)
    for norm in norms:
        norm._forward_hooks.clear()
    network.eval()


def _biased(norm, inputs, output):
    """Running variances are unbiased, those that normalise a batch are not."""
    rows = len(inputs[0])
    norm.running_var.mul_((rows - 1) / rows)
