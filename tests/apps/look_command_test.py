"""`--write html` and `--write rrd`: one file for all scans."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import voxshift as vs
from command_fixture import CLASSES, cloud, fails, files, model, needs_command, put, succeeds, warns  # noqa: F401
from recognize_command_test import clips, video_model  # noqa: F401

pytestmark = needs_command


def meta_of(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="meta">(.*?)</script>', text, re.DOTALL)[1])


@pytest.fixture
def scans(tmp_path):
    (tmp_path / "scans").mkdir()
    for i in range(3):
        put(tmp_path / "scans" / f"{i}.bin", cloud(400 + i, seed=i))
    return tmp_path / "scans"


def test_a_folder_becomes_one_page(scans, model, tmp_path):
    out = succeeds("segment", scans, "--model", model, "--write", "html,label", "--out", tmp_path / "out")
    assert out.endswith(f"  -> {tmp_path / 'out' / 'scans.html'}\n")
    assert files(tmp_path / "out") == ["0.label", "1.label", "2.label", "scans.html"]
    meta = meta_of(tmp_path / "out" / "scans.html")
    assert meta["title"] == "0.bin and 2 more" and meta["notes"] == []
    assert [frame["name"] for frame in meta["frames"]] == ["0.bin", "1.bin", "2.bin"]
    for i, frame in enumerate(meta["frames"]):
        raw = np.fromfile(tmp_path / "out" / f"{i}.label", "<u4")
        expected = {CLASSES[raw_id]: int(count) for raw_id, count in zip(*np.unique(raw, return_counts=True)) if raw_id}
        names = [entry["name"] for entry in meta["classes"]]
        assert {names[k]: count for k, count in frame["counts"] if k < len(names)} == expected
        assert frame["points"] == 400 + i


def test_one_scan_gives_the_page_its_name(scans, model, tmp_path):
    succeeds("segment", scans / "1.bin", "--model", model, "--write", "html", "--out", tmp_path / "out")
    assert files(tmp_path / "out") == ["1.html"]
    assert meta_of(tmp_path / "out" / "1.html")["title"] == "1.bin"


def test_scans_that_fail_are_not_in_the_page(scans, model, tmp_path):
    (scans / "1.bin").write_bytes(b"123")
    fails("segment", scans, "--model", model, "--write", "html", "--out", tmp_path / "out", says=["1.bin"])
    assert [frame["name"] for frame in meta_of(tmp_path / "out" / "scans.html")["frames"]] == ["0.bin", "2.bin"]


def test_what_is_left_out_is_a_line_of_warning(model, tmp_path):
    (tmp_path / "scans").mkdir()
    for i in range(301):
        put(tmp_path / "scans" / f"{i}.bin", cloud(8, seed=i))
    said = warns("segment", tmp_path / "scans", "--model", model, "--write", "html", "--out", tmp_path / "out")
    assert f"{tmp_path / 'out' / 'scans.html'}: every 2nd of 301 frames is shown" in said
    assert len(meta_of(tmp_path / "out" / "scans.html")["frames"]) == 151


def test_a_shard_has_a_page_of_its_own(scans, model, tmp_path):
    succeeds("segment", scans, "--model", model, "--write", "html", "--out", tmp_path / "out", "--shard", "2/3")
    assert files(tmp_path / "out") == ["scans-2-of-3.html"]
    assert [frame["name"] for frame in meta_of(tmp_path / "out" / "scans-2-of-3.html")["frames"]] == ["1.bin"]


def test_a_page_of_what_is_left_is_refused(scans, model, tmp_path):
    fails("segment", scans, "--model", model, "--write", "html,label", "--out", tmp_path / "out", "--skip-done",
          says=["--write html", "--skip-done"])  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_boxes_are_in_the_page(tmp_path):
    put(tmp_path / "scan.bin", vs.synth_lidar(5)[0][::3])
    succeeds("detect", tmp_path / "scan.bin", "--columns", 4, "--score-threshold", 0.3, "--write", "html,json", "--out",
             tmp_path)  # fmt: skip
    expected = json.loads((tmp_path / "scan.json").read_text())["boxes"]
    meta = meta_of(tmp_path / "scan.html")
    found = meta["frames"][0]["boxes"]
    assert len(found) == len(expected) > 0
    for box, truth in zip(found, expected):
        np.testing.assert_allclose(box[:8], [*truth["center"], *truth["size"], truth["yaw"], truth["score"]], atol=1e-4)
        assert meta["classes"][box[8]]["name"] == truth["class"]


def test_the_program_says_how_to_get_recordings(scans, model, clips, video_model, tmp_path):
    fails("segment", scans, "--model", model, "--write", "rrd", "--out", tmp_path,
          says=["scans.rrd", "pip install 'voxshift[rerun]'", "python -m voxshift"])  # fmt: skip
    fails("recognize", clips / "moving.mkv", "--model", video_model, "--annotate", tmp_path / "a.rrd",
          says=["a.rrd", "pip install 'voxshift[rerun]'"])  # fmt: skip
    assert not list(tmp_path.glob("*.rrd*"))


def package(*arguments, **environment):
    return subprocess.run([sys.executable, "-m", "voxshift", *map(str, arguments)], capture_output=True, text=True,
                          timeout=120, env={**os.environ, **environment})  # fmt: skip


def test_the_package_writes_recordings(scans, model, clips, video_model, tmp_path):
    pytest.importorskip("rerun", reason="rerun is not installed")
    dataframe = pytest.importorskip("rerun.dataframe", reason="this rerun has another reader")
    done = package("segment", scans, "--model", model, "--write", "rrd", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"  -> {tmp_path / 'scans.rrd'}\n" in done.stdout
    table = dataframe.load_recording(tmp_path / "scans.rrd").view(index="frame", contents="/scan/classes").select().read_all()
    positions = next(name for name in table.column_names if "position" in name.lower())
    for i, row in enumerate(table[positions].to_pylist()):
        np.testing.assert_array_equal(np.array(row, "f4"), cloud(400 + i, seed=i)[:, :3])
    done = package("recognize", clips / "moving.mkv", "--model", video_model, "--skip", 0.2, "--max-frames", 5,
                   "--annotate", tmp_path / "video.rrd", "--json", tmp_path / "frames.json")  # fmt: skip
    if "OpenCV" in done.stderr:
        pytest.skip("this package has no OpenCV")
    assert done.returncode == 0, done.stderr
    view = dataframe.load_recording(tmp_path / "video.rrd").view(index="frame", contents="/stream/mac_fraction")
    table = view.select().read_all()
    fractions = table[next(name for name in table.column_names if "scalar" in name.lower())].to_pylist()
    frames = [json.loads(line) for line in (tmp_path / "frames.json").read_text().splitlines()]
    assert [value for row in fractions for value in row] == pytest.approx([frame["mac_fraction"] for frame in frames])


def test_a_package_without_rerun_says_how_to_get_it(scans, model, tmp_path):
    (tmp_path / "rerun.py").write_text("raise ImportError('none')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = package("segment", scans, "--model", model, "--write", "rrd", "--out", tmp_path, PYTHONPATH=path)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "scans.rrd: recordings need rerun: pip install 'voxshift[rerun]'" in done.stderr
