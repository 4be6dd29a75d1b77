"""`voxshift recognize`, `calibrate`, `synth video`, and `new`, `info` on networks of video."""

import json
import math
from pathlib import Path

import pytest
from command_fixture import COMMAND, fails, files, needs_command, run, succeeds

pytestmark = needs_command

KEYS = ["frame", "time", "label", "score", "skipped", "mac_fraction", "ms"]
MOTIONS = ["moving left", "moving right", "moving up", "moving down", "turning clockwise", "turning counterclockwise",
           "growing", "shrinking", "still"]


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """Folder of two clips of 12 frames: moving.mkv with noise, still.mkv without."""
    folder = tmp_path_factory.mktemp("clips")
    result = run("synth", "video", "--seed", 1, "--frames", 12, "-o", folder / "a") if COMMAND else None
    if result and "OpenCV" in result.stderr:
        pytest.skip("this build has no OpenCV")
    succeeds("synth", "video", "--label", "still", "--noise", 0, "--frames", 12, "-o", folder / "b")
    (folder / "a" / "000000.mkv").rename(folder / "moving.mkv")
    (folder / "b" / "000000.mkv").rename(folder / "still.mkv")
    return folder


@pytest.fixture(scope="session")
def video_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("video_model") / "tsm.safetensors"
    out = succeeds("new", "tsm-mobilenetv2", "--width", 0.25, "--seed", 2, "-o", path)
    assert out.count("\n") == 1 and "random" in out and "27 classes" in out
    return path


def recognize(source, model, *options, threads=1):
    """The objects of --json."""
    out = succeeds("recognize", source, "--model", model, "--threads", threads, "--json", "-", *options)
    return [json.loads(line) for line in out.splitlines()]


def results(frames):
    """What does not depend on the clock."""
    return [(frame["label"], frame["score"]) for frame in frames]


def test_one_object_per_frame(clips, video_model):
    frames = recognize(clips / "moving.mkv", video_model)
    assert [frame["frame"] for frame in frames] == list(range(12))
    for frame in frames:
        assert list(frame) == KEYS
        assert frame["time"] == pytest.approx(frame["frame"] / 25, abs=1e-3)
        assert 1 / 27 <= frame["score"] <= 1
        assert frame["skipped"] is False and frame["mac_fraction"] == 1 and frame["ms"] > 0
    assert len({frame["score"] for frame in frames}) > 6


def test_stats_are_those_of_the_frames(clips, video_model, tmp_path):
    text = succeeds("recognize", clips / "moving.mkv", "--model", video_model, "--threads", 1, "--skip", 0.2,
                    "--json", tmp_path / "frames.json", "--stats", tmp_path / "stats.json")
    frames = [json.loads(line) for line in (tmp_path / "frames.json").read_text().splitlines()]
    stats = json.loads((tmp_path / "stats.json").read_text())
    assert list(stats) == ["source", "model", "device", "threads", "dtype", "skip", "frames", "processed", "key_frames",
                           "dropped", "missing", "ms", "mac_fraction", "state_bytes", "peak_rss_bytes", "labels", "error"]
    assert stats["source"] == str(clips / "moving.mkv")
    assert stats["model"]["arch"] == "tsm-mobilenetv2" and stats["model"]["macs"] > 1e7
    assert (stats["device"], stats["threads"], stats["dtype"], stats["skip"]) == ("cpu", 1, "f32", "0.2")
    assert (stats["frames"], stats["processed"], stats["key_frames"], stats["dropped"]) == (12, 12, 1, 0)
    ms = sorted(frame["ms"] for frame in frames)
    assert stats["ms"] == pytest.approx({"mean": sum(ms) / 12, "p50": ms[5], "p99": ms[11]})
    assert stats["mac_fraction"]["mean"] == pytest.approx(sum(frame["mac_fraction"] for frame in frames) / 12)
    assert 0 < stats["mac_fraction"]["mean"] < 1
    assert sum(stats["labels"].values()) == 12 and set(stats["labels"]) == {frame["label"] for frame in frames}
    assert stats["state_bytes"] > 0 and stats["error"] is None
    assert "12 frames, 12 processed, 0 skipped whole" in text


