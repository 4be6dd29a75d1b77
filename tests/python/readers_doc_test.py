"""Every program of docs/readers.md, run in the order of the page, and what the page says of the results."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import voxshift as vs
from cloud2_bytes import TYPE, cdr, cloud, record_mcap
from voxshift.io.scan import NAMES

laspy = pytest.importorskip("laspy", reason="needs laspy (pip install voxshift[io])")
duckdb = pytest.importorskip("duckdb", reason="needs duckdb")
for module in ("lazrs", "mcap", "pyarrow", "rosbags"):
    pytest.importorskip(module, reason=f"needs {module} (pip install voxshift[io])")

PAGE = (Path(__file__).parents[2] / "docs" / "readers.md").read_text()
BLOCKS = re.findall(r"(?m)^```(\w+)\n([\s\S]*?)^```$", PAGE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the page's programs read: a recording, a tile, a scan."""
    path = tmp_path_factory.mktemp("readers")
    points = vs.synth_lidar(1)[0][::5].astype(np.float32)
    fields = [("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1), ("intensity", 12, 7, 1)]
    message = cdr(cloud(points.tolist(), fields, 16))
    chatter = ("std_msgs/msg/String", [(1, b"")])
    record_mcap(path / "drive.mcap", {"/points": (TYPE, [(1, message), (2, message)]), "/chatter": chatter})
    np.savez(path / "scan.npz", points=points)
    tile = laspy.create(point_format=1, file_version="1.2")
    tile.header.scales = [0.001] * 3
    tile.x, tile.y, tile.z = points[:, :3].astype(np.float64).T
    tile.intensity = np.round(points[:, 3] * 255)
    tile.return_number = np.full(len(points), 1)
    tile.write(path / "tile.las")
    return path


@pytest.mark.parametrize("block", BLOCKS, ids=[f"{kind}-{text.splitlines()[-1][:40]}" for kind, text in BLOCKS])
def test_page(block, folder):
    kind, text = block
    if kind == "sh":
        [line] = text.splitlines()
        assert line.startswith("pip install 'voxshift[io]'")
        extras = (Path(__file__).parents[2] / "pyproject.toml").read_text()
        [libraries] = re.findall(r"(?m)^io = \[(.*)\]$", extras)
        assert re.findall(r'"(\w+)', libraries) == re.findall(r"\w+", line.split("#")[1].split(";")[0])
    elif kind == "sql":
        rows = duckdb.sql(text.replace("'scans.parquet'", f"'{folder / 'scans.parquet'}'")).fetchall()
        labels = vs.read_points(folder / "scan.ply").label
        assert {name for name, _, _ in rows} == {"scan.npz"} and sum(count for *_, count in rows) == len(labels)
        assert len(rows) > 5
    else:
        assert kind == "python"
        done = subprocess.run([sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, timeout=300,
                              env={**os.environ, "PYTHONWARNINGS": "ignore"})
        assert done.returncode == 0, done.stderr
        for shown in re.findall(r"print\(scan\) +# (Scan\(.*) \.\.\)", text):
            assert done.stdout.startswith(shown.replace("N", str(len(vs.io.read_points(folder / "scan.npz")))))


def test_what_the_page_says_of_the_files(folder):
    model = vs.Model.pretrained("minkunet-lidar")
    expected = model.segment(vs.io.read_points(folder / "scan.npz").points)
    for _, _, scan in vs.io.read_messages(folder / "labelled.mcap"):
        assert scan.label.tolist() == expected.tolist()
    tile = laspy.read(folder / "labelled" / "tile.las")
    assert str(tile.header.version) == "1.4" and set(np.array(tile.classification).tolist()) & {2, 5, 6, 11}
    assert np.fromfile(folder / "scan.label", np.uint32).tolist() == [model.classes[label].raw_id for label in expected]


def test_the_pages_names():
    """Formats, options and names of fields are those of the code."""
    from voxshift.io import labels, points

    for extension in [*points.COMPILED, *points.READERS, *points.BAGS, *filter(None, labels.WRITERS)]:
        assert f"`{extension}`" in PAGE
    scans = (Path(__file__).parents[2] / "docs" / "scans.md").read_text()
    for name in {name for names in NAMES.values() for name in names}:
        assert f"`{name}`" in scans, name
