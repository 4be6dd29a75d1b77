"""voxshift-bench, beside the command in the build tree: what its lines say, and what it says where it cannot measure."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from command_fixture import COMMAND, cloud, needs_command, put, succeeds

PROGRAM = Path(COMMAND or "voxshift").parent / "bench" / "voxshift-bench"
MOTIONS, SEGMENTER = "tsm-mobilenetv2-motions-i8", "minkunet-lidar-i8"

pytestmark = [needs_command, pytest.mark.skipif(not PROGRAM.is_file(), reason="voxshift-bench was not built")]


def run(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, timeout=120, encoding="utf-8")


def measured(tmp_path, *arguments):
    """The objects of --json, and the text of as many lines."""
    file = tmp_path / "lines.json"
    result = run(*arguments, "--json", file)
    assert result.returncode == 0 and result.stderr == "", result.stderr
    objects = [json.loads(line) for line in file.read_text().splitlines()]
    machine, head, *lines = result.stdout.splitlines()
    assert machine.startswith("voxshift ") and head.startswith("model ") and len(lines) == len(objects)
    return objects, lines


def refused(*arguments, says, status=1):
    result = run(*arguments)
    assert result.returncode == status, result.stderr
    assert all(part in result.stderr for part in says), result.stderr
    return result.stdout


def test_a_line_for_each_input_skip_and_number_of_threads(tmp_path):
    lines, texts = measured(tmp_path, MOTIONS, "--threads", "1,2", "--loops", 12)
    assert [(line["input"], line["skip"], line["threads"]) for line in lines] == [
        (camera, skip, threads)
        for camera in ("still camera", "panning camera")
        for skip in ("off", "exact", "auto")
        for threads in (1, 2)
    ]
    for line, text in zip(lines, texts):
        assert line["model"] == MOTIONS and line["dtype"] == "i8" and line["runs"] == 12
        assert 0 < line["min_seconds"] <= line["median_seconds"] <= line["p90_seconds"] <= line["p99_seconds"]
        assert line["min_seconds"] <= line["mean_seconds"] <= line["p99_seconds"]
        assert line["per_second"] == pytest.approx(1 / line["mean_seconds"])
        assert line["peak_bytes"] > 1e6 and line["instruction_set"] and line["i8_instructions"]
        assert text.split()[0] == MOTIONS and f"{1e3 * line['median_seconds']:.2f}" in text
    dense = {line["macs"] for line in lines if line["skip"] == "off"}
    assert len(dense) == 1 and all(line["computed"] == 1 for line in lines if line["skip"] == "off")
    still = [line for line in lines if line["skip"] == "auto" and line["input"] == "still camera"]
    assert all(line["computed"] < 0.8 and line["macs"] < 0.8 * min(dense) for line in still)
    assert still[0]["macs"] == still[1]["macs"]  # whatever the number of threads


def test_macs_are_those_that_the_command_counts(tmp_path):
    scan = put(tmp_path / "scan.bin", cloud(2000))
    line, = measured(tmp_path, SEGMENTER, "--input", scan, "--threads", 1, "--loops", 1, "--warmup", 0)[0]
    stats = tmp_path / "stats.json"
    succeeds("segment", scan, "--dtype", "i8", "--out", tmp_path / "out", "--stats", stats)
    assert line["input"] == "scan.bin" and line["skip"] == "-" and line["runs"] == 1 and line["computed"] == 1
    assert line["macs"] == json.loads(stats.read_text())[0]["model"]["macs"]


def test_raw_frames_are_turned_and_scaled(tmp_path):
    frames = tmp_path / "clip.nv21"
    np.random.default_rng(0).integers(0, 255, 3 * 160 * 120 * 3 // 2, dtype=np.uint8).tofile(frames)
    line, = measured(tmp_path, MOTIONS, "--input", frames, "--size", "160x120", "--rotation", 90, "--skip", "0.5",
                     "--threads", 1, "--loops", 3)[0]
    assert line["input"] == "clip.nv21" and line["skip"] == "0.5" and line["runs"] == 3
    refused(MOTIONS, "--input", frames, says=["clip.nv21", "--size"])
    refused(MOTIONS, "--input", frames, "--size", "160x122", says=["clip.nv21", "frames of 29280 bytes", "found 86400"])


def test_a_model_of_ones_own_and_several_types(tmp_path):
    model = tmp_path / "small.safetensors"
    succeeds("new", "minkunet", "--width", 0.0625, "-o", model)
    scan = put(tmp_path / "scan.bin", cloud(500))
    lines, _ = measured(tmp_path, model, "--input", scan, "--threads", 1, "--loops", 1, "--dtype", "auto,f32,bf16")
    assert [line["dtype"] for line in lines] == ["f32", "f32", "bf16"] and lines[0]["model"] == "small"


def test_what_cannot_be_measured_is_said_and_the_rest_is_measured(tmp_path):
    scan = put(tmp_path / "scan.bin", cloud(500))
    out = refused(tmp_path / "none.safetensors", SEGMENTER, "--input", scan, "--threads", 1, "--loops", 1, "--warmup", 0,
                  says=["none.safetensors: ", "cannot be"])
    assert out.splitlines()[-1].startswith(SEGMENTER)
    refused(SEGMENTER, "--input", tmp_path / "none.bin", says=["none.bin"])
    (tmp_path / "odd.bin").write_bytes(bytes(17))
    refused(SEGMENTER, "--input", tmp_path / "odd.bin", says=["odd.bin", "16 bytes each", "found 17 bytes"])
    refused(MOTIONS, "--input", scan, says=["no --input is of the kind"])
    refused(SEGMENTER, "--input", scan, "--json", tmp_path / "no" / "file", says=["cannot be written"])


@pytest.mark.parametrize("arguments", [("--threads", 0), ("--skip", "some"), ("--dtype", "i4"), ("--size", "160"),
                                       ("--size", "0x1"), ("--loops", 0), ("--rotation", 45)])
def test_options_out_of_range_are_usage(arguments):
    refused(*arguments, says=[arguments[0]], status=2)
