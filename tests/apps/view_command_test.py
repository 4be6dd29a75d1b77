"""`voxshift view` on a display without a screen: the pictures it draws, the window as a user has it, what it refuses."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from command_fixture import COMMAND, cloud, fails, files, needs_command, put, run, succeeds

pytestmark = needs_command

ROAD, CAR, VEGETATION, GREY = (255, 0, 255), (100, 150, 245), (0, 175, 0), (128, 128, 128)  # semantic-kitti.yaml
USER = Path(__file__).with_name("window_user.py")


@pytest.fixture(scope="session")
def display():
    """The name of a display that only these tests use."""
    if "Open3D on" not in succeeds("--version"):
        pytest.skip("this build has no Open3D")
    if not shutil.which("Xvfb"):
        pytest.skip("there is no Xvfb (Debian: xvfb)")
    read, write = os.pipe()
    server = subprocess.Popen(["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x800x24", "-nolisten", "tcp"],
                              pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()
    assert number, "Xvfb did not start"
    yield f":{number}"
    server.terminate()
    server.wait()


@pytest.fixture
def screen(display, monkeypatch):
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)


def box(x, y, points=400, side=2.0, seed=0):
    """Points of a cube on the ground around (x, y)."""
    return np.random.default_rng(seed).uniform((x - side / 2, y - side / 2, -1.7, 0),
                                               (x + side / 2, y + side / 2, side - 1.7, 1), (points, 4)).astype("<f4")


@pytest.fixture
def scene(tmp_path):
    """Road ahead, a car on the left, a bush on the right, something unlabelled behind: (scan, labels)."""
    scan = put(tmp_path / "scene.bin", np.vstack([box(9, 0), box(0, 6), box(0, -6), box(-3, 0)]))
    labels = tmp_path / "scene.label"
    np.repeat(np.array([40, 10 | 7 << 16, 70, 0], "<u4"), 400).tofile(labels)
    return scan, labels


def picture(path):
    pixels = matplotlib.image.imread(path)
    assert pixels.shape == (720, 1280, 3)
    return np.round(pixels * 255).astype(np.uint8)


def colours(pixels):
    """Every colour but the ground's: the corner is empty."""
    codes = np.unique(pixels.astype(np.int32) @ (1 << 16, 1 << 8, 1))
    return {(int(code) >> 16, int(code) >> 8 & 255, int(code) & 255) for code in codes} - {tuple(map(int, pixels[0, 0]))}


def place(pixels, colour):
    """Mean row and column of a colour."""
    return np.argwhere((pixels == colour).all(axis=2)).mean(axis=0)


def test_classes_of_labels_from_behind(screen, scene, tmp_path):
    scan, labels = scene
    out = succeeds("view", scan, "--labels", labels, "--save", tmp_path / "scene.png")
    assert out.splitlines() == ["colours: classes of semantickitti, by the labels", str(tmp_path / "scene.png")]
    pixels = picture(tmp_path / "scene.png")
    assert colours(pixels) == {ROAD, CAR, VEGETATION, GREY}
    assert place(pixels, CAR)[1] < place(pixels, ROAD)[1] - 100 < place(pixels, VEGETATION)[1] - 200
    assert place(pixels, ROAD)[0] < place(pixels, CAR)[0] - 50 < place(pixels, GREY)[0] - 100
    car = np.argwhere((pixels == CAR).all(axis=2))
    assert np.ptp(car[:, 0]) > 40, "what is 2 m high is seen"


def test_strays_and_nan_do_not_move_the_camera(screen, scene, tmp_path):
    points = np.fromfile(scene[0], "<f4").reshape(-1, 4)
    strays = np.array([[5000, 0, 0, 0.5]] + 500 * [[np.nan, 1, 1, 0.5], [1, np.inf, 1, 0.5], [1, 1, -np.inf, 0.5]], "<f4")
    put(tmp_path / "strays.bin", np.vstack([points, strays]))
    for name, count in (("scene", len(points)), ("strays", len(points) + len(strays))):
        np.full(count, 40, "<u4").tofile(tmp_path / f"{name}.label")
    drawn = []
    for name in ("scene", "strays"):  # each in a window of its own: the first scan places the camera
        succeeds("view", tmp_path / f"{name}.bin", "--columns", 4, "--labels", tmp_path / f"{name}.label",
                 "--save", tmp_path / f"{name}.png")
        drawn.append((picture(tmp_path / f"{name}.png") == ROAD).all(axis=2))
    assert drawn[0].sum() > 2000
    assert drawn[1].sum() == pytest.approx(drawn[0].sum(), rel=0.02)
    middles = [np.argwhere(mask).mean(axis=0) for mask in drawn]
    assert np.abs(middles[0] - middles[1]).max() < 3  # pixels: the stray is one rank among the distances


