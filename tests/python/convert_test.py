"""Checkpoints of other libraries become models that give what the libraries do."""

import numpy as np
import pytest
import voxshift as vs
from convert_cylinder import AUTHORS, MMDET3D, Cylinder3d, points_in_cells
from convert_networks import Mmdet3d, Spvnas, fcgf, res16unet, spunet
from convert_oracle import Net, scan, torch
from oracle import relative_error

CASES = {
    "spvnas minkunet": ("torchsparse", 4, lambda net, x: Spvnas(net).minkunet(x), "spvnas", "minkunet"),
    "spvnas spvcnn": ("torchsparse", 4, lambda net, x: Spvnas(net).spvcnn(x), "spvnas", "spvcnn"),
    "mmdet3d torchsparse": ("torchsparse", 4, lambda net, x: Mmdet3d(net).minkunet(x), "mmdet3d", "minkunet"),
    "mmdet3d minkowski": ("minkowski", 4, lambda net, x: Mmdet3d(net).minkunet(x), "mmdet3d", "minkunet"),
    "mmdet3d spconv 1": ("spconv1", 4, lambda net, x: Mmdet3d(net).minkunet(x), "mmdet3d", "minkunet"),
    "mmdet3d spconv 2": ("spconv2.2", 4, lambda net, x: Mmdet3d(net).minkunet(x), "mmdet3d", "minkunet"),
    "mmdet3d second version": ("torchsparse", 4, lambda net, x: Mmdet3d(net).minkunet_v2(x), "mmdet3d", "minkunet"),
    "mmdet3d spvcnn": ("torchsparse", 4, lambda net, x: Mmdet3d(net).spvcnn(x), "mmdet3d", "spvcnn"),
    "res16unet": ("minkowski", 3, res16unet, "minkowski", "res16unet"),
    "openscene": ("minkowski", 3, lambda net, x: res16unet(net, x, classes=512, bias=False), "minkowski", "res16unet"),
    "fcgf": ("minkowski", 1, fcgf, "fcgf", "fcgf"),
    "fcgf, stem of 7": ("minkowski", 1, lambda net, x: fcgf(net, x, stem=7), "fcgf", "fcgf"),
    "spunet": ("spconv2.2", 4, spunet, "pointcept", "spunet"),
    "spunet, spconv 2.1": ("spconv2.1", 4, spunet, "pointcept", "spunet"),
    "spunet, spconv 2.0": ("spconv2.0", 4, spunet, "pointcept", "spunet"),
}


def made(library, channels, network, seed=0):
    """A random network as the library has it: state dict, voxels, outputs."""
    net, x = Net(library, seed), scan(channels, seed)
    return net.state, x, network(net, x).numpy()


def tensor_of(x):
    shape = None if x.shape is None else tuple(int(extent) for extent in x.shape)
    return vs.SparseTensor(x.cells.astype(np.int32), x.features.float().numpy(), shape=shape)


@pytest.mark.parametrize("case", CASES)
def test_converted_network_gives_what_the_library_does(case, tmp_path):
    library, channels, network, source, arch = CASES[case]
    state, x, expected = made(library, channels, network)
    assert expected.std(axis=0).min() > 1e-4  # not one answer for all voxels
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "net.pth")
    notes = []
    model = vs.convert(tmp_path / "net.pth", notes=notes)
    assert model.arch == arch and f"recognised {arch} of {source}, kernels as {library.replace('2.1', '2.2')} has them" in notes
    assert relative_error(model.forward(tensor_of(x)), expected) < 1e-4
    assert relative_error(vs.convert(tmp_path / "net.pth", source=source).forward(tensor_of(x)), expected) < 1e-4


@pytest.mark.parametrize("names, source", [(AUTHORS, "cylinder3d"), (MMDET3D, "mmdet3d")], ids=["authors", "mmdet3d"])
@pytest.mark.parametrize("library", ["spconv1", "spconv2.2"])
def test_cylinder3d_shares_maps_where_its_library_does(names, source, library, tmp_path):
    net, points = Cylinder3d(names, library), points_in_cells(160)
    expected = net(points)
    torch.save({"state_dict": net.net.state}, tmp_path / "net.pth")
    notes = []
    model = vs.convert(tmp_path / "net.pth", notes=notes)
    assert f"recognised cylinder3d of {source}, kernels as {library} has them" in notes
    assert any("refuses to share" in note for note in notes) == (library != "spconv1")
    assert relative_error(model.forward(points), expected) < 1e-4
    labels = model.segment(points)
    np.testing.assert_array_equal(labels, expected.argmax(1))
    names_of_classes = [c.name for c in model.classes]
    assert names_of_classes.index("unlabeled") == (0 if source == "cylinder3d" else 19) and "car" in names_of_classes
