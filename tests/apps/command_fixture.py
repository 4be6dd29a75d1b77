"""Runs the command `voxshift` as a user does. VOXSHIFT_COMMAND names the built program."""

import json
import os
import struct
import subprocess

import numpy as np
import pytest

COMMAND = os.environ.get("VOXSHIFT_COMMAND")
needs_command = pytest.mark.skipif(not COMMAND, reason="VOXSHIFT_COMMAND does not name the command to test")

CLASSES = {10: "car", 11: "bicycle", 15: "motorcycle", 18: "truck", 20: "other-vehicle", 30: "person",
           31: "bicyclist", 32: "motorcyclist", 40: "road", 44: "parking", 48: "sidewalk", 49: "other-ground",
           50: "building", 51: "fence", 70: "vegetation", 71: "trunk", 72: "terrain", 80: "pole", 81: "traffic-sign"}


def run(*arguments, cwd=None):
    return subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, timeout=120, cwd=cwd,
                          encoding="utf-8", errors="replace")


def succeeds(*arguments, cwd=None):
    result = run(*arguments, cwd=cwd)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""  # no progress either: this is no terminal
    return result.stdout


def warns(*arguments, cwd=None):
    """Standard error of a run that succeeds: lines of warning."""
    result = run(*arguments, cwd=cwd)
    assert result.returncode == 0, result.stderr
    assert all(line.startswith("voxshift: warning: ") for line in result.stderr.splitlines()), result.stderr
    return result.stderr


def fails(*arguments, says=(), status=1, cwd=None):
    """Exit status 1 and one line on standard error that holds every part."""
    result = run(*arguments, cwd=cwd)
    assert result.returncode == status, (result.returncode, result.stderr)
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("voxshift: "), result.stderr
    for part in says:
        assert str(part) in lines[0], lines[0]
    return lines[0]


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    out = succeeds("new", "minkunet", "--width", 0.0625, "--seed", 3, "-o", path)
    assert out.count("\n") == 1 and "random" in out and str(path) in out
    return path


def cloud(points, seed=0):
    """A wall and a floor: float32 [points, 4]."""
    random = np.random.default_rng(seed)
    xyz = random.uniform(-8, 8, (points, 3))
    xyz[: points // 2, 2] = -1.7 + random.normal(0, 0.02, points // 2)
    xyz[points // 2:, 1] = 6 + random.normal(0, 0.02, points - points // 2)
    return np.column_stack([xyz, random.uniform(0, 1, points)]).astype("<f4")


def put(path, points):
    np.asarray(points, "<f4").tofile(path)
    return path


def read_header(path):
    data = path.read_bytes()
    length, = struct.unpack("<Q", data[:8])
    return json.loads(data[8:8 + length]), data[8 + length:]


def write_header(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def labels_of(path):
    return np.fromfile(path, "<u4")
