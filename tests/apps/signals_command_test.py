"""The command `voxshift` when a signal ends it in the midst of its work: results are whole or absent, no temporary file
stays, and a shell sees 128 + the signal."""

import resource
import signal
import subprocess

import numpy as np
import pytest
from command_fixture import COMMAND, cloud, files, labels_of, needs_command, put, succeeds

pytestmark = needs_command


def ended_while_it_writes(ending, folder, *arguments):
    """Sends the signal as soon as some file is there, or its temporary one; returns how the process ended."""
    def prepare():
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(ending, signal.SIG_DFL)  # what the tests' own caller ignores, such as nohup, would be ignored here

    process = subprocess.Popen([COMMAND, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               text=True, preexec_fn=prepare)
    while process.poll() is None and not any(path.is_file() for path in folder.rglob("*")):
        pass
    process.send_signal(ending)
    stderr = process.communicate(timeout=60)[1]
    assert [name for name in files(folder) if ".part" in name] == []
    return process.returncode, stderr


# So many that the work is not done before the signal comes, however busy the machine is.
MANY_SCANS, MANY_FRAMES = 2000, 20000


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    first = put(folder / "0.bin", cloud(20000))
    for i in range(1, MANY_SCANS):
        (folder / f"{i}.bin").hardlink_to(first)
    return folder


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGPIPE, signal.SIGTERM])
def test_segment(model, scans, tmp_path, ending):
    out = tmp_path / "out"
    out.mkdir()
    status, stderr = ended_while_it_writes(ending, out, "segment", scans, "--model", model, "--out", out, "--write",
                                           "label,ply,scores")
    assert (status, stderr) == (-ending, "")
    for name in files(out):
        if name.endswith(".label"):
            assert labels_of(out / name).shape == (20000,)
        elif name.endswith(".npy"):
            assert np.load(out / name).shape == (20000, 19)
        else:
            assert (out / name).read_bytes().count(b"\n") > 5


def test_synth(tmp_path):
    arguments = ["synth", "lidar", "--count", 1000, "-o", tmp_path]
    assert ended_while_it_writes(signal.SIGTERM, tmp_path, *arguments) == (-signal.SIGTERM, "")
    for path in tmp_path.rglob("*.bin"):
        points = np.fromfile(path, "<f4").reshape(-1, 4)
        label = tmp_path / "labels" / f"{path.stem}.label"
        assert not label.exists() or len(labels_of(label)) == len(points)


def test_synth_video(tmp_path):
    if "OpenCV off" in succeeds("--version"):
        pytest.skip("this build has no OpenCV")
    arguments = ["synth", "video", "--count", 1000, "--size", 256, "--frames", 30, "-o", tmp_path]
    assert ended_while_it_writes(signal.SIGTERM, tmp_path, *arguments) == (-signal.SIGTERM, "")


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    """Options of `recognize` on a folder of frames."""
    folder = tmp_path_factory.mktemp("stream")
    if "OpenCV off" in succeeds("--version"):
        pytest.skip("this build has no OpenCV")
    succeeds("new", "tsm-mobilenetv2", "--width", 0.25, "-o", folder / "tsm.safetensors")
    frames = folder / "frames"
    frames.mkdir()
    first = frames / "0.ppm"
    first.write_bytes(b"P6 32 32 255\n" + np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8).tobytes())
    for i in range(1, MANY_FRAMES):
        (frames / f"{i}.ppm").hardlink_to(first)
    return ["recognize", frames, "--model", folder / "tsm.safetensors", "--threads", 1]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_recognize_keeps_the_frames_that_were_seen(stream, tmp_path, ending):
    video = tmp_path / "a.mp4"
    status, stderr = ended_while_it_writes(ending, tmp_path, *stream, "--annotate", video)
    assert (status, stderr) == (128 + ending, "")
    frames = len(succeeds(*stream[:1], video, *stream[2:], "--json", "-").splitlines())
    assert 0 < frames < MANY_FRAMES


def test_recognize_keeps_nothing_half_written(stream, tmp_path):
    arguments = [*stream, "--annotate", tmp_path / "a.mp4"]
    assert ended_while_it_writes(signal.SIGHUP, tmp_path, *arguments) == (-signal.SIGHUP, "")
    assert files(tmp_path) == []


def test_signals_that_the_caller_ignores(model, tmp_path):
    """As under nohup."""
    def ignore():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = subprocess.Popen([COMMAND, "synth", "lidar", "-o", tmp_path], stdout=subprocess.DEVNULL,
                               preexec_fn=ignore, restore_signals=False)
    while process.poll() is None and not files(tmp_path):
        pass
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("kind", ["label", "ply", "scores"])
def test_files_that_may_not_grow(model, tmp_path, kind):
    """`ulimit -f`: one line of error, as on a full disk, where SIGXFSZ would end the process; small results are made."""
    large, small = put(tmp_path / "a.bin", cloud(5000)), put(tmp_path / "b.bin", cloud(20))
    out = tmp_path / "out"
    result = subprocess.run(
        [COMMAND, "segment", large, small, "--model", model, "--out", out, "--write", kind], capture_output=True,
        text=True, timeout=60, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000)))
    assert result.returncode == 1, result.stderr
    assert result.stderr.count("\n") == 1 and f"voxshift: {out}/a." in result.stderr, result.stderr
    assert [name[0] for name in files(out)] == ["b"]
