"""What `voxshift recognize` says of sources that lack frames, and which names it takes."""

import json
import os
import shutil
import struct

import pytest
from command_fixture import COMMAND, fails, needs_command, run, succeeds

pytestmark = needs_command

FRAMES = 80  # the last ones come without a time, as many as the decoder has threads


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    result = run("synth", "video", "--frames", FRAMES, "--size", 32, "-o", folder) if COMMAND else None
    if result and "OpenCV" in result.stderr:
        pytest.skip("this build has no OpenCV")
    return folder / "000000.mkv"


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """An online and an offline network."""
    folder = tmp_path_factory.mktemp("models")
    for shift in ["online", "offline"]:
        succeeds("new", "tsm-mobilenetv2", "--width", 0.25, "--shift", shift, "-o", folder / f"{shift}.safetensors")
    return [folder / "online.safetensors", folder / "offline.safetensors"]


def elements(data, begin, end):
    """Id, first byte, content and end of all that lies in a Matroska element."""
    def length(at):
        return 9 - data[at].bit_length()

    while begin < end:
        size_at = begin + length(begin)
        content = size_at + length(size_at)
        size = int.from_bytes(data[size_at:content], "big") & (1 << 7 * length(size_at)) - 1
        yield data[begin:size_at].hex(), begin, content, content + size
        begin = content + size


def without(clip, lost, path):
    """The clip with the blocks of some frames made void."""
    data = bytearray(clip.read_bytes())
    segment = [element for element in elements(data, 0, len(data)) if element[0] == "18538067"][0]
    clusters = [element for element in elements(data, *segment[2:]) if element[0] == "1f43b675"]
    blocks = [block[1] for cluster in clusters for block in elements(data, *cluster[2:]) if block[0] == "a3"]
    assert len(blocks) == FRAMES
    for number in lost:
        data[blocks[number]] = 0xEC
    path.write_bytes(data)
    return path


def test_lost_frames_are_told(clip, models, tmp_path):
    lost = [3, *range(20, 27)]
    gaps = without(clip, lost, tmp_path / "gaps.mkv")

    def warning(missing, after, seconds):
        return f"voxshift: warning: {gaps}: frames that are missing by the times of the others: {missing}, the longest " \
               f"gap after frame {after} ({seconds:.2f} s)\n"

    for model in models:
        result = run("recognize", gaps, "--model", model, "--threads", 1, *(["--every", 8] * (model == models[0])))
        assert (result.returncode, result.stderr) == (0, warning(8, 18, 19 / 25))
    result = run("calibrate", models[0], gaps, "--max-frames", 6, "-o", tmp_path / "out.safetensors", "--budget", 1)
    assert (result.returncode, result.stderr) == (0, warning(1, 2, 2 / 25))

    for source, missing in [(gaps, lost), (clip, [])]:
        result = run("recognize", source, "--model", models[0], "--threads", 1, "--every", 8, "--json", "-", "--stats",
                     tmp_path / "stats.json")
        assert (result.returncode, result.stderr) == (0, warning(8, 18, 19 / 25) if missing else "")
        stats = json.loads((tmp_path / "stats.json").read_text())
        assert (stats["missing"], stats["dropped"]) == (len(missing), 0)
        times = [json.loads(line)["time"] for line in result.stdout.splitlines()]
        kept = [number for number in range(FRAMES) if number not in missing]
        assert times == pytest.approx([number / 25 for number in kept[::8]], abs=0.002)


def test_a_file_that_ends_before_its_duration(clip, models, tmp_path):
    """As where the sound goes on: all frames are there, but the header tells of more time."""
    data = bytearray(clip.read_bytes())
    segment = [element for element in elements(data, 0, len(data)) if element[0] == "18538067"][0]
    info = [element for element in elements(data, *segment[2:]) if element[0] == "1549a966"][0]
    duration = [element for element in elements(data, *info[2:]) if element[0] == "4489"][0]
    data[duration[2]:duration[3]] = struct.pack(">d", 60000)  # milliseconds
    long = tmp_path / "long.mkv"
    long.write_bytes(data)
    result = run("recognize", long, "--model", models[1], "--threads", 1)
    assert result.returncode == 0 and f"8 of {FRAMES} frames" in result.stdout
    assert result.stderr.startswith(f"voxshift: warning: {long}: the frames end before the 60.00 s of the header")


def test_names_with_colons(clip, models, tmp_path):
    """A name beside the command, as one types it; written as well as read."""
    shutil.copy(clip, tmp_path / "12:30.mkv")
    for name in ["12:30.mkv", f"file://{tmp_path}/12%3A30.mkv"]:
        out = succeeds("recognize", name, "--model", models[0], "--threads", 1, "--max-frames", 2,
                       "--annotate", "out:1.mp4", cwd=tmp_path)
        assert "2 frames" in out and "-> out:1.mp4" in out
    out = succeeds("recognize", "out:1.mp4", "--model", models[0], "--threads", 1, cwd=tmp_path)
    assert "2 frames" in out


def test_pipes_are_refused(models, clip, tmp_path):
    os.mkfifo(tmp_path / "pipe.mkv")
    (tmp_path / "link.mkv").symlink_to("pipe.mkv")
    for name in ["pipe.mkv", "link.mkv"]:
        for model in models:
            fails("recognize", tmp_path / name, "--model", model, says=[tmp_path / name, "neither a file"])
        fails("calibrate", models[0], tmp_path / name, says=[tmp_path / name, "neither a file"])
