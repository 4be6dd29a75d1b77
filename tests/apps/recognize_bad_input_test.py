"""`voxshift recognize` and its kin on bad input: one line on standard error with the frame's number; what was
recognised before is kept."""

import json
import os
import resource
import shutil
import subprocess

import pytest
from command_fixture import COMMAND, fails, files, needs_command, run, succeeds

pytestmark = needs_command


@pytest.fixture(scope="session")
def video_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("video_model") / "tsm.safetensors"
    succeeds("new", "tsm-mobilenetv2", "--width", 0.25, "-o", path)
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    result = run("synth", "video", "--frames", 12, "-o", folder) if COMMAND else None
    if result and "OpenCV" in result.stderr:
        pytest.skip("this build has no OpenCV")
    return folder / "000000.mkv"


@pytest.fixture()
def images(tmp_path, clip):
    succeeds("synth", "video", "--frames", 5, "--images", "--size", 64, "-o", tmp_path / "images")
    return tmp_path / "images" / "000000"


def recognize_fails(source, model, *options, says=()):
    return fails("recognize", source, "--model", model, "--threads", 1, *options, says=[source, *says])


@pytest.mark.parametrize("content", [b"", b"These are words.\n", bytes(range(256)) * 40])
def test_a_file_that_is_no_video(video_model, clip, tmp_path, content):
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    recognize_fails(path, video_model, "--annotate", tmp_path / "out.mp4", "--json", tmp_path / "out.json")
    assert not (tmp_path / "out.mp4").exists()


def test_sources_that_are_not_there(video_model, clip, tmp_path):
    recognize_fails(tmp_path / "absent.mp4", video_model, says=["no such file"])
    recognize_fails(tmp_path, video_model, says=["holds no .png"])
    recognize_fails("987", video_model, says=["camera"])


def test_i8_of_a_model_that_is_not_quantized(video_model, clip):
    fails("recognize", clip, "--model", video_model, "--dtype", "i8", says=[video_model, "has no scales for i8"])


def results_are_kept(source, model, frame, says, folder):
    """Frames before `frame` are in all files, and the error names it."""
    line = recognize_fails(source, model, "--skip", "exact", "--json", folder / "out.json", "--stats",
                           folder / "stats.json", "--annotate", folder / "out.mp4", says=[f"frame {frame}: ", *says])
    records = [json.loads(text) for text in (folder / "out.json").read_text().splitlines()]
    assert [record["frame"] for record in records] == list(range(frame))
    stats = json.loads((folder / "stats.json").read_text())
    assert stats["frames"] == frame and line == f"voxshift: {stats['error']}"
    if frame > 0:
        out = succeeds("recognize", folder / "out.mp4", "--model", model, "--threads", 1, "--json", "-")
        assert len(out.splitlines()) == frame
    else:
        assert not (folder / "out.mp4").exists()
    assert not [name for name in files(folder) if ".part" in name]


def test_a_cut_video(video_model, clip, tmp_path):
    cut = tmp_path / "cut.mkv"
    whole = clip.read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    out = run("recognize", cut, "--model", video_model, "--threads", 1, "--json", "-")
    frames = len(out.stdout.splitlines())
    assert 2 < frames < 10
    results_are_kept(cut, video_model, frames, ["12 frames", "cut short"], tmp_path)


