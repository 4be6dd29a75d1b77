"""`voxshift convert --to`: the tensors of models as the libraries have them."""

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import voxshift as vs
from command_fixture import fails, needs_command, succeeds, warns
from command_fixture import model as minkunet  # noqa: F401  a fixture

torch = pytest.importorskip("torch", reason="PyTorch is not installed: Debian's python3-torch")
sys.path.append(str(Path(__file__).parent.parent / "python"))
from library_detectors import Detector  # noqa: E402

pytestmark = needs_command

STYLES = ("spvnas", "torchsparse", "spconv2", "minkowski")


def stored(name, values, window, stride, style):
    """(name, numbers) of a kernel [K, Cin, Cout] or [Cin, Cout], tap by tap."""
    values = values.reshape(np.prod(window), *values.shape[-2:])
    inputs, out = values.shape[1:]
    module = name.rsplit(".", 1)[0]
    if style == "spconv2":
        kernel = np.zeros((out, *window, inputs), np.float32)
        if np.prod(window) == 1:  # which is used as view(Cin, Cout)
            return module + ".weight", values.reshape(out, *window, inputs)
        for tap in range(len(values)):
            kernel[(slice(None), *np.unravel_index(tap, window))] = values[tap].T
        return module + ".weight", kernel
    kernel = np.zeros_like(values)
    for tap in range(len(values)):
        x, y, z = np.unravel_index(tap, window)
        first_fastest = style == "minkowski" or len(values) % 2 == 1
        kernel[x + window[0] * (y + window[1] * z) if first_fastest else tap] = values[tap]
    return module + ".kernel", kernel[0] if len(values) == 1 and stride == 1 else kernel


def loaded(path, key=None):
    for options in ({}, {"weights_only": True}):
        file = torch.load(path, map_location="cpu", **options)
    return file[key] if key else file


@pytest.mark.parametrize("style", STYLES)
def test_every_tensor_is_where_the_library_looks(style, minkunet, tmp_path):
    path = tmp_path / "net.pth"
    read = succeeds if style != "spconv2" else warns  # its strided convolutions keep other voxels
    text = read("convert", minkunet, "-o", path, "--to", style)
    assert ("strided convolutions" in text) == (style == "spconv2")
    model, state = vs.Model.load(minkunet), loaded(path, "model" if style == "spvnas" else None)
    expected = {}
    for node in model.graph["nodes"]:
        for role, name in node.get("parameters", {}).items():
            values = model.parameters()[name]
            if node["op"] in ("conv", "conv_transpose") and role == "weight":
                name, values = stored(name, values, node["kernel_size"], np.prod(node["stride"]), style)
            elif style == "minkowski":
                module, tensor = name.rsplit(".", 1)
                name = f"{module}.{'bn' if node['op'] == 'batch_norm' else 'linear'}.{tensor}"
            expected[name] = values
    assert set(state) == set(expected)
    for name, tensor in state.items():
        assert tensor.dtype == torch.float32 and tensor.is_contiguous()
        np.testing.assert_array_equal(tensor.numpy(), expected[name], err_msg=name)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_there_and_back(suffix, minkunet, tmp_path):
    path = tmp_path / ("net" + suffix)
    succeeds("convert", minkunet, "-o", path, "--to", "spvnas")
    back, model = vs.convert(path), vs.Model.load(minkunet)
    points = vs.synth_lidar(1)[0]
    np.testing.assert_array_equal(back.segment(points), model.segment(points))
    for name, values in model.parameters().items():
        np.testing.assert_array_equal(back.parameters()[name], values, err_msg=name)


@pytest.mark.parametrize("arch, style, classes, columns, pillars", [
    ("second", "openpcdet", 3, 4, False), ("centerpoint", "mmdet3d", 10, 5, False), ("pointpillars", "openpcdet", 3, 4, True),
])  # fmt: skip
def test_detectors_go_back_to_z_y_x(arch, style, classes, columns, pillars, tmp_path):
    net = Detector(arch, style, classes, columns, pillars, seed=6)
    key = "model_state" if style == "openpcdet" else "state_dict"
    torch.save({key: net.state_dict()}, tmp_path / "in.pth")
    vs.convert(tmp_path / "in.pth").save(tmp_path / "net.safetensors")
    succeeds("convert", tmp_path / "net.safetensors", "-o", tmp_path / "out.pth", "--to", "spconv2")
    state = loaded(tmp_path / "out.pth", key)
    other = Detector(arch, style, classes, columns, pillars, seed=7)
    result = other.load_state_dict(state, strict=False)  # with the norms' counters, which torch supplies
    assert result.unexpected_keys == [] and set(result.missing_keys) <= {"global_step"}
    for name, tensor in net.state_dict().items():
        if not name.endswith(("num_batches_tracked", "global_step")):
            assert torch.equal(tensor, other.state_dict()[name]), name
    if not pillars:
        first = next(name for name in state if name.endswith("conv_input.0.weight"))
        assert state._metadata[first.removesuffix(".weight")]["version"] == 2  # mmdetection3d's mark of spconv 2


def test_the_same_bytes_for_the_same_model(minkunet, tmp_path):
    for name in ("a.pth", "b.pth"):
        succeeds("convert", minkunet, "-o", tmp_path / name, "--to", "torchsparse")
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        assert archive.testzip() is None  # every checksum is right
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())


def test_what_is_refused(minkunet, tmp_path):
    torch.save({"x": torch.zeros(3)}, tmp_path / "net.pth")
    fails("convert", tmp_path / "net.pth", "-o", tmp_path / "out.pth", "--to", "spconv2", says=[tmp_path / "net.pth"])
    fails("convert", minkunet, "-o", tmp_path / "no" / "out.pth", "--to", "spconv2", says=[tmp_path / "no" / "out.pth"])
    assert not (tmp_path / "out.pth").exists()
