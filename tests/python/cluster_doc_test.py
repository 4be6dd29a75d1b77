"""Every command and program of docs/cluster.md, run in the order of the page on thin scans, on a cluster of one node."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import ray_cluster
import voxshift as vs

pytest.importorskip("ray", reason="Ray is missing: pip install 'voxshift[ray]'")
PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"
COMMAND = os.environ.get("VOXSHIFT_COMMAND")
pytestmark = pytest.mark.skipif(not COMMAND, reason="VOXSHIFT_COMMAND does not name the command to test")
SCANS, THIN = 8, 61


def blocks():
    """(language, lines) of the page's programs."""
    return re.findall(r"(?m)^```(\w+)\n([\s\S]*?)^```$", PAGE.read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("cluster")
    (path / "scans" / "street").mkdir(parents=True)
    points, _ = vs.synth_lidar(9)
    for i in range(SCANS):
        points[i::THIN].tofile(path / "scans" / "street" / f"{i}.bin")
    (path / "bin").mkdir()
    (path / "bin" / "voxshift").symlink_to(COMMAND)
    return path


@pytest.fixture(scope="module")
def environment(folder):
    with ray_cluster.running(nodes=1, cpus=2) as address:
        package = os.pathsep.join([str(Path(vs.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
        programs = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
        yield {**os.environ, "RAY_ADDRESS": address, "PYTHONPATH": package, "PATH": programs}


def labels(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.label")}


@pytest.mark.parametrize("block", [block for block in blocks() if not block[1].startswith("pip")], ids=lambda block: block[1].split("\n")[0])
def test_page(block, folder, environment):
    language, text = block
    assert language in ("sh", "python")
    line = text if language == "sh" else f"{shlex.quote(sys.executable)} -c {shlex.quote(text)}"
    done = subprocess.run(["bash", "-euc", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


def test_what_the_page_says_of_the_files(folder):
    """After the page: the labels that all ways gave, and the rows that DuckDB reads."""
    found = labels(folder / "labels" / "street")
    assert len(found) == SCANS and labels(folder / "own") == found
    assert (folder / "labels" / "sample.png").read_bytes().startswith(b"\x89PNG")
    assert len((folder / "rows.jsonl").read_text().splitlines()) == SCANS
    duckdb = pytest.importorskip("duckdb", reason="duckdb is missing")
    query, = re.findall(r"`(select .*?)`", PAGE.read_text(), re.S)
    assert duckdb.sql(query.replace("rows/", f"{folder}/rows/")).fetchall() == []
    rows = duckdb.sql(f"select sum(points), count(*), max(len(counts)) from '{folder}/rows/*.parquet'").fetchall()[0]
    assert rows == (sum(len(data) // 4 for data in found.values()), SCANS, 20)