def test_a_line_where_the_label_changes(clips, video_model, tmp_path):
    text = succeeds("recognize", clips / "moving.mkv", "--model", video_model, "--threads", 1,
                    "--json", tmp_path / "frames.json")
    frames = [json.loads(line) for line in (tmp_path / "frames.json").read_text().splitlines()]
    changes = [frame for last, frame in zip([{"label": None}] + frames, frames) if frame["label"] != last["label"]]
    lines = text.splitlines()
    assert len(lines) == len(changes) + 1
    for frame, line in zip(changes, lines):
        assert frame["label"] in line and f"frame {frame['frame']} " in line and f"{frame['score']:.2f}" in line


def test_results_do_not_depend_on_threads_or_container(clips, video_model, tmp_path):
    expected = results(recognize(clips / "moving.mkv", video_model))
    assert results(recognize(clips / "moving.mkv", video_model, threads=2)) == expected
    succeeds("synth", "video", "--seed", 1, "--frames", 12, "--images", "-o", tmp_path)
    assert files(tmp_path / "000000") == [f"{i:06}.png" for i in range(12)]
    assert results(recognize(tmp_path / "000000", video_model)) == expected


@pytest.mark.parametrize("clip", ["moving.mkv", "still.mkv"])
def test_exact_gives_the_results_of_off(clips, video_model, clip):
    off = recognize(clips / clip, video_model)
    for skip in ["exact", "0"]:
        assert results(recognize(clips / clip, video_model, "--skip", skip)) == results(off), skip


def test_exact_computes_nothing_where_nothing_changes(clips, video_model):
    fractions = [frame["mac_fraction"] for frame in recognize(clips / "still.mkv", video_model, "--skip", "exact")]
    assert fractions[0] == 1 and fractions[1] < 1
    # the shift carries the first frame through ten blocks, one more at each frame
    assert all(later <= earlier for earlier, later in zip(fractions, fractions[1:]))
    assert fractions[-1] == 0


def test_calibrate_then_auto(clips, video_model, tmp_path):
    fails("recognize", clips / "moving.mkv", "--model", video_model, "--skip", "auto",
          says=[video_model, "not calibrated", "voxshift calibrate"])
    assert "not calibrated" in succeeds("info", video_model)
    before = video_model.read_bytes()
    model = tmp_path / "calibrated.safetensors"
    text = succeeds("calibrate", video_model, clips / "moving.mkv", "--max-frames", 4, "--budget", 0.05,
                    "--threads", 1, "-o", model)
    assert video_model.read_bytes() == before
    assert "features.18.0" in text and "whole frame" in text and "budget 0.05" in text and str(model) in text
    assert "calibrated for" in succeeds("info", model) and "not calibrated" not in succeeds("info", model)
    assert results(recognize(clips / "moving.mkv", model)) == results(recognize(clips / "moving.mkv", video_model))

    moving = recognize(clips / "moving.mkv", model, "--skip", "auto")
    still = recognize(clips / "still.mkv", model, "--skip", "auto")
    assert still[0]["mac_fraction"] == 1 and still[-1]["mac_fraction"] == 0
    for frames in (moving, still):
        assert frames[0]["skipped"] is False
        for last, frame in zip(frames, frames[1:]):
            if frame["skipped"]:
                assert frame["mac_fraction"] == 0 and results([frame]) == results([last])


def test_calibrate_in_place_on_synthetic_clips(video_model, tmp_path):
    model = tmp_path / "model.safetensors"
    model.write_bytes(video_model.read_bytes())
    text = succeeds("calibrate", model, "--synthetic", 1, "--max-frames", 3, "--threads", 1)
    assert str(model) in text and files(tmp_path) == ["model.safetensors"]
    assert "not calibrated" not in succeeds("info", model)


def test_the_shipped_model_is_the_default_and_stays_f16(tmp_path):
    succeeds("synth", "video", "--seed", 2, "--label", "moving left", "-o", tmp_path)
    clip, model = tmp_path / "000000.mkv", tmp_path / "model.safetensors"
    labels = [json.loads(line)["label"] for line in
              succeeds("recognize", clip, "--threads", 1, "--skip", "auto", "--json", "-").splitlines()]
    assert labels.count("moving left") > 20, labels
    shipped = Path(COMMAND).parent.parent / "share" / "voxshift" / "models" / "tsm-mobilenetv2-motions.safetensors"
    succeeds("calibrate", shipped, "--synthetic", 1, "--max-frames", 3, "--threads", 1, "-o", model)
    assert model.stat().st_size < 1.1 * shipped.stat().st_size


