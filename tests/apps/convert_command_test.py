"""`voxshift convert`: what it says, refuses and leaves behind."""

import sys
from pathlib import Path

import numpy as np
import pytest
from command_fixture import fails, files, needs_command, run, succeeds, warns

vs = pytest.importorskip("voxshift")
torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))

from convert_networks import Spvnas, fcgf  # noqa: E402
from convert_oracle import Net, scan  # noqa: E402

pytestmark = needs_command


@pytest.fixture(scope="module")
def state():
    net = Net("torchsparse", 1)
    Spvnas(net).minkunet(scan(4))
    return net.state


@pytest.fixture
def checkpoint(state, tmp_path):
    torch.save({"model": {f"module.{name}": tensor for name, tensor in state.items()}, "epoch": 2}, tmp_path / "net.pth")
    return tmp_path / "net.pth"


def test_says_what_it_did(checkpoint, tmp_path):
    model = tmp_path / "net.safetensors"
    result = run("convert", checkpoint, "-o", model)
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "recognised minkunet of spvnas, kernels as torchsparse has them"
    assert 'took the tensors under "model"' in lines and 'took "module." from the names of the tensors' in lines
    assert any(line.startswith("mapped 247 tensors, 0.0") for line in lines)
    assert any(line.startswith("left out 49 tensors, counts of batches") for line in lines)
    assert "preprocessing: spvnas" in lines and "classes: 19, car to traffic-sign" in lines
    assert lines[-1].startswith(f"{model}: minkunet, 0.0")
    assert result.stderr.splitlines() == [
        "voxshift: warning: the checkpoint does not say how points become its input: "
        'took the profile "spvnas" (--preprocess)'
    ]
    assert files(tmp_path) == ["net.pth", "net.safetensors"]
    np.testing.assert_array_equal(
        vs.Model.load(model).parameters()["stem.0.kernel"], vs.convert(checkpoint).parameters()["stem.0.kernel"]
    )
    assert "minkunet" in succeeds("info", model)


def test_options(checkpoint, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("".join(f"kind {i}\r\n" for i in range(19)) + "\n")
    model = tmp_path / "net.safetensors"
    out = succeeds("convert", checkpoint, "-o", model, "--classes", names, "--preprocess", "nuscenes", "--from", "spvnas",
                   "--arch", "minkunet", "--layout", "torchsparse")
    assert "classes: 19, kind 0 to kind 18" in out and "preprocessing: nuscenes" in out
    assert vs.Model.load(model).classes[18].name == "kind 18"


def test_features_without_classes_or_preprocessing(tmp_path):
    net = Net("minkowski")
    fcgf(net, scan(1))
    torch.save({"state_dict": net.state}, tmp_path / "net.pth")
    warnings = warns("convert", tmp_path / "net.pth", "-o", tmp_path / "net.safetensors")
    assert "normalize_feature" in warnings and "no preprocessing" in warnings
    assert "Outputs: normalized" in succeeds("info", tmp_path / "net.safetensors")


def test_usage(checkpoint, tmp_path):
    model = tmp_path / "net.safetensors"
    for arguments in [[checkpoint], ["-o", model], [checkpoint, "-o", model, "--from", "lidar"],
                      [checkpoint, "-o", model, "--widths", "2"], [checkpoint, checkpoint, "-o", model]]:
        assert run("convert", *arguments).returncode == 2
    assert "--layout" in succeeds("convert", "--help")


def test_errors_name_the_file_and_leave_what_was_there(checkpoint, state, tmp_path):
    model = tmp_path / "net.safetensors"
    model.write_bytes(b"what was there")

    def refused(*arguments, says):
        fails("convert", *arguments, "-o", model, says=says)
        assert model.read_bytes() == b"what was there"

    refused(tmp_path / "nowhere.pth", says=["nowhere.pth"])
    refused(tmp_path, says=[tmp_path])
    refused(checkpoint, "--from", "fcgf", says=[checkpoint, "expected the tensors of fcgf"])
    refused(checkpoint, "--layout", "spconv1", says=[checkpoint, "never laid out as spconv1"])
    refused(checkpoint, "--layout", "zyx", says=[checkpoint, "layout expects one of"])
    refused(checkpoint, "--arch", "spvcnn", says=[checkpoint, "arch expects minkunet"])
    refused(checkpoint, "--preprocess", "kitti-voxels", says=[checkpoint, "takes voxels, the profile"])
    refused(checkpoint, "--preprocess", "nowhere.json", says=["nowhere.json"])
    refused(checkpoint, "--classes", tmp_path / "nowhere.txt", says=["nowhere.txt"])
    (tmp_path / "names.txt").write_text("car\nroad\n")
    refused(checkpoint, "--classes", tmp_path / "names.txt", says=[checkpoint, "19 classes apart, found 2"])
    (tmp_path / "names.txt").write_text("\n")
    refused(checkpoint, "--classes", tmp_path / "names.txt", says=["names.txt: expected the names of the classes"])
    bad = tmp_path / "bad.pth"
    for change, says in [
        ({"stem.3.kernel": None}, '"stem.3.kernel" is missing'),
        ({"stem.1.weight": None}, '"stem.1.weight" is missing, expected [6]'),
        ({"stem.1.weight": torch.zeros(7)}, '"stem.1.weight" is [7], expected [6]'),
        ({"stem.9.weight": torch.zeros(7)}, '"stem.9.weight" [7] has no place'),
    ]:
        torch.save({k: v for k, v in (state | change).items() if v is not None}, bad)
        refused(bad, says=[bad, says])
    bad.write_bytes(checkpoint.read_bytes()[:-2000])
    refused(bad, says=[bad])
    fails("convert", checkpoint, "-o", tmp_path / "no" / "folder.safetensors", says=["folder.safetensors"])


def test_a_pickle_that_calls_is_refused_and_not_run(tmp_path):
    class Call:
        def __reduce__(self):
            return __import__("os").system, (f"touch {tmp_path}/ran",)

    torch.save({"state_dict": Call()}, tmp_path / "net.pth")
    fails("convert", tmp_path / "net.pth", "-o", tmp_path / "net.safetensors", says=["net.pth", "system"])
    assert files(tmp_path) == ["net.pth"]
