"""The programs of docs/hub.md: the repository that the second makes is the one that the first takes from a cache."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import voxshift as vs
from hub_test import COMMIT, cache

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
ROOT = Path(__file__).parents[2]
PROGRAMS = re.findall(r"(?m)^```python\n([\s\S]*?)^```$", (ROOT / "docs" / "hub.md").read_text())


def test_page(tmp_path):
    taken, made = PROGRAMS
    assert (ROOT / "docs" / "hub.md").read_text().count("```") == 4
    (tmp_path / "networks").symlink_to(ROOT / "networks")
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1",
                   "PYTHONPATH": str(Path(vs.__file__).absolute().parents[1])}
    subprocess.run([sys.executable, "-c", made], cwd=tmp_path, env=environment, check=True)
    files = {path.name: path.read_bytes() for path in (tmp_path / "minkunet-lidar").iterdir()}
    assert set(files) == {"model.safetensors", "README.md"}
    cache(tmp_path / "home", "acme/minkunet-lidar", {COMMIT: files}, {"main": COMMIT})
    subprocess.run([sys.executable, "-W", "ignore", "-c", taken + "\nassert labels.shape == (100,)"], cwd=tmp_path, env=environment, check=True)