def test_the_annotated_video(clips, video_model, tmp_path):
    out = tmp_path / "out.mp4"
    text = succeeds("recognize", clips / "moving.mkv", "--model", video_model, "--threads", 1, "--skip", "exact",
                    "--annotate", out)
    assert str(out) in text and files(tmp_path) == ["out.mp4"]
    again = recognize(out, video_model)
    assert len(again) == 12
    assert again[-1]["time"] == pytest.approx(11 / 25, abs=1e-3)


def test_part_of_a_video(clips, video_model):
    whole = recognize(clips / "moving.mkv", video_model)
    assert results(recognize(clips / "moving.mkv", video_model, "--max-frames", 5)) == results(whole[:5])
    assert [frame["frame"] for frame in recognize(clips / "moving.mkv", video_model, "--every", 5)] == [0, 5, 10]


def test_key_frames(clips, video_model):
    options = ["--skip", "exact", "--key-frames", 4]
    fractions = [frame["mac_fraction"] for frame in recognize(clips / "still.mkv", video_model, *options)]
    assert [i for i, fraction in enumerate(fractions) if fraction == 1] == [0, 4, 8]


def test_smoothing_starts_with_the_first_label(clips, video_model):
    plain = recognize(clips / "moving.mkv", video_model)
    smooth = recognize(clips / "moving.mkv", video_model, "--smooth", 12)
    assert smooth[0]["label"] == plain[0]["label"]
    changes = [sum(a["label"] != b["label"] for a, b in zip(frames, frames[1:])) for frames in (plain, smooth)]
    assert changes[1] <= changes[0]


def test_an_offline_model_takes_the_clip_as_a_whole(clips, tmp_path):
    model = tmp_path / "offline.safetensors"
    succeeds("new", "tsm-mobilenetv2", "--width", 0.25, "--classes", 5, "--shift", "offline", "-o", model)
    assert "offline" in succeeds("info", model)
    clip, = recognize(clips / "moving.mkv", model)
    assert list(clip) == ["frames", "label", "score", "ms"]
    # 12 frames in 8 parts of 1.5: the middle of part s is 1.5 s + 0.75, rounded down
    assert clip["frames"] == [math.floor(1.5 * s + 0.75) for s in range(8)]
    assert 0.2 <= clip["score"] <= 1
    text = succeeds("recognize", clips / "moving.mkv", "--model", model, "--threads", 1)
    assert clip["label"] in text and "8 of 12 frames" in text
    for options in [["--skip", "exact"], ["--smooth", 3], ["--key-frames", 2], ["--annotate", tmp_path / "a.mp4"]]:
        fails("recognize", clips / "moving.mkv", "--model", model, *options, says=[model, options[0], "online"])
    fails("calibrate", model, "--synthetic", 1, says=[model])


def test_info(video_model):
    text = succeeds("info", video_model)
    header = text.splitlines()[0]
    assert "tsm-mobilenetv2" in header and "27 classes" in header and "224 x 224" in header
    layers = text[text.index("MMAC"):].splitlines()[1:]
    shifted = [line.split()[0] for line in layers if line.split()[-1] == "yes"]
    assert len(shifted) == 10 and shifted[0].startswith("features.3.") and shifted[-1].startswith("features.16.")
    macs = [float(line[:98].split()[-1]) for line in layers]
    assert sum(macs[:-1]) == pytest.approx(macs[-1], abs=0.01 * len(macs))


def test_synth_video(tmp_path):
    out = tmp_path / "out"
    result = run("synth", "video", "--count", 10, "--frames", 2, "--size", 32, "--camera", "panning", "-o", out)
    if "OpenCV" in result.stderr:
        pytest.skip("this build has no OpenCV")
    assert result.returncode == 0 and result.stderr == ""
    assert files(out) == [f"{i:06}.mkv" for i in range(10)] + ["labels.csv"]
    rows = [line.split(",") for line in (out / "labels.csv").read_text().splitlines()]
    assert rows[0] == ["file", "label", "name"]
    assert rows[1:] == [[f"{i:06}.mkv", str(i % 9), MOTIONS[i % 9]] for i in range(10)]
    succeeds("synth", "video", "--label", "growing", "--frames", 2, "--size", 32, "-o", tmp_path / "one")
    assert (tmp_path / "one" / "labels.csv").read_text().splitlines()[1] == "000000.mkv,6,growing"
