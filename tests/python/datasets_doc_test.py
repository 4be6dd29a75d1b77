"""Every program and command of docs/datasets.md, in the order of the page, on a made-up set in nuScenes' schema."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
import voxshift as vs
from nuscenes_set import MadeUp
from voxshift import datasets

PAGE = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text()
COMMAND = os.environ.get("VOXSHIFT_COMMAND")
BLOCKS = re.findall(r"(?m)^```(python|sh)\n([\s\S]*?)^```$", PAGE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("datasets")
    MadeUp(np.random.default_rng(5), ["scene-0103"]).write(path / "nuscenes")
    vs.Model.new("minkunet", width=0.125, profile="nuscenes", classes=16, seed=1).save(path / "nuscenes.safetensors")
    vs.Model.new("centerpoint", profile="nuscenes-pillars", seed=1).save(path / "centerpoint.safetensors")
    (path / "labels").mkdir()
    return path


@pytest.mark.skipif(not COMMAND, reason="VOXSHIFT_COMMAND does not name the command to test")
def test_page(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert len(BLOCKS) == 5
    for language, text in BLOCKS:
        if language == "sh":
            for line in text.splitlines():
                subprocess.run([COMMAND, *shlex.split(line)[1:]], check=True, capture_output=True)
            continue
        if "torch" in text:
            pytest.importorskip("torch")
        exec(compile(text, "docs/datasets.md", "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"3 scans, mIoU \d+\.\d\d %", printed[0]) and 0 <= float(printed[1]) <= 1
    model = vs.Model.load("nuscenes.safetensors")
    for sample in datasets.NuScenes("nuscenes"):
        written = np.fromfile(f"labels/{sample.name}.label", np.uint32)
        assert written.tolist() == (model.segment(sample.scan.points).astype(int) + 1).tolist()


def test_the_table_has_every_dataset():
    named = {line.split("`")[1] for line in PAGE.splitlines() if line.startswith("| `")}
    assert named == {name for name in datasets.__all__ if name not in ("Boxes", "Dataset", "Sample")}