def test_a_folder_one_picture_per_scan_and_its_labels(screen, tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "scans").mkdir()
    for name, raw_id in (("2", 40), ("10", 10), ("x", 70)):
        put(tmp_path / "scans" / f"{name}.bin", box(3, 0))
        np.full(400, raw_id, "<u4").tofile(tmp_path / "labels" / f"{name}.label")
    out = succeeds("view", tmp_path / "scans", "--labels", tmp_path / "labels", "--save", tmp_path / "out")
    assert out.splitlines()[1:] == [str(tmp_path / "out" / f"{name}.png") for name in ("2", "10", "x")]
    assert files(tmp_path / "out") == ["10.png", "2.png", "x.png"]
    for name, colour in (("2", ROAD), ("10", CAR), ("x", VEGETATION)):
        assert colours(picture(tmp_path / "out" / f"{name}.png")) == {colour}, name


def test_model_as_segment_labels(screen, model, tmp_path):
    scan = put(tmp_path / "scan.bin", cloud(3000))
    succeeds("segment", scan, "--model", model, "--write", "label", "--out", tmp_path)
    out = succeeds("view", scan, "--model", model, "--save", tmp_path / "model.png")
    assert out.startswith(f"colours: classes, as {model} labels the points\n")
    succeeds("view", scan, "--labels", tmp_path / "scan.label", "--save", tmp_path / "labels.png")
    assert len(colours(picture(tmp_path / "model.png"))) > 1
    assert (picture(tmp_path / "model.png") == picture(tmp_path / "labels.png")).all()
    out = succeeds("view", scan, "--model", "minkunet-lidar", "--save", tmp_path / "trained.png")
    assert out.startswith("colours: classes, as minkunet-lidar labels the points\n")


def test_own_colours_then_remission_then_height(screen, tmp_path):
    header = "ply\nformat ascii 1.0\nelement vertex 100\n" + "".join(f"property float {axis}\n" for axis in "xyz")
    rows = [(0, i / 100, i / 100) for i in range(100)]
    own = tmp_path / "own.ply"
    own.write_text(header + "property uchar red\nproperty uchar green\nproperty uchar blue\nend_header\n" +
                   "".join(f"{x} {y} {z} 9 99 199\n" for x, y, z in rows))
    plain = tmp_path / "plain.ply"
    plain.write_text(header + "end_header\n" + "".join(f"{x} {y} {z}\n" for x, y, z in rows))
    out = succeeds("view", own, plain, put(tmp_path / "scan.bin", box(3, 0)), "--save", tmp_path / "out").splitlines()
    assert out[::2] == ["colours: the file's own colours", "colours: height", "colours: remission"]
    assert colours(picture(tmp_path / "out" / "own.png")) == {(9, 99, 199)}
    assert len(colours(picture(tmp_path / "out" / "plain.png"))) > 20
    assert len(colours(picture(tmp_path / "out" / "scan.png"))) > 50


@pytest.mark.parametrize("name, raw_id", [("scan.label", 1), ("scan.bin", 14)])  # barrier of predictions, bicycle of truth
def test_labels_of_nuscenes(screen, tmp_path, name, raw_id):
    (tmp_path / "labels").mkdir()
    np.full(400, raw_id, "<u4" if name == "scan.label" else "u1").tofile(tmp_path / "labels" / name)
    succeeds("view", put(tmp_path / "scan.bin", box(3, 0)), "--labels", tmp_path / "labels", "--protocol", "nuscenes",
             "--save", tmp_path / "out.png")
    barrier, bicycle = (112, 128, 144), (220, 20, 60)  # color_map.py of the devkit
    assert colours(picture(tmp_path / "out.png")) == {barrier if raw_id == 1 else bicycle}


def use(steps, *arguments):
    """(titles, exit status, standard error) of a window that is used so."""
    result = subprocess.run([sys.executable, USER, json.dumps(steps), COMMAND, "view", *map(str, arguments)],
                            capture_output=True, timeout=60, encoding="utf-8")
    titles = [line for line in result.stdout.splitlines() if not line.startswith("colours: ")]
    return titles, result.returncode, result.stderr


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "film"
    folder.mkdir()
    for i in range(3):
        put(folder / f"{i}.bin", box(3 * i, 0))
    return folder


def test_keys_step_and_close(screen, folder):
    steps = [["1/3 0.bin", "n"], ["2/3 1.bin", "Right"], ["3/3 2.bin", "b"], ["2/3 1.bin", "Left"], ["1/3 0.bin", "End"],
             ["3/3 2.bin", "Home"], ["1/3 0.bin", "q"]]
    titles, status, errors = use(steps, folder, "--fps", 0.01)
    assert [title for title in titles if title != "voxshift"] == [title for title, _ in steps]
    assert (status, errors) == (0, "")


