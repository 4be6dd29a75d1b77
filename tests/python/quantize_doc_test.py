"""Every command and program of docs/quantize.md, run in the order of the page on a small network and thin scans."""

import json
import os
import shlex
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import doc_blocks  # noqa: E402
from convert_networks import Spvnas  # noqa: E402
from convert_oracle import Net, scan  # noqa: E402

COMMAND = os.environ.get("VOXSHIFT_COMMAND")
pytestmark = pytest.mark.skipif(not COMMAND, reason="VOXSHIFT_COMMAND does not name the command to test")
THIN = 31  # every so manieth point of a simulated scan


def blocks():
    """(language, lines) of the page's programs."""
    return [(block.language, block.text) for block in doc_blocks.blocks("docs/quantize.md") if not block.reason]


def run(line, folder):
    arguments = shlex.split(line)
    assert arguments[0] == "voxshift"
    done = subprocess.run([COMMAND, *arguments[1:]], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (line, done.stderr)
    return done.stdout


def save_thinned(folder, seed):
    """A simulated scan and its labels, thinned, in folder/velodyne and folder/labels."""
    run(f"voxshift synth lidar --seed {seed} -o {folder.name}", folder.parent)
    for path, row in ((folder / "velodyne" / "000000.bin", 16), (folder / "labels" / "000000.label", 4)):
        np.fromfile(path, np.uint8).reshape(-1, row)[::THIN].tofile(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("quantize")
    net = Net("torchsparse")
    Spvnas(net).minkunet(scan(4))
    torch.save({"state_dict": net.state}, path / "checkpoint.pth")
    for name, seed in (("calibration", 1), ("held_out", 2)):
        save_thinned(path / name, seed)
    (path / "calibration" / "velodyne").rename(path / "scans")
    (path / "scan.bin").write_bytes((path / "scans" / "000000.bin").read_bytes())
    return path


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block[1].split("\n")[0])
def test_page(block, folder):
    language, text = block
    if language == "python":
        done = subprocess.run([sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return
    assert language == "sh"
    for line in text.splitlines():
        run(line, folder)


def test_what_the_page_says_of_the_files(folder):
    """After the page: halves and quarters of the size, and the keys that it names."""
    size = {name: (folder / f"{name}.safetensors").stat().st_size for name in ("net", "net_f16", "net_auto")}
    assert size["net_f16"] < 0.6 * size["net"]
    assert size["net_auto"] < size["net_f16"]
    scans = json.loads((folder / "i8.json").read_text())
    assert scans[0]["seconds"]["network"] > 0 and scans[0]["peak_rss_bytes"] > 0 and scans[0]["dtype"] == "i8"
    assert json.loads((folder / "layers.json").read_text())["layers"]
    assert (folder / "layers.png").read_bytes().startswith(b"\x89PNG")
