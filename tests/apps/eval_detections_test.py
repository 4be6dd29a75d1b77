"""`voxshift eval --detections`: KITTI's label files against each other, with the figures of vs.evaluate_detections."""

import json
import math

import numpy as np
import pytest
from command_fixture import fails, needs_command, put, run, succeeds

pytestmark = needs_command

CALIBRATION = """P2: 700 0 600 0 0 700 170 0 0 0 1 0
R0_rect: 1 0 0 0 1 0 0 0 1
Tr_velo_to_cam: 0 -1 0 0 0 0 -1 0 1 0 0 -10
"""


def line(kind, ahead, left, score=None, occlusion=0, size=(4, 2, 1.5)):
    """A box whose middle is in the scanner's plane, of KITTI's nominal camera: x = -left, y = down, z = ahead."""
    length, width, height = size
    text = f"{kind} 0 {occlusion} 0 0 0 0 0 {height} {width} {length} {-left} {height / 2} {ahead} {-math.pi / 2:.7f}"
    return text + ("\n" if score is None else f" {score}\n")


def grid(kind="Car", score=False, rows=10):
    return "".join(line(kind, 5 * (i // 8) - 20, 3 * (i % 8) - 10, 80 - i if score else None) for i in range(8 * rows))


@pytest.fixture
def folders(tmp_path):
    """80 cars that are found, in two files, and an empty third one; with a false alarm above all."""
    found, truth = tmp_path / "found", tmp_path / "truth"
    for folder in (found, truth):
        folder.mkdir()
        for name in ("000000", "000001", "000002"):
            (folder / f"{name}.txt").write_text("")
    (truth / "000000.txt").write_text(grid() + "DontCare -1 -1 -10 1 2 3 4 -1 -1 -1 -1000 -1000 -1000 -10\n")
    (found / "000000.txt").write_text(grid(score=True))
    (truth / "000001.txt").write_text(line("Pedestrian", 10, 0, occlusion=1))
    (found / "000001.txt").write_text(line("Car", 20, 20, 100))
    return found, truth


def scores(*arguments):
    return json.loads(succeeds("eval", *arguments, "--json"))


def test_kitti(folders):
    found = scores("--detections", *folders)
    ap = 80 / 81  # 2 k hits and one alarm at step k, made to fall
    assert {key: found[key] for key in ("protocol", "files", "truths", "detections")} == {
        "protocol": "kitti", "files": 3, "truths": 82, "detections": 81}
    car, pedestrian = found["classes"]
    assert (car["name"], car["overlap"], pedestrian["name"], pedestrian["overlap"]) == ("Car", 0.7, "Pedestrian", 0.5)
    for kind in ("bev", "3d"):
        assert car[kind] == pytest.approx({"easy": ap, "moderate": ap, "hard": ap})
        assert pedestrian[kind] == {"easy": None, "moderate": 0, "hard": 0}
    assert car["truths"] == {"easy": 80, "moderate": 80, "hard": 80}
    assert pedestrian["truths"] == {"easy": 0, "moderate": 1, "hard": 1}
    near = scores("--detections", *folders, "--max-distance", 28.2)  # the alarm is farther: hypot(20, 20)
    assert near["classes"][0]["bev"]["hard"] == 1 and near["classes"][0]["truths"]["hard"] == 80


def test_table(folders):
    assert succeeds("eval", "--detections", *folders).splitlines() == [
        "kitti: 3 files, 82 true objects, 81 detections",
        "",
        "AP_R40 %                           easy  moderate      hard",
        "Car@0.70             bev          98.77     98.77     98.77",
        "                     3d           98.77     98.77     98.77",
        "                     truths          80        80        80",
        "Pedestrian@0.50      bev              -      0.00      0.00",
        "                     3d               -      0.00      0.00",
        "                     truths           0         1         1",
    ]


def test_nuscenes(tmp_path):
    """One car 1.5 m off and half as long: found at 2 m and 4 m; overlap of the sizes 1/2."""
    for folder, text in (("found", line("car", 11.5, 0, 0.5, size=(2, 2, 1.5))), ("truth", line("car", 10, 0))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text(text)
    arguments = ("--detections", tmp_path / "found", tmp_path / "truth", "--protocol", "nuscenes")
    found = scores(*arguments)
    assert found["mean_ap"] == pytest.approx(0.5) and found["nds"] == pytest.approx((5 * 0.5 + 0 + 0.5 + 1) / 8)
    errors = {"translation": 1.5, "scale": 0.5, "orientation": 0}
    assert {key: found["errors"][key] for key in errors} == pytest.approx(errors, abs=1e-6)
    assert found["errors"]["velocity"] is None
    car, = found["classes"]
    assert car["name"] == "car" and car["truths"] == 1 and car["mean_ap"] == pytest.approx(0.5)
    assert dict(zip(car["match_distances"], car["ap"])) == pytest.approx({0.5: 0, 1: 0, 2: 1, 4: 1})
    lines = succeeds("eval", *arguments).splitlines()
    assert lines[0] == "nuscenes: 1 files, 1 true objects, 1 detections"
    assert lines[3].split() == ["car", "50.00", "0.00", "0.00", "100.00", "100.00", "1.500", "0.500", "0.000", "-", "1"]
    assert lines[-2].split() == ["mAP", "50.00", "%"] and lines[-1].split()[:3] == ["NDS", "50.00", "%"]


def test_points_of_scans(folders, tmp_path):
    found, truth = folders
    (tmp_path / "scans").mkdir()
    for name in ("000000", "000001", "000002"):
        put(tmp_path / "scans" / f"{name}.bin", np.zeros((5, 4)))
    cars = [(5 * (i // 8) - 20, 3 * (i % 8) - 10) for i in range(80)]
    points = [(*car, 0, 0) for i, car in enumerate(cars) for _ in range(50 if i < 40 else 15)]
    put(tmp_path / "scans" / "000000.bin", points)
    put(tmp_path / "scans" / "000001.bin", [(10, 0, 0, 0)] * 5)
    car, pedestrian = scores("--detections", found, truth, "--scans", tmp_path / "scans")["classes"]
    assert car["truths"] == {"easy": 40, "moderate": 80, "hard": 80}
    assert pedestrian["truths"] == {"easy": 0, "moderate": 0, "hard": 1}
    (tmp_path / "scans" / "000002.bin").unlink()
    fails("eval", "--detections", found, truth, "--scans", tmp_path / "scans",
          says=[tmp_path / "scans", "has no scan of the name of", truth / "000002.txt"])


def test_calibration(folders, tmp_path):
    """A camera 10 m ahead of the scanner: objects are as much farther away."""
    one = tmp_path / "calib.txt"
    one.write_text(CALIBRATION)
    each = tmp_path / "calib"
    each.mkdir()
    for name in ("000000", "000001", "000002"):
        (each / f"{name}.txt").write_text(CALIBRATION)
    nominal = scores("--detections", *folders)
    moved = scores("--detections", *folders, "--calib", one)
    assert moved == scores("--detections", *folders, "--calib", each)
    assert moved["classes"][0]["truths"]["easy"] < nominal["classes"][0]["truths"]["easy"]
    (each / "000001.txt").unlink()
    fails("eval", "--detections", *folders, "--calib", each, says=[each / "000001.txt"])
    one.write_text("P2: 1\n")
    fails("eval", "--detections", *folders, "--calib", one, says=[f"{one}:1: expected 12 numbers"])


# Bad input

def test_unpaired_files(folders):
    found, truth = folders
    (found / "000001.txt").rename(found / "other.txt")
    fails("eval", "--detections", found, truth, says=[found / "000001.txt", "no such file", truth / "000001.txt"])
    (truth / "000001.txt").unlink()
    fails("eval", "--detections", found, truth, says=[found / "other.txt", "no ground truth"])


def test_folders(folders, tmp_path):
    found, truth = folders
    (tmp_path / "empty").mkdir()
    for bad, says in ((tmp_path / "none", "no such folder"), (truth / "000000.txt", "not a folder"),
                      (tmp_path / "empty", "holds no .txt")):
        fails("eval", "--detections", bad, truth, says=[bad, says])
        fails("eval", "--detections", found, bad, says=[bad, says])


def test_bad_files(folders):
    found, truth = folders
    good = line("Car", 10, 0, 0.5)
    for text, says in ((good + line("Car", 10, 0), ": object 2 has no score"), ("Car 1 2\n", ":1: expected 15 columns"),
                       (good + good.replace("0.5", "nan"), ":2: expected a number")):
        (found / "000001.txt").write_text(text)
        result = run("eval", "--detections", found, truth, "--json")
        assert result.stdout == ""
        assert fails("eval", "--detections", found, truth).startswith(f"voxshift: {found / '000001.txt'}{says}")
    (found / "000001.txt").write_text(good)
    for file in truth.iterdir():
        file.write_text(line("Tram", 10, 0))
    fails("eval", "--detections", found, truth, says=[truth, "no object that kitti scores, of 3"])


def test_usage(folders):
    found, truth = folders
    fails("eval", "--detections", found, truth, "--protocol", "waymo", says=["kitti, nuscenes", '"waymo"'])
    for arguments in (["--detections", found], ["--detections", found, truth, "--pred", found],
                      ["--detections", found, truth, "--confusion"], ["--detections", found, truth, "--max-distance", 0],
                      ["--pred", found, "--gt", truth, "--scans", found], []):
        assert run("eval", *arguments).returncode == 2, arguments
    options = succeeds("eval", "--help")
    for word in ("--detections", "--calib", "--scans", "--max-distance"):
        assert word in options
