"""Which of the shipped models the commands take: by default, by name, and in i8."""

import json
from pathlib import Path

import numpy as np
import pytest
import voxshift as vs
from command_fixture import COMMAND, fails, needs_command, put, succeeds

pytestmark = needs_command


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    random = np.random.default_rng(1)
    points = random.uniform([-9, -9, -2, 0], [9, 9, 1, 1], (3000, 4)).astype(np.float32)
    return put(tmp_path_factory.mktemp("scan") / "a.bin", points)


def stats_of(program, scan, folder, *options):
    stats = folder / "stats.json"
    succeeds(program, scan, "--out", folder / "out", "--threads", 1, "--sensor", "kitti", "--stats", stats, *options)
    found = json.loads(stats.read_text())[0]
    return found["model"]["parameters"], found["dtype"]


def parameters_of(name):
    """Trained numbers of a shipped model. In i8 they are others: batch norm is folded, and scales are there."""
    return vs.Model.load(Path(COMMAND).parent.parent / "share" / "voxshift" / "models" / f"{name}.safetensors").parameter_count


@pytest.mark.parametrize(
    "program, options, taken, dtype",
    [
        ("segment", [], "minkunet-lidar", "f32"),
        ("segment", ["--dtype", "i8"], "minkunet-lidar-i8", "i8"),
        ("segment", ["--model", "minkunet-lidar-i8", "--dtype", "f32"], "minkunet-lidar-i8", "f32"),
        ("detect", ["--model", "centerpoint-lidar", "--dtype", "i8"], "centerpoint-lidar-i8", "i8"),
    ],
)
def test_which_model_is_taken(program, options, taken, dtype, scan, tmp_path):
    assert parameters_of(taken) != parameters_of(taken.removesuffix("-i8") + "-i8" * (not taken.endswith("-i8")))
    assert stats_of(program, scan, tmp_path, *options) == (parameters_of(taken), dtype)


def test_a_file_of_a_shipped_name_is_taken(scan, tmp_path):
    (tmp_path / "minkunet-lidar-i8").write_bytes(b"no model")
    fails("segment", scan, "--model", "minkunet-lidar-i8", "--out", tmp_path / "out", cwd=tmp_path, says=["minkunet-lidar-i8"])
