"""python -m voxshift.batch without Ray: the scans it finds, what it says, processes that end, and clear errors."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import voxshift as vs

pytest.importorskip("pyarrow", reason="pyarrow is missing: pip install 'voxshift[ray]'")
from faulty_files import faulty
from voxshift.batch import __main__ as program
from voxshift.batch.listing import Scan, list_scans
from voxshift.batch.locally import label_locally
from voxshift.batch.on_ray import batch_size
from voxshift.batch.storage import Storage, below, last_part


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Three scans in two folders, one of them cut, and a small model."""
    folder = tmp_path_factory.mktemp("lake")
    points, _ = vs.synth_lidar(5)
    for i, name in enumerate(("a/2.bin", "a/10.bin", "b/c/2.bin")):
        path = folder / "scans" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        points[i :: len(points) // 800].tofile(path)
    vs.Model.new(width=0.0625, seed=3, threads=1).save(folder / "small.safetensors")
    return folder


def run(*arguments, cwd=None, **environment):
    command = [sys.executable, "-m", "voxshift.batch", *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(vs.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]), **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=cwd, env=env)


def test_listing(lake, tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name in ("10.bin", "2.bin", "sub/1.ply", "sub/.hidden.bin", "notes.txt", "rows.parquet"):
        (tmp_path / "in" / name).write_bytes(b"")
    found = list_scans(Storage(), [str(tmp_path / "in")], "s3://bucket/labels")
    assert [(os.path.relpath(scan.path, tmp_path / "in"), scan.label) for scan in found] == [
        ("2.bin", "s3://bucket/labels/2.label"),
        ("10.bin", "s3://bucket/labels/10.label"),
        ("sub/1.ply", "s3://bucket/labels/sub/1.label"),
    ]
    uri = (tmp_path / "in").as_uri()
    assert list_scans(Storage(), [uri + "/2.bin"], str(tmp_path)) == [Scan(uri + "/2.bin", str(tmp_path / "2.label"))]


def test_relative_names_become_absolute(lake, monkeypatch):
    monkeypatch.chdir(lake)
    scans = list_scans(Storage(), ["scans/a"], "out")
    assert scans[0] == Scan(str(lake / "scans" / "a" / "2.bin"), str(lake / "out" / "2.label"))


@pytest.mark.parametrize(
    "given, says",
    [
        (["none"], "none: no such file or folder"),
        (["empty"], "folder holds no"),
        (["x.txt"], "expected a name that ends in"),
        (["a", "b"], "would replace those of"),
        (["nowhere://bucket/x"], "nowhere"),
    ],
)
def test_bad_names(tmp_path, given, says):
    for name in ("a/1.bin", "b/1.ply", "x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "empty").mkdir()
    with pytest.raises(vs.Error, match=re.escape(says)):
        list_scans(Storage(), [name if "://" in name else str(tmp_path / name) for name in given], "out")


def test_names_below_folders():
    assert below("s3://b/x?region=eu", "a/1.label") == "s3://b/x/a/1.label?region=eu"
    assert below("/x/", "1") == "/x/1" and below("/", "1") == "/1" and below("", "1") == "1"
    assert last_part("s3://b/x/1.bin?region=eu") == "1.bin" and last_part("/x?y/1.bin") == "1.bin"


def test_roots_of_uris(tmp_path):
    filesystem, path = Storage().resolve(tmp_path.as_uri() + "/a%20b.bin")
    assert filesystem.type_name == "local" and path == str(tmp_path / "a b.bin")
    filesystem, path = Storage().resolve("s3://k:s@bucket/deep/a b.bin?endpoint_override=localhost%3A1&scheme=http")
    assert filesystem.type_name == "s3" and path == "bucket/deep/a b.bin"


@pytest.mark.parametrize("scans, workers, size", [(1, 4, 1), (60, 2, 1), (200, 2, 6), (10**6, 100, 16), (3, 1, 1)])
def test_batches_are_small_where_scans_are_few(scans, workers, size):
    assert batch_size(scans, workers) == size


def test_a_folder(lake, tmp_path):
    (lake / "scans" / "cut.bin").write_bytes(b"abc")
    arguments = [lake / "scans", "--out", tmp_path / "out", "--model", lake / "small.safetensors", "--local", 2, "--report",
                 tmp_path / "report.json", "--rows", tmp_path / "rows.jsonl"]  # fmt: skip
    done = run(*arguments)
    (lake / "scans" / "cut.bin").unlink()
    assert done.returncode == 1
    says = done.stderr.splitlines()
    assert says[0] == "voxshift.batch: without Ray: 2 processes on this machine"
    assert len(says) == 2 and says[1].startswith(f"voxshift.batch: {lake / 'scans' / 'cut.bin'}: ")
    assert "3 of 4 scans labelled, 0 were labelled already, 1 errors" in done.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == report["scans"] == 4 and report["labelled"] == 3 and len(report["errors"]) == 1
    assert (tmp_path / "out" / "sample.png").read_bytes().startswith(b"\x89PNG")
    names = [str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.label")]
    assert sorted(names) == ["a/10.label", "a/2.label", "b/c/2.label"]
    points = np.fromfile(lake / "scans" / "b/c/2.bin", np.float32).reshape(-1, 4)
    model = vs.Model.load(lake / "small.safetensors", threads=1)
    expected = [model.classes[label].raw_id for label in model.segment(points)]
    assert np.fromfile(tmp_path / "out" / "b/c/2.label", "<u4").tolist() == expected
    totals = {info.name: 0 for info in model.classes}
    for name in ("a/10", "a/2", "b/c/2"):
        for raw in np.fromfile(tmp_path / "out" / f"{name}.label", "<u4").tolist():
            totals[next(info.name for info in model.classes if info.raw_id == raw)] += 1
    assert report["classes"] == {name: count for name, count in totals.items() if count}


def test_again_skips_all_and_removes_what_was_left(lake, tmp_path):
    arguments = [lake / "scans", "--out", tmp_path / "out", "--model", lake / "small.safetensors", "--local", 1, "--picture", "none"]
    assert run(*arguments).returncode == 0
    for name in ("a/.2.label.part-" + "0" * 32, "a/.2.label.json.part-" + "1" * 32, "a/.other.label.part-" + "2" * 32):
        (tmp_path / "out" / name).write_bytes(b"half")
    done = run(*arguments, "--report", tmp_path / "report.json")
    assert done.returncode == 0 and "0 of 3 scans labelled, 3 were labelled already, 0 errors" in done.stdout
    hidden = [path.name for path in (tmp_path / "out").rglob(".*")]
    assert hidden == [".other.label.part-" + "2" * 32]
    assert sum(json.loads((tmp_path / "report.json").read_text())["classes"].values()) > 2000


def test_a_model_that_is_none_ends_the_job_first(lake, tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"xxxxxxxxxxxxxxxx")
    for model, says in (("minkunet-ladar", "expected one of"), (tmp_path / "bad.safetensors", "bad.safetensors: ")):
        done = run(lake / "scans", "--out", tmp_path / "out", "--model", model, "--local", 1)
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and says in done.stderr
        assert not (tmp_path / "out").exists()


def test_without_ray(lake, tmp_path):
    """A module that cannot be imported stands in for a library that is not there."""
    (tmp_path / "ray.py").write_text("raise ModuleNotFoundError(\"No module named 'ray'\", name='ray')")
    done = run(lake / "scans", "--out", tmp_path / "out", "--model", lake / "small.safetensors", PYTHONPATH=os.pathsep.join(
        [str(tmp_path), str(Path(vs.__file__).parent.parent)]))  # fmt: skip
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "pip install 'voxshift[ray]'" in done.stderr and "--local N" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["a.bin"], ["a.bin", "--out", "x", "--local", "0"], ["a.bin", "--out", "x", "--origin", "1,2"]])
def test_usage(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        program.main(arguments)
    assert ended.value.code == 2 and "usage" in capsys.readouterr().err


def test_a_scan_that_ends_its_process_is_an_error(lake, tmp_path):
    paths = [str(lake / "scans" / name) for name in ("a/2.bin", "a/10.bin", "b/c/2.bin")]
    scans = [Scan(path, str(tmp_path / f"{i}.label")) for i, path in enumerate(paths)]
    arguments = {"out": str(tmp_path), "model": str(lake / "small.safetensors"), "filesystem": faulty(deadly=("a/10.bin",))}
    rows = [row for table in label_locally(scans, arguments, 1, batch=3, tries=1) for row in table.to_pylist()]
    assert sorted(row["path"] for row in rows) == sorted(paths)
    wrong = [row for row in rows if row["error"]]
    assert [row["path"] for row in wrong] == [paths[1]] and "ended the worker" in wrong[0]["error"]


def test_a_process_that_is_killed_once_costs_nothing(lake, tmp_path):
    paths = [str(lake / "scans" / name) for name in ("a/2.bin", "a/10.bin", "b/c/2.bin")]
    scans = [Scan(path, str(tmp_path / f"{i}.label")) for i, path in enumerate(paths)]
    arguments = {"out": str(tmp_path), "model": str(lake / "small.safetensors"),
                 "filesystem": faulty(deadly=("a/10.bin",), once=str(tmp_path / "killed"))}  # fmt: skip
    rows = [row for table in label_locally(scans, arguments, 2, batch=1) for row in table.to_pylist()]
    assert sorted(row["path"] for row in rows) == sorted(paths) and not any(row["error"] for row in rows)
    assert (tmp_path / "killed").exists()
