"""Every command and program of docs/look.md, in the order of the page, on a folder in nuScenes' layout of thin scans."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import voxshift as vs

PAGE = Path(__file__).parents[2] / "docs" / "look.md"
COMMAND = os.environ.get("VOXSHIFT_COMMAND")
pytestmark = pytest.mark.skipif(not COMMAND, reason="VOXSHIFT_COMMAND does not name the command to test")
THIN = 31  # every so manieth point of a simulated scan


def run(program, folder):
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, timeout=120)
    if "need OpenCV" in done.stderr:
        pytest.skip("this package has no OpenCV")
    assert done.returncode == 0, (program, done.stderr)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("look")
    scans = path / "nuscenes" / "samples" / "LIDAR_TOP"
    scans.mkdir(parents=True)
    for seed in range(3):
        points = vs.synth_lidar(seed)[0][::THIN]
        rows = np.column_stack([points[:, :3], points[:, 3] * 255, np.arange(len(points)) % 32]).astype("<f4")
        rows.tofile(scans / f"n015__LIDAR_TOP__{1533151603547590 + seed * 500000}.pcd.bin")
    clip = subprocess.run([COMMAND, "synth", "video", "--frames", "6", "-o", "clips"], cwd=path, capture_output=True, text=True)
    if clip.returncode == 0:
        (path / "clips" / "000000.mkv").rename(path / "drive.mkv")
    else:
        assert "OpenCV" in clip.stderr
    return path


@pytest.mark.parametrize("language, text", re.findall(r"(?m)^```(\w+)\n([\s\S]*?)^```$", PAGE.read_text(encoding="utf-8")),
                         ids=lambda part: part.split("\n")[0])
def test_page(language, text, folder):
    if language == "python":
        return run([sys.executable, "-c", text], folder)
    assert language == "sh"
    for line in text.splitlines():
        arguments = shlex.split(line)
        if arguments[:3] == ["python", "-m", "voxshift"]:
            pytest.importorskip("rerun", reason="rerun is not installed")
            arguments[0] = sys.executable
        else:
            assert arguments[0] == "voxshift"
            arguments[0] = COMMAND
        if "drive.mkv" not in arguments or (folder / "drive.mkv").exists():
            run(arguments, folder)


def test_what_the_page_says_of_the_files(folder):
    """After the page."""
    for name in ["labels/scans.html", "boxes/scans.html", "film.html"]:
        text = (folder / name).read_text(encoding="utf-8")
        assert text.startswith("<!DOCTYPE html>") and 'id="frame2"' in text and 'id="frame3"' not in text
    assert (folder / "segment.json").stat().st_size > 1000
