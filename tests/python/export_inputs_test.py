"""What export is given: modules, examples, classes and paths, wrong ones of which it names before anything is written."""

import os
import stat
import threading

import numpy as np
import pytest
import voxshift as vs
import voxshift.torch as vst
from sparse_torch import torch
from torch import nn
from voxshift.torch import spconv, torchsparse


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = spconv.SparseSequential(spconv.SubMConv3d(4, 6, 3), nn.BatchNorm1d(6), nn.ReLU())
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        y = self.body(x)
        return y.replace_feature(self.head(y.features))


COORDS = torch.unique(torch.randint(0, 8, (60, 4)) * torch.tensor([0, 1, 1, 1]), dim=0).int()


def example(dtype=torch.float32, coords=COORDS):
    return spconv.SparseConvTensor(torch.randn(len(coords), 4, dtype=dtype), coords, [8, 8, 8], 1)


def changed(change):
    net = Net()
    with torch.no_grad():
        change(net)
    return net


GIVEN = {
    r"expects a module of Python code, found OrderedDict": lambda: (Net().state_dict(), example()),
    r"expects a module of Python code, found SparseConvTensor": lambda: (example(), Net()),
    r"expects a module of Python code, found \w*ScriptModule": lambda: (torch.jit.script(nn.Linear(4, 3)), torch.ones(5, 4)),
    r"expects an example of what the module's forward takes": lambda: (Net(), None),
    r"the example holds no float tensor, found ndarray": lambda: (Net(), np.zeros((5, 4), np.float32)),
    r"the example holds no float tensor, found str": lambda: (Net(), "x"),
    r"expects a SparseConvTensor of voxshift.torch.spconv, found torch.Tensor": lambda: (Net(), torch.ones(5, 4)),
    r"expects a SparseConvTensor .* found voxshift.torch.torchsparse.tensor.SparseTensor": lambda: (
        Net(),
        torchsparse.SparseTensor(torch.ones(len(COORDS), 4), COORDS),
    ),
    r"some voxels in float32, found \d+ of float64": lambda: (Net(), example(torch.float64)),
    r"some voxels in float32, found 0 of float32": lambda: (Net(), example(coords=COORDS[:0])),
    r"float32 on the CPU, found float64 on cpu in head.weight: module.float\(\)": lambda: (
        changed(lambda net: net.head.double()),
        example(),
    ),
    r"float32 on the CPU, found float16 on cpu in body.0.weight": lambda: (Net().half(), example()),
    r"float32 on the CPU, found float32 on meta in body.0.weight": lambda: (Net().to("meta"), example()),
    r"gives no finite number": lambda: (changed(lambda net: net.head.weight.fill_(float("nan"))), example()),
}


@pytest.mark.parametrize("message", GIVEN)
def test_other_modules_and_examples_are_named(message, tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"what was there")
    with pytest.raises(ValueError, match=rf"^\[\w+\] .*{message}"):
        vst.export(*GIVEN[message](), path)
    assert path.read_bytes() == b"what was there" and os.listdir(tmp_path) == ["net.safetensors"]


def test_numbers_that_are_none_are_compared_where_there_are_others():
    net = changed(lambda net: net.head.weight[1].fill_(float("nan")))
    assert np.isnan(vst.export(net, example()).parameters()["head.weight"]).sum() == 6

    def twice(layer, given, found):
        found.detach().numpy()[:] *= 2  # unseen

    net = changed(lambda net: net.head.bias[1].fill_(float("inf")))
    net.head.register_forward_hook(twice)
    with pytest.raises(ValueError, match="other numbers than the module"):
        vst.export(net, example())


def test_classes_are_numbers_names_or_more(tmp_path):
    given = [3, ["car", "road", "wall"], [("car", 10, (1, 2, 3)), "road", vs.Model.new(width=0.0625).classes[0]]]
    found = [vst.export(Net(), example(), classes=classes).classes for classes in given]
    assert [c.name for c in found[0]] == ["class 0", "class 1", "class 2"]
    assert [(c.name, c.raw_id) for c in found[1]] == [("car", 1), ("road", 2), ("wall", 3)]
    assert [(c.name, c.raw_id) for c in found[2]] == [("car", 10), ("road", 2), ("car", 10)]
    assert len({c.rgb for c in found[1]}) == 3
    path = tmp_path / "net.safetensors"
    for classes, message in [(["car", "road"], "3 logits, the class list has 2"), (-1, "expects 0 to 8192, found -1"),
                             (10**12, "expects 0 to 8192")]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            vst.export(Net(), example(), path, classes=classes)
    assert not path.exists()


def test_a_detector_with_other_classes_is_one():
    model = vs.Model.new("pointpillars", profile="kitti-pillars", width=0.125)
    made = vst.to_model(vst.Network(model), classes=["walker", "rider", "van"])
    assert [c.name for c in made.classes] == ["walker", "rider", "van"] and made.detection == model.detection


def test_paths(tmp_path):
    (tmp_path / "net.safetensors.unchecked").write_text("somebody's")
    for path in [tmp_path / "net.safetensors", os.fsencode(tmp_path / "bytes.safetensors"), str(tmp_path / "net")]:
        vst.export(Net(), example(), path)
        assert vs.Model.load(path).graph["outputs"] == ["head"]
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    vst.export(Net(), example(), tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and vs.Model.load(tmp_path / "target").graph["outputs"] == ["head"]
    before = sorted(os.listdir(tmp_path))
    for path, message in [(tmp_path / "no" / "net.safetensors", "no/net.safetensors: cannot be written: No such"),
                          (tmp_path, "cannot be written: Is a directory")]:  # fmt: skip
        with pytest.raises(OSError, match=message):
            vst.export(Net(), example(), path)
    with pytest.raises(ValueError, match=r"vs.save_onnx\(model, path\) writes ONNX"):
        vst.export(Net(), example(), tmp_path / "net.onnx")
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "net.safetensors.unchecked").read_text() == "somebody's"


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    """As a device does: no file takes its place."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    vst.export(Net(), example(), pipe)
    reader.join()
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)
    (tmp_path / "net.safetensors").write_bytes(read[0])
    assert vs.Model.load(tmp_path / "net.safetensors").graph["outputs"] == ["head"]
