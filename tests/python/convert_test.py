"""Checkpoints of other libraries become models that give what the libraries do."""

import argparse
import warnings

import numpy as np
import pytest
import voxshift as vs
from convert_cylinder import AUTHORS, MMDET3D, Cylinder3d, points_in_cells
from convert_networks import Mmdet3d, Spvnas, fcgf, res16unet, sparse_resunet, spunet
from convert_oracle import Net, offsets, scan, torch
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


class EasyDict(dict):
    """As the package of this name has it: entries are attributes, too."""

    def __init__(self, **entries):
        super().__init__(entries)
        self.__dict__.update(entries)


@pytest.mark.parametrize("form", [dict, argparse.Namespace, EasyDict])
@pytest.mark.parametrize("normalize", [True, False])
def test_fcgf_says_whether_features_are_normalised(form, normalize, tmp_path):
    net, x = Net("minkowski"), scan(1)
    expected = fcgf(net, x, normalize=normalize).numpy()
    config = form(voxel_size=0.025, normalize_feature=normalize)
    torch.save({"state_dict": net.state, "config": config}, tmp_path / "net.pth")
    notes = []
    model = vs.convert(tmp_path / "net.pth", notes=notes)
    assert relative_error(model.forward(tensor_of(x)), expected) < 1e-4
    assert not any("normalize_feature" in note for note in notes)


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


def test_a_backbone_gives_the_features_of_all_levels(tmp_path):
    net, x = Net("torchsparse"), scan(4)
    expected = sparse_resunet(net, x)
    torch.save(net.state, tmp_path / "net.pth")
    notes = []
    model = vs.convert(tmp_path / "net.pth", notes=notes)
    outputs = model.run(tensor_of(x))
    assert notes[0].startswith("recognised sparse-resunet of torchsparse") and len(outputs) == len(expected) == 9
    for name, value in zip(model.graph["outputs"], expected):
        features, coords = outputs[name]
        np.testing.assert_array_equal(coords, value.cells)
        assert relative_error(features, value.features.numpy()) < 1e-4


@pytest.fixture(scope="module")
def minkunet():
    """spvnas' MinkUNet: its state dict, voxels and logits."""
    return made("torchsparse", 4, lambda net, x: Spvnas(net).minkunet(x))


def converted(path, content, **options):
    """The model of what torch saves, and the notes."""
    torch.save(content, path)
    notes = []
    return vs.convert(path, notes=notes, **options), notes


def prefixed(state, prefix):
    return {prefix + name: tensor for name, tensor in state.items()}


def with_points(state, trained):
    """The layers on points that MinkUNet of spvnas has and never uses."""
    points = {"point_transforms.0.0.weight": torch.rand(12, 6), "point_transforms.0.0.bias": torch.rand(12)}
    points |= {"point_transforms.1.0.weight": torch.rand(10, 12), "point_transforms.1.0.bias": torch.rand(10)}
    points |= {"point_transforms.2.0.weight": torch.rand(7, 10), "point_transforms.2.0.bias": torch.rand(7)}
    for i, count in enumerate((12, 10, 7)):
        norm = torch.nn.BatchNorm1d(count)
        if trained:
            norm(torch.randn(9, count))
        points |= prefixed(norm.state_dict(), f"point_transforms.{i}.1.")
    return state | points


WRAPPED = {
    "the file itself": (lambda s: s, []),
    "spvnas": (lambda s: {"model": prefixed(s, "module."), "optimizer": {"state": {0: torch.ones(3)}}, "epoch": 4},
               ['took the tensors under "model"', 'took "module." from the names of the tensors']),
    "averages beside": (lambda s: {"state_dict": s, "ema_state_dict": s}, ['left out "ema_state_dict", another copy of the weights']),
    "student and teacher": (lambda s: {"state_dict": prefixed(s, "student.") | prefixed(s, "teacher.")},
                            ['took "student." from the names of the tensors', "another copy of the weights or single numbers"]),
    "compiled": (lambda s: {"net": {"state_dict": prefixed(s, "_orig_mod.model.")}}, ['took "_orig_mod.model." from the names']),
    "average of a model": (lambda s: prefixed(s, "module.") | {"n_averaged": torch.tensor(3)}, ["single numbers"]),
    "averages alone": (lambda s: {"ema": prefixed(s, "module."), "epoch": 4}, ['took the tensors under "ema"']),
    "a key of its own": (lambda s: {"segmenter": {"state_dict": s}, "optimizer": {"state": {0: torch.ones(3)}}},
                         ['took the tensors under "segmenter.state_dict"']),
    "names of its own": (lambda s: {"model": prefixed(s, "module.my_net.")}, ['took "module.my_net." from the names']),
    "another network beside": (lambda s: {"model": s, "net": {"w": torch.ones(3)}, "d": {"model": {"w": torch.ones(3)}}},
                               ['left out "net", which holds tensors', 'left out "d.model", which holds tensors']),
    "another network within": (lambda s: {"model": {"student": s, "critic": {"w": torch.ones(3)}}},
                               ['took the tensors under "model.student"', 'left out "critic", which holds tensors']),
    "with other entries": (lambda s: {"state_dict": s | {"epoch": 3}}, ["left out 1 entries that are no tensors"]),
}


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_wrappers_and_prefixes(wrapper, minkunet, tmp_path):
    state, x, expected = minkunet
    wrapped, says = WRAPPED[wrapper]
    model, notes = converted(tmp_path / "net.t7", wrapped(state))
    assert relative_error(model.forward(tensor_of(x)), expected) < 1e-4
    assert not [line for line in says if line not in "\n".join(notes)], notes


