"""Every command and program of docs/deploy.md, run in the order of the page on small networks of the same names."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import voxshift as vs

torch = pytest.importorskip("torch")
import voxel_rules as rules  # noqa: E402
from convert_cylinder import MMDET3D, Cylinder3d, points_in_cells  # noqa: E402
from convert_networks import Mmdet3d, Spvnas, fcgf, res16unet, spunet  # noqa: E402
from convert_oracle import Net, scan  # noqa: E402
from convert_video_test import saved as save_tsm  # noqa: E402
from library_detectors import Detector  # noqa: E402
from library_points import PointNet2  # noqa: E402
from onnx_networks import Mobile, export, settled  # noqa: E402
from onnx_sparse_test import SHAPE, encoder  # noqa: E402
from onnx_writer import node  # noqa: E402

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"
COMMAND = os.environ.get("VOXSHIFT_COMMAND")
pytestmark = pytest.mark.skipif(not COMMAND, reason="VOXSHIFT_COMMAND does not name the command to test")


def blocks():
    """(heading, language, lines) of the page's programs."""
    found, heading = [], ""
    for part in re.split(r"(?m)^(## .*|```\w+\n[\s\S]*?^```)$", PAGE.read_text()):
        if part.startswith("## "):
            heading = part[3:]
        elif part.startswith("```"):
            language, text = re.match(r"```(\w+)\n([\s\S]*)```", part).groups()
            found.append((heading, language, text))
    return found


def save_network(path, library, channels, network, **more):
    net = Net(library)
    network(net, scan(channels))
    torch.save({"state_dict": net.state, **more}, path)


def save_cylinder3d(path):
    network = Cylinder3d(MMDET3D)
    network(points_in_cells(160))
    torch.save({"state_dict": network.net.state}, path)


def save_scn(path):
    random = np.random.default_rng(0)
    scn, _, (height, width, depth) = encoder(random, rules.voxels(random, SHAPE, 40, 4), lambda grid: grid)
    scn.nodes += [node("ScatterDense", ["7"], ["8"], input_spatial_shape=(height, width, depth), format="xyz",
                       output_shape=(1, 10, height, width, depth)),
                  node("Transpose", ["8"], ["9"], dims=(0, 1, 4, 2, 3)),
                  node("Reshape", ["9"], ["10"], dims=(1, 10 * depth, height, width))]  # fmt: skip
    scn.write(path, ["10"])


def save_voxels(folder):
    x = scan(3)
    np.save(folder / "voxels.npy", x.cells.astype(np.int32))
    np.save(folder / "colours.npy", x.features.float().numpy())
    np.save(folder / "ones.npy", np.ones((len(x.cells), 1), np.float32))
    cells = list(rules.voxels(np.random.default_rng(0), SHAPE, 40, 4).items())
    np.save(folder / "cells.npy", np.array([(0, *cell) for cell, _ in cells], np.int32))
    np.save(folder / "grid.npy", np.int32(SHAPE))
    np.save(folder / "features.npy", np.array([values for _, values in cells], np.float32))


MY_NETWORK = """
import torch
from torch import nn
import spconv.pytorch as spconv

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = spconv.SparseSequential(
            spconv.SubMConv3d(4, 8, 3, indice_key="a"), nn.BatchNorm1d(8), nn.ReLU(),
            spconv.SparseConv3d(8, 8, 3, 2, 1, indice_key="b"), nn.ReLU(), spconv.SparseInverseConv3d(8, 5, 3, indice_key="b"))

    def forward(self, batch):
        return self.net(spconv.SparseConvTensor(batch["features"], batch["coords"], [16, 16, 16], 1)).features

def example():
    torch.manual_seed(0)
    coords = torch.unique(torch.randint(0, 16, (300, 4)) * torch.tensor([0, 1, 1, 1]), dim=0).int()
    return {"features": torch.randn(len(coords), 4), "coords": coords}
"""


def save_my_network(folder):
    from voxshift.torch import compat

    (folder / "my_network.py").write_text(MY_NETWORK)
    names = {}
    with compat():
        exec(MY_NETWORK, names)
        torch.save(names["Net"]().state_dict(), folder / "my_network.pth")


def save_all(folder):
    """Small networks as the libraries store them, and what else the page names."""
    points, _ = vs.synth_lidar(seed=1)
    points[:: 7].tofile(folder / "scan.bin")
    save_voxels(folder)
    save_my_network(folder)
    save_network(folder / "minkunet.pth.tar", "torchsparse", 4, lambda net, x: Spvnas(net).minkunet(x), epoch=3)
    save_network(folder / "minkunet_w32.pth", "spconv2.2", 4, lambda net, x: Mmdet3d(net).minkunet(x))
    save_network(folder / "res16unet34c.pth", "minkowski", 3, res16unet)
    save_network(folder / "fcgf.pth", "minkowski", 1, fcgf)
    save_network(folder / "spunet_semantic_kitti.pth", "spconv2.2", 4, spunet)
    save_cylinder3d(folder / "cylinder3d.pth")
    for style, name in (("mmdet3d", "second_kitti.pth"), ("openpcdet", "second_7862.pth")):
        state = Detector("second", style, 3, 4).state_dict()
        torch.save({"model_state": state} if style == "openpcdet" else {"state_dict": state}, folder / name)
    torch.save({"model_state_dict": PointNet2("parts", False, 6, 50).state_dict()}, folder / "pointnet2_part_seg.pth")
    random = np.random.default_rng(0)
    np.save(folder / "object.npy", np.c_[random.random((700, 6)), np.eye(16)[[3] * 700]].astype(np.float32))
    save_scn(folder / "lidar_backbone.scn.onnx")
    save_tsm("tsm-mobilenetv2", "bare", folder / "mobilenetv2_jester_online.pth.tar")
    save_tsm("tsm-mobilenetv2", "official", folder / "TSM_kinetics_mobilenetv2.pth")
    export(settled(Mobile()), folder / "classifier.onnx")
    np.save(folder / "images.npy", random.random((2, 16, 20, 3), np.float32))
    run("voxshift synth video --seed 1 --count 1 -o clips", folder)
    next((folder / "clips").glob("*.mkv")).rename(folder / "clip.mkv")


def run(line, folder):
    arguments = shlex.split(line)
    assert arguments[0] == "voxshift"
    done = subprocess.run([COMMAND, *arguments[1:]], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (line, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("deploy")
    save_all(path)
    return path


@pytest.mark.parametrize("block", blocks(), ids=lambda block: f"{block[0]}: {block[2].split(chr(10))[0]}")
def test_page(block, folder):
    _, language, text = block
    if language == "python":
        done = subprocess.run([sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return
    assert language == "sh"
    for line in text.splitlines():
        out = run(line, folder)
        if line.startswith("voxshift convert") and "--to" not in line:
            assert out.startswith("recognised "), out


def test_every_network_of_the_table_is_there():
    headings = {block[0].lower().replace(" ", "-") for block in blocks()}
    links = re.findall(r"\]\(#([\w-]+)\)", PAGE.read_text())
    assert links and set(links) <= headings
