"""Which compiled module `import voxshift` takes where a package voxshift-cuda is installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import voxshift as vs

PACKAGE = Path(vs.__file__).parent


@pytest.fixture
def imported(tmp_path):
    """A function that imports voxshift beside a voxshift-cuda of a version; it gives exit status and standard error."""

    def run(version):
        folder = tmp_path / "voxshift_cuda"
        folder.mkdir()
        (folder / "__init__.py").touch()
        (folder / "_voxshift.py").write_text("raise SystemExit('taken from voxshift-cuda')")
        for name, its in (("voxshift", "1.2.3"), ("voxshift_cuda", version)):
            (tmp_path / f"{name}-{its}.dist-info").mkdir()
            about = tmp_path / f"{name}-{its}.dist-info" / "METADATA"
            about.write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {its}\n")
        path = os.pathsep.join([str(tmp_path), str(PACKAGE.parent)])
        result = subprocess.run([sys.executable, "-c", "import voxshift; print(voxshift.num_threads())"],
                                env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=120)
        return result.returncode, result.stderr

    return run


def test_the_same_version_is_taken(imported):
    assert imported("1.2.3") == (1, "taken from voxshift-cuda\n")


def test_another_version_is_left_aside(imported):
    status, said = imported("1.2.4")
    assert status == 0
    assert "RuntimeWarning: CUDA is left aside: voxshift is 1.2.3, voxshift-cuda 1.2.4; install voxshift-cuda==1.2.3" in said