def test_a_film_plays_and_the_window_closes(screen, folder):
    titles, status, errors = use([["3/3 2.bin", "close"]], folder, "--fps", 1000)
    assert titles[-3:] == ["1/3 0.bin", "2/3 1.bin", "3/3 2.bin"]
    assert (status, errors) == (0, "")


def test_space_plays_a_film_again_and_escape_closes(screen, folder):
    steps = [["3/3 2.bin", "Home"], ["1/3 0.bin", "space"], ["3/3 2.bin", "Escape"]]
    titles, status, errors = use(steps, folder, "--fps", 1000)
    assert titles[-3:] == ["1/3 0.bin", "2/3 1.bin", "3/3 2.bin"]
    assert (status, errors) == (0, "")


def test_a_film_goes_on_after_a_scan_that_cannot_be_read(screen, folder):
    (folder / "1.bin").write_bytes(b"abc")
    titles, status, errors = use([["3/3 2.bin", "q"]], folder, "--fps", 1000)
    assert titles[-2:] == ["1/3 0.bin", "3/3 2.bin"]
    assert status == 1 and errors.count("\n") == 1 and errors.startswith("voxshift: ") and "1.bin" in errors


def test_pictures_go_on_after_a_scan_that_cannot_be_read(screen, folder, tmp_path):
    (folder / "1.bin").write_bytes(b"abc")
    fails("view", folder, "--save", tmp_path / "out", says=[folder / "1.bin"])
    assert files(tmp_path / "out") == ["0.png", "2.png"]


def test_a_scan_alone_that_cannot_be_read(screen, tmp_path):
    (tmp_path / "bad.bin").write_bytes(b"abc")
    fails("view", tmp_path / "bad.bin", says=["bad.bin"])  # no window stays open


def test_labels_that_do_not_fit(screen, scene, folder, tmp_path):
    scan, labels = scene
    np.zeros(7, "<u4").tofile(labels)
    fails("view", scan, "--labels", labels, "--save", tmp_path / "p.png", says=[labels, "7 labels, expected 1600"])
    np.full(1600, 3, "<u4").tofile(labels)
    fails("view", scan, "--labels", labels, "--save", tmp_path / "p.png", says=[labels, "3"])
    fails("view", folder, "--labels", labels, "--save", tmp_path, says=[labels, "3 scans"])
    (tmp_path / "some").mkdir()
    np.zeros(400, "<u4").tofile(tmp_path / "some" / "2.label")
    result = run("view", folder, "--labels", tmp_path / "some", "--save", tmp_path / "out")
    assert result.returncode == 1 and files(tmp_path / "out") == ["2.png"]
    assert [f"{i}.bin: has no labels in" in line for i, line in enumerate(result.stderr.splitlines())] == [True, True]


def test_what_cannot_be_saved(screen, folder, tmp_path):
    fails("view", folder, "--save", tmp_path / "one.png", says=["one.png", "3 scans", "--save FOLDER"])
    put(tmp_path / "0.bin", box(1, 1))
    fails("view", folder, tmp_path / "0.bin", "--save", tmp_path / "out", says=["0.png", "another scan's"])
    (tmp_path / "file").write_text("")
    fails("view", folder, "--save", tmp_path / "file" / "out", says=["file/out", "folder cannot be created"])


def test_bad_arguments(screen, scene, tmp_path):
    scan, labels = scene
    fails("view", tmp_path / "none.bin", says=["none.bin", "no such file or folder"])
    fails("view", scan, "--labels", tmp_path / "none", says=["none"])
    fails("view", scan, "--labels", labels, "--protocol", "abacus", says=["abacus"])
    fails("view", scan, "--model", tmp_path / "none.safetensors", says=["none.safetensors"])
    assert run("view").returncode == 2
    assert run("view", scan, "--fps", 0).returncode == 2
    assert run("view", scan, "--labels", labels, "--model", "minkunet-lidar").returncode == 2


def test_without_a_display(display, scene, monkeypatch, tmp_path):
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    hint = "xvfb-run voxshift view SCAN --save PICTURE.png"
    fails("view", scene[0], says=["needs a display", "DISPLAY is not set", hint])
    fails("view", scene[0], "--save", tmp_path / "p.png", says=["needs a display", hint])
    monkeypatch.setenv("DISPLAY", ":9999")
    fails("view", scene[0], says=["needs a display", "opens no window", hint])
    assert files(tmp_path) == ["scene.bin", "scene.label"]


def test_without_open3d(scene, tmp_path):
    alone = shutil.copy(COMMAND, tmp_path / "voxshift")  # its modules are not beside it
    result = subprocess.run([alone, "view", scene[0]], capture_output=True, timeout=60, encoding="utf-8")
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert result.stderr.startswith("voxshift: [view] needs Open3D") and "libopen3d-dev" in result.stderr
