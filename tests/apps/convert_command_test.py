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


@pytest.mark.parametrize("way", [["-o"], ["--to", "spvnas", "-o"]])
def test_what_is_read_is_not_written_over(way, checkpoint, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("".join(f"kind {i}\n" for i in range(19)))
    read = {names: names.read_bytes()}
    if "--to" in way:
        checkpoint = tmp_path / "model.safetensors"
        succeeds("new", "minkunet", "--width", 0.0625, "-o", checkpoint)
    else:
        fails("convert", checkpoint, "--classes", names, "-o", names, says=[f"{names}: is read by this conversion"])
        profile = tmp_path / "profile.json"
        profile.write_text(succeeds("info", "spvnas", "--profile"))
        read[profile] = profile.read_bytes()
        fails("convert", checkpoint, "--preprocess", profile, "-o", profile, says=[profile, "give another --out"])
    read[checkpoint] = checkpoint.read_bytes()
    (tmp_path / "link").symlink_to(checkpoint)
    for source, out in [(checkpoint, checkpoint), (checkpoint, tmp_path / "link"), (tmp_path / "link", checkpoint)]:
        fails("convert", source, *way, out, says=[f"{out}: is read by this conversion", "--out"])
    assert all(path.read_bytes() == content for path, content in read.items())


def test_a_model_is_not_converted_again(checkpoint, tmp_path):
    """Its preprocessing and classes would be guessed anew."""
    names, model, other = tmp_path / "names.txt", tmp_path / "net.safetensors", tmp_path / "other.safetensors"
    names.write_text("".join(f"kind {i}\n" for i in range(19)))
    warns("convert", checkpoint, "-o", model, "--classes", names)
    other.write_bytes(b"what was there")
    fails("convert", model, "-o", other, says=[model, "is a model already", "--to", ".onnx"])
    with pytest.raises(vs.IoError, match="is a model already"):
        vs.convert(model)
    assert other.read_bytes() == b"what was there"


def test_options_that_would_do_nothing_are_refused(checkpoint, tmp_path):
    model = tmp_path / "net.safetensors"
    warns("convert", checkpoint, "-o", model)
    frames = tmp_path / "frames.safetensors"
    succeeds("new", "tsm-mobilenetv2", "--width", 0.125, "-o", frames)
    names = tmp_path / "names.txt"
    names.write_text("a\nb\n")
    before = files(tmp_path)
    for option in [["--from", "spvnas"], ["--arch", "minkunet"], ["--layout", "spconv1"], ["--classes", names],
                   ["--preprocess", "spvnas"], ["--outputs", "a"]]:
        result = run("convert", model, "--to", "spvnas", "-o", tmp_path / "back.pth", *option)
        assert result.returncode == 2 and option[0] in result.stderr and "--to" in result.stderr
        fails("convert", frames, "-o", tmp_path / "net.onnx", *option, says=[frames, "options are for checkpoints"])
    assert files(tmp_path) == before


def test_what_a_file_is_called_is_what_it_becomes(checkpoint, tmp_path):
    model = tmp_path / "net.safetensors"
    warns("convert", checkpoint, "-o", model)
    before = files(tmp_path)
    for source in (checkpoint, model):
        fails("convert", source, "-o", tmp_path / "back.pth", says=[tmp_path / "back.pth", ".safetensors", "--to"])
    fails("convert", model, "--to", "spvnas", "-o", tmp_path / "a.onnx", says=[tmp_path / "a.onnx", "without it"])
    fails("convert", checkpoint, "--to", "spvnas", "-o", tmp_path / "a.pth", says=[checkpoint, "expects a model"])
    assert files(tmp_path) == before


def test_files_of_other_kinds_are_named_as_such(checkpoint, tmp_path):
    """Where a model is wanted: no length that a header of safetensors would claim."""
    np.save(tmp_path / "array.npy", np.zeros(4))
    (tmp_path / "words.txt").write_text("these are some words\n")
    (tmp_path / "random.bin").write_bytes(np.random.default_rng(0).bytes(500))
    np.zeros((50, 4), np.float32).tofile(tmp_path / "scan.bin")
    for name in ["array.npy", "words.txt", "random.bin"]:
        fails("info", tmp_path / name, says=[f"{name}: is no safetensors file; `voxshift convert` makes"])
    for name in ["array.npy", "net.pth"]:
        fails("segment", tmp_path / "scan.bin", "--model", tmp_path / name, "--out", tmp_path / "out",
              says=[f"{name}: is no safetensors file"])
    model = tmp_path / "net.safetensors"
    warns("convert", checkpoint, "-o", model)
    model.write_bytes(model.read_bytes()[:100])
    fails("info", model, says=["claims a header", "it is cut"])


def test_names_of_classes_that_are_no_text(checkpoint, tmp_path):
    names, model = tmp_path / "names.txt", tmp_path / "net.safetensors"
    names.write_bytes(b"voiture\n\xe9tage\n" + b"x\n" * 17)
    fails("convert", checkpoint, "-o", model, "--classes", names, says=[names, "not UTF-8", '"\\ufffdtage"'])
    assert files(tmp_path) == ["names.txt", "net.pth"]


def test_an_unknown_network_is_sent_on(tmp_path):
    torch.save({"fc.weight": torch.zeros(4, 3)}, tmp_path / "net.pth")
    fails("convert", tmp_path / "net.pth", "-o", tmp_path / "net.safetensors",
          says=["net.pth", "expected the tensors of spvnas", '"fc.weight" [4, 3]', "voxshift.torch.export"])


def test_a_pickle_that_calls_is_refused_and_not_run(tmp_path):
    class Call:
        def __reduce__(self):
            return __import__("os").system, (f"touch {tmp_path}/ran",)

    torch.save({"state_dict": Call()}, tmp_path / "net.pth")
    fails("convert", tmp_path / "net.pth", "-o", tmp_path / "net.safetensors", says=["net.pth", "system"])
    assert files(tmp_path) == ["net.pth"]