def test_guesses_are_warnings_where_no_list_takes_them(minkunet, tmp_path):
    torch.save(minkunet[0], tmp_path / "net.pth")
    with pytest.warns(UserWarning, match=r'^\[convert\] the checkpoint does not say .* took the profile "spvnas"'):
        vs.convert(tmp_path / "net.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vs.convert(tmp_path / "net.pth", profile="spvnas")
        notes = []
        vs.convert(tmp_path / "net.pth", notes=notes)
    assert any(note.startswith("guess: the checkpoint does not say") for note in notes)


class Whole(torch.nn.Linear):
    pass


@pytest.mark.parametrize(("content", "says"), [
    (lambda s: {"generator": s, "critic": {"w": torch.ones(3)}}, 'of "generator", "critic"; save the one that is wanted'),
    (lambda s: Whole(2, 2), r"Whole; of a whole module save torch.save\(module.state_dict\(\), ..\)"),
    (lambda s: {"model": Whole(2, 2), "epoch": 3}, r"object of .*Whole\), \"epoch\"; of a whole module save"),
    (lambda s: {"optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": []}}, 'found a dict of "optimizer"$'),
    (lambda s: list(s.values()), "found a list$"),
])  # fmt: skip
def test_files_without_one_state_dict(content, says, minkunet, tmp_path):
    torch.save(content(minkunet[0]), tmp_path / "net.pth")
    with pytest.raises(vs.IoError, match=says):
        vs.convert(tmp_path / "net.pth")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_numbers_of_other_types(dtype, minkunet, tmp_path):
    state, x, _ = minkunet
    kind = getattr(torch, dtype)
    model, _ = converted(tmp_path / "net.pth", {k: v.to(kind) if v.is_floating_point() else v for k, v in state.items()})
    for name, tensor in model.parameters().items():
        stored = state[name].to(kind).float().numpy()
        np.testing.assert_array_equal(np.sort(tensor, axis=None), np.sort(stored, axis=None))


def test_minkunet_and_spvcnn_are_told_apart_by_their_statistics(minkunet, tmp_path):
    state, x, expected = minkunet
    model, notes = converted(tmp_path / "a.pth", with_points(state, trained=False))
    assert model.arch == "minkunet" and any("left out 21 tensors, which MinkUNet owns" in n for n in notes)
    assert any("untrained layers (--arch)" in note for note in notes)
    assert relative_error(model.forward(tensor_of(x)), expected) < 1e-4
    model, notes = converted(tmp_path / "b.pth", with_points(state, trained=True))
    assert model.arch == "spvcnn" and any("trained layers (--arch)" in note for note in notes)
    model, notes = converted(tmp_path / "b.pth", with_points(state, trained=True), arch="minkunet")
    assert relative_error(model.forward(tensor_of(x)), expected) < 1e-4 and not any("--arch" in note for note in notes)
    with pytest.raises(ValueError, match='arch expects minkunet, found "spvcnn"'):
        converted(tmp_path / "c.pth", state, arch="spvcnn")


def test_spvnas_uses_the_first_columns_of_its_classifier(tmp_path):
    original = vs.Model.new("spvnas", width=0.3, seed=2)
    state = {}
    for name, tensor in original.parameters().items():
        if tensor.ndim == 3:  # ours has the last axis fastest
            size = round(len(tensor) ** (1 / 3))
            order = [offsets("spconv1", size).index(tap) for tap in offsets("torchsparse", size)]
            tensor = tensor[order]
        state[name] = torch.from_numpy(np.array(tensor))
    state["classifier.linear.weight"] = torch.cat([state["classifier.linear.weight"], torch.rand(19, 40)], 1)
    model, notes = converted(tmp_path / "init", {"model": state})
    assert model.arch == "spvnas" and model.graph == original.graph
    x = scan(4)
    np.testing.assert_array_equal(model.forward(tensor_of(x)), original.forward(tensor_of(x)))


def test_scans_take_the_extent_of_their_voxels_on_spconv(tmp_path):
    """mmdetection3d: round(xyz / 0.05), from the lowest, and an extent of the highest coordinates + 1."""
    state, _, _ = made("spconv2.2", 4, lambda net, x: Mmdet3d(net).minkunet(x))
    model, _ = converted(tmp_path / "net.pth", state)
    cells = scan(4).cells
    cells = cells[cells[:, 0] == 0][:, 1:]
    cells = np.unique(cells - cells.min(0), axis=0)
    points = np.concatenate([cells * np.float32(0.05), np.random.default_rng(0).random((len(cells), 1))], 1).astype(np.float32)
    shape = tuple(int(extent) for extent in cells.max(0) + 1)
    expected = model.forward(vs.SparseTensor(np.insert(cells, 0, 0, axis=1).astype(np.int32), points, shape=shape))
    np.testing.assert_array_equal(model.segment(points), expected.argmax(1))