@pytest.mark.parametrize("content", [b"", b"words", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_a_bad_image(video_model, images, tmp_path, content):
    (images / "000003.png").write_bytes(content)
    results_are_kept(images, video_model, 3, ["000003.png", "no image"], tmp_path)


def test_a_cut_image(video_model, images, tmp_path):
    whole = (images / "000002.png").read_bytes()
    (images / "000002.png").write_bytes(whole[: len(whole) // 2])
    results_are_kept(images, video_model, 2, ["000002.png"], tmp_path)


def test_a_frame_of_another_size(video_model, images, tmp_path):
    succeeds("synth", "video", "--frames", 1, "--images", "--size", 80, "-o", tmp_path / "large")
    shutil.copy(tmp_path / "large" / "000000" / "000000.png", images / "000004.png")
    results_are_kept(images, video_model, 4, ["64 x 64", "80 x 80"], tmp_path)


def test_models_of_the_other_kind(model, video_model, clip, tmp_path):
    recognize = ["recognize", clip, "--model", model]
    fails(*recognize, says=[model, "minkunet", "voxshift segment"])
    fails("calibrate", model, "--synthetic", 1, says=[model, "minkunet"])
    (tmp_path / "scan.bin").write_bytes(bytes(160))
    fails("segment", tmp_path / "scan.bin", "--model", video_model, says=[video_model, "voxshift recognize"])
    fails("recognize", clip, "--model", clip, says=[clip])


@pytest.mark.parametrize("threshold", ["-0.1", "nan", "inf", "1e99", "much", "0.1x", ""])
def test_bad_thresholds_are_wrong_usage(video_model, clip, threshold):
    result = run("recognize", clip, "--model", video_model, f"--skip={threshold}")
    assert result.returncode == 2 and "--skip" in result.stderr and result.stdout == ""


@pytest.mark.parametrize("options", [["--smooth", 0], ["--key-frames", -1], ["--threads", 0], ["--every", 0],
                                     ["--max-frames", -1]])
def test_wrong_usage(video_model, clip, options):
    assert run("recognize", clip, "--model", video_model, *options).returncode == 2


def test_wrong_usage_of_calibrate_and_synth(video_model, tmp_path):
    for options in [[], ["--synthetic", 0], ["--synthetic", 1, "--budget", 0], ["--synthetic", 1, "--budget", -1]]:
        assert run("calibrate", video_model, *options).returncode == 2, options
    for options in [["--label", "dancing"], ["--noise", -1], ["--frames", 0], ["--size", 5], ["--camera", "shaken"]]:
        assert run("synth", "video", "-o", tmp_path / "out", *options).returncode == 2, options
    assert files(tmp_path) == []


def test_results_that_cannot_be_written(video_model, clip, tmp_path):
    missing = tmp_path / "missing"
    for option, name in [("--json", "a.json"), ("--stats", "a.json"), ("--annotate", "a.mp4")]:
        fails("recognize", clip, "--model", video_model, "--threads", 1, option, missing / name, says=[missing / name])
    fails("recognize", clip, "--model", video_model, "--annotate", tmp_path / "a.gif", says=["a.gif", ".mp4"])
    (tmp_path / "folder.mp4").mkdir()
    fails("recognize", clip, "--model", video_model, "--annotate", tmp_path / "folder.mp4", says=["folder.mp4"])
    assert files(tmp_path) == ["folder.mp4"]


def run_with_room(room, *arguments):
    """As on a disk on which a file may have so many bytes."""
    return subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=60,
                          restore_signals=False,  # SIGXFSZ stays ignored: writing fails as on a full disk
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)))


@pytest.mark.parametrize("kind", ["annotate", "synth"])
def test_a_video_on_a_disk_that_fills_up(video_model, clip, tmp_path, kind):
    """Whole or absent, wherever the room ends: in a frame, in the index at an MP4's end, in the header."""
    out = tmp_path / "out"
    out.mkdir()
    if kind == "annotate":
        video = out / "a.mp4"
        arguments = ["recognize", clip, "--model", video_model, "--threads", 1, "--max-frames", 3, "--annotate", video]
    else:
        video = out / "000000.mkv"
        arguments = ["synth", "video", "--frames", 3, "--size", 64, "-o", out]
    succeeds(*arguments)
    whole = video.stat().st_size
    rooms = [100, whole // 2, whole * 9 // 10, whole - 1000, whole - 300, whole - 1, whole + 5000]
    too_small = []
    for room in rooms:
        video.unlink(missing_ok=True)
        result = run_with_room(room, *arguments)
        if result.returncode == 0:
            assert result.stderr == "" and video.stat().st_size <= room
            out_lines = succeeds("recognize", video, "--model", video_model, "--threads", 1, "--json", "-").splitlines()
            assert len(out_lines) == 3
        else:
            too_small.append(room)
            assert result.stderr.count("\n") == 1 and f"voxshift: {video}: " in result.stderr, (room, result.stderr)
            assert str(video) not in result.stdout
            assert [name for name in files(out) if name != "labels.csv"] == [], room
    # Annotations have times in them, so that another run's video is somewhat larger or smaller.
    certain = rooms[:2] if kind == "annotate" else rooms[:-1]
    assert result.returncode == 0 and too_small[: len(certain)] == certain


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_small_disk(video_model, clip, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True).returncode != 0:
        pytest.skip("no disk may be mounted here")
    try:
        fails("recognize", clip, "--model", video_model, "--threads", 1, "--annotate", disk / "a.mp4",
              says=[disk / "a.mp4"])
        fails("synth", "video", "--frames", 12, "-o", disk, says=[disk / "000000.mkv"])
        assert files(disk) == []
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_standard_output(video_model, clip, tmp_path):
    recognize = ["recognize", clip, "--model", video_model, "--threads", 1]
    offline = tmp_path / "offline.safetensors"
    succeeds("new", "tsm-mobilenetv2", "--width", 0.25, "--shift", "offline", "-o", offline)
    for arguments in [recognize, [*recognize, "--json", "-"], ["recognize", clip, "--model", offline],
                      ["recognize", clip, "--model", offline, "--json", "-"], ["info", video_model],
                      ["synth", "video", "--frames", 1, "-o", tmp_path / "out"], ["--help"], ["--version"]]:
        with open("/dev/full", "w") as full:
            result = subprocess.run([COMMAND, *map(str, arguments)], stdout=full, stderr=subprocess.PIPE, text=True,
                                    timeout=60)
        assert result.returncode == 1, arguments
        assert result.stderr == "voxshift: standard output: cannot be written\n", arguments
    for option in ["--json", "--stats"]:
        fails(*recognize, option, "/dev/full", says=["/dev/full: cannot be written"])


def test_calibrate_keeps_the_model_when_a_clip_is_bad(video_model, clip, tmp_path):
    model = shutil.copy(video_model, tmp_path / "model.safetensors")
    before = model.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(clip.read_bytes()[:400000])
    fails("calibrate", model, cut, says=[cut, "frame "])
    fails("calibrate", model, tmp_path / "absent.mkv", says=["absent.mkv"])
    assert model.read_bytes() == before and files(tmp_path) == ["cut.mkv", "model.safetensors"]


def test_results_of_a_killed_run_are_on_disk(video_model, clip, tmp_path):
    """Every line is written through: a reader sees whole lines only."""
    out = tmp_path / "out.json"
    succeeds("recognize", clip, "--model", video_model, "--threads", 1, "--max-frames", 3, "--json", out)
    assert [json.loads(line)["frame"] for line in out.read_text().splitlines()] == [0, 1, 2]
