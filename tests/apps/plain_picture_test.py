"""Pictures of a command that finds no OpenCV: read back by hand."""

import os
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from command_fixture import COMMAND, needs_command

MAP, PANEL = 1400, 460


def read_png(path):
    """uint8 [H, W, 3] of a PNG of RGB with 8 bits, whose rows are differences from the ones above."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        chunks[name] = chunks.get(name, b"") + data[at + 8 : at + 8 + length]
        assert zlib.crc32(data[at + 4 : at + 8 + length]) == struct.unpack(">I", data[at + 8 + length :][:4])[0]
        at += 12 + length
    width, height, *kind = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert kind == [8, 2, 0, 0, 0]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + 3 * width)
    assert (rows[:, 0] == 2).all()
    return np.cumsum(rows[:, 1:], axis=0, dtype=np.uint8).reshape(height, width, 3)


@pytest.fixture
def command(tmp_path):
    """A copy of the program that has no modules beside it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = shutil.copy(COMMAND, folder / "voxshift")
    models = Path(COMMAND).resolve().parent.parent / "share" / "voxshift" / "models"
    environment = {**os.environ, "VOXSHIFT_MODELS": str(models)}

    def run(*arguments):
        result = subprocess.run([program, *map(str, arguments)], capture_output=True, timeout=120, env=environment, text=True)
        assert (result.returncode, result.stderr) == (0, "")
        return result.stdout

    assert "OpenCV off" in run("--version")
    return run


@needs_command
def test_points_are_drawn_where_they_are_in_the_colours_of_their_classes(command, tmp_path):
    command("synth", "lidar", "--pictures", "--out", tmp_path)
    image = read_png(tmp_path / "pictures" / "000000.png")
    assert image.shape == (MAP, MAP + PANEL, 3)
    points = np.fromfile(tmp_path / "velodyne" / "000000.bin", np.float32).reshape(-1, 4)
    labels = np.fromfile(tmp_path / "labels" / "000000.label", np.uint32) & 0xFFFF
    colours = {40: (255, 0, 255), 50: (255, 200, 0), 70: (0, 175, 0)}  # SemanticKITTI's road, building, vegetation
    reach = np.quantile(np.abs(points[:, :2]).max(1), 0.99)
    half = min(50, 1.05 * reach)
    for label, colour in colours.items():
        mine = points[labels == label][:, :2]
        column, row = (np.floor(MAP / 2 - mine[:, axis] * MAP / (2 * half)).astype(int) for axis in (1, 0))
        shown = (column >= 0) & (row >= 0) & (column < MAP - 2) & (row < MAP - 2)
        hits = (image[row[shown], column[shown]] == colour).all(1)
        assert shown.sum() > 500 and hits.mean() > 0.7  # higher points cover some, a pixel's edge moves some
    panel = image[:, MAP + 16 :]
    assert (panel[170:180, 5:20] == panel[170, 5]).all() and tuple(panel[170, 5]) in colours.values()  # the largest class
    assert (panel[30:70] < 100).any() and (panel[80:110] < 200).any()  # title, count of points
    assert (image[:, : MAP + 16] == image[:1, MAP + 1 : MAP + 2]).all(2)[:, MAP:].all()  # nothing between map and panel


@needs_command
def test_every_picture_can_be_drawn(command, tmp_path):
    command("synth", "lidar", "--out", tmp_path)
    scan = tmp_path / "velodyne" / "000000.bin"
    command("segment", scan, "--out", tmp_path / "labels")
    command("detect", scan, "--out", tmp_path / "boxes")
    command("eval", "--pred", tmp_path / "labels", "--gt", tmp_path / "labels", "--picture", tmp_path / "matrix.png")
    command("synth", "video", "--count", 1, "--frames", 2, "--size", 64, "--images", "--out", tmp_path / "clips")
    sizes = {path: struct.unpack(">II", path.read_bytes()[16:24]) for path in tmp_path.rglob("*.png")}
    assert sizes.pop(tmp_path / "labels" / "000000.png") == sizes.pop(tmp_path / "boxes" / "000000.png") == (1860, 1400)
    width, height = sizes.pop(tmp_path / "matrix.png")
    assert 1000 < width < 1600 and 1000 < height < 1600
    assert sorted(sizes.values()) == [(64, 64)] * 2
    frame = read_png(tmp_path / "clips" / "000000" / "000000.png")
    assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 10