def test_classes_and_profiles(minkunet, tmp_path):
    state = minkunet[0]
    names = [f"kind {i}" for i in range(19)]
    model, notes = converted(tmp_path / "net.pth", state, classes=names, profile="nuscenes")
    assert [c.name for c in model.classes] == names and [c.raw_id for c in model.classes] == list(range(1, 20))
    assert model.profile["name"] == "nuscenes" and not any("--preprocess" in note for note in notes)
    assert "classes: 19, kind 0 to kind 18" in notes
    with pytest.raises(ValueError, match="tells 19 classes apart, found 2 names"):
        vs.convert(tmp_path / "net.pth", classes=["a", "b"])
    with pytest.raises(ValueError, match="takes voxels, the profile"):
        vs.convert(tmp_path / "net.pth", profile="kitti-voxels")
    profiles = {}
    for classes in (16, 19, 22):
        state, _, _ = made("spconv2.2", 4, lambda net, x: spunet(net, x, classes=classes))
        profiles[classes] = converted(tmp_path / "b.pth", state)[0].profile
    assert "range" not in profiles[16] or profiles[16]["range"] is None
    assert profiles[16]["scale"][3] == pytest.approx(1 / 255) and profiles[19]["name"] == "pointcept"
    assert profiles[22]["name"] == "pointcept-waymo"


def test_what_does_not_fit_is_refused(minkunet, tmp_path):
    state, path = minkunet[0], tmp_path / "net.pth"

    def refused(content, says, error=ValueError, **options):
        torch.save(content, path)
        with pytest.raises(error) as raised:
            vs.convert(path, **options)
        message = str(raised.value)
        assert "\n" not in message and all(part in message for part in says), message

    without = {k: v for k, v in state.items() if k != "stage2.1.net.4.running_var"}
    refused(without, ["[convert] spvnas", '"stage2.1.net.4.running_var" is missing, expected [8]'])
    refused(prefixed(without, "module."), ['"module.stage2.1.net.4.running_var" is missing'])
    refused(state | {"classifier.0.bias": torch.zeros(20)}, ['"classifier.0.bias" is [20], expected [19]'])
    refused(state | {"stem.0.kernel": torch.zeros(26, 4, 6)}, ['"stem.0.kernel" is [26, 4, 6]', "cube"])
    refused(state | {"aux_head.weight": torch.zeros(3, 3)}, ['"aux_head.weight" [3, 3] has no place in the network'])
    refused(prefixed(state, "model.") | {"head.weight": torch.zeros(3, 3)}, ['"head.weight" [3, 3] is outside of "model."'])
    refused({"a": torch.zeros(2, 2), "b": torch.zeros(3)}, ["expected the tensors of", "spvnas", '"a" [2, 2], "b" [3]'])
    refused(state, ["expected the tensors of fcgf, found 296"], source="fcgf")
    refused(state, ['from expects auto or one of spvnas, ', '"lidar"'], source="lidar")
    refused(state, ["the kernels of spvnas are never laid out as spconv1"], layout="spconv1")
    refused(state, ['layout expects one of torchsparse', '"zyx"'], layout="zyx")
    refused({"epoch": 3, "optimizer": {}}, ["net.pth", 'a dict of "epoch", "optimizer"'], OSError)
    refused([1, 2], ["net.pth", "expected a state dict", "a list"], OSError)
    refused({"model": torch.nn.Linear(2, 2)}, ["net.pth", "torch.nn.modules.linear.Linear"], OSError)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(OSError, match="net.pth"):
        vs.convert(path)
    with pytest.raises(OSError, match="nowhere"):
        vs.convert(tmp_path / "nowhere.pth")


def test_another_network_is_not_taken_for_the_one_asked_for(tmp_path):
    state, *_ = made("minkowski", 1, fcgf)
    for arch in ("minkunet", "fcg", "fcgf2"):
        with pytest.raises(ValueError, match=f'fcgf: arch expects fcgf, found "{arch}"'):
            converted(tmp_path / "net.pth", state, arch=arch)
    assert converted(tmp_path / "net.pth", state, arch="fcgf")[0].arch == "fcgf"


def test_layouts_that_shapes_do_not_fit_are_refused(tmp_path):
    state, _, _ = made("spconv1", 4, lambda net, x: Mmdet3d(net).minkunet(x))
    torch.save(state, tmp_path / "net.pth")
    assert vs.convert(tmp_path / "net.pth", layout="spconv1").arch == "minkunet"
    with pytest.raises(ValueError, match="mmdet3d: .*backbone.conv_input.0"):
        vs.convert(tmp_path / "net.pth", layout="spconv2.2")
