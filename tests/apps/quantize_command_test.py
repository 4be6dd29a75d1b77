"""`voxshift quantize`: files it writes and what runs on them, its table and report, and what it refuses."""

import json
import os
import shutil

import pytest
from command_fixture import cloud, fails, needs_command, put, read_header, run, succeeds, warns, write_header

pytestmark = needs_command


@pytest.fixture(scope="module")
def quick(model, tmp_path_factory):
    """The small model with voxels so large that its runs take milliseconds."""
    folder = tmp_path_factory.mktemp("quick")
    header, data = read_header(model)
    profile = json.loads(header["__metadata__"]["voxshift.profile"])
    profile["voxel_size"] = 0.5
    header["__metadata__"]["voxshift.profile"] = json.dumps(profile)
    return write_header(folder / "quick.safetensors", header, data)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "video.safetensors"
    succeeds("new", "tsm-mobilenetv2", "--width", 0.25, "--preprocess", "motions", "-o", path)
    return path


@pytest.fixture(scope="module")
def quantized(quick, tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantized")
    out = succeeds("quantize", quick, "--synthetic", 1, "-o", folder / "i8.safetensors", "--report",
                   folder / "report.json")
    return folder, out


def tensors(path):
    header, _ = read_header(path)
    return {name: entry for name, entry in header.items() if name != "__metadata__"}


def test_help():
    out = succeeds("quantize", "--help")
    for word in ("MODEL", "--data", "--synthetic", "--dtype", "--keep", "--max-loss", "--report", "--threads"):
        assert word in out
    assert "quantize" in succeeds("--help")


def test_file_table_and_report(quantized, quick, tmp_path):
    folder, out = quantized
    lines = out.splitlines()
    assert lines[0].split()[:3] == ["layer", "op", "dtype"]
    assert lines[-1].startswith(f"{folder / 'i8.safetensors'}: i8, outputs at ")
    report = json.loads((folder / "report.json").read_text())
    names = [layer["name"] for layer in report["layers"]]
    assert [line.split()[0] for line in lines[1:1 + len(names)]] == names
    first = report["layers"][0]
    assert first["dtype"] == "f32" and first["reason"] == "reads an input" and first["snr_db"] is None
    assert all(layer["dtype"] == "i8" and layer["snr_db"] > 5 for layer in report["layers"][1:])
    assert all(layer["macs"] > 0 and layer["milliseconds_f32"] > 0 for layer in report["layers"])
    assert 0 <= report["loss_points"] <= 100 and report["warnings"] == []
    whole = {name: entry for name, entry in tensors(folder / "i8.safetensors").items() if entry["dtype"] == "I8"}
    assert len(whole) == len(report["layers"]) - 1
    assert sum(layer["weight_bytes"] for layer in report["layers"][1:]) == sum(
        entry["data_offsets"][1] - entry["data_offsets"][0] for entry in whole.values())


def test_the_file_runs(quantized, quick, tmp_path):
    folder, _ = quantized
    scan = put(tmp_path / "scan.bin", cloud(2000))
    succeeds("segment", scan, "--model", folder / "i8.safetensors", "--out", tmp_path, "--write", "label", "--stats",
             tmp_path / "stats.json")
    assert json.loads((tmp_path / "stats.json").read_text())[0]["dtype"] == "i8"


def test_size_is_half_of_f16(tmp_path):
    wide, whole, half = (tmp_path / name for name in ("wide.safetensors", "i8.safetensors", "f16.safetensors"))
    succeeds("new", "tsm-mobilenetv2", "--width", 1, "--preprocess", "motions", "-o", wide)
    succeeds("quantize", wide, "--synthetic", 1, "--dtype", "f16", "-o", half)
    succeeds("quantize", wide, "--synthetic", 1, "-o", whole)
    assert os.path.getsize(whole) < 0.62 * os.path.getsize(half)  # scales and biases are f32
    assert 0.49 < os.path.getsize(half) / os.path.getsize(wide) < 0.55
    assert {entry["dtype"] for entry in tensors(half).values()} == {"F16"}
    succeeds("quantize", wide, "--dtype", "bf16", "-o", half)
    assert {entry["dtype"] for entry in tensors(half).values()} == {"BF16"}
    assert "parameters" in succeeds("info", half)


def test_keep_and_max_loss(quick, tmp_path):
    out = tmp_path / "kept.safetensors"
    table = succeeds("quantize", quick, "--synthetic", 1, "-o", out, "--keep", "stem.3", "classifier.0")
    kept = {line.split()[0] for line in table.splitlines() if line.endswith("keep")}
    assert kept == {"stem.3", "classifier.0"}
    assert tensors(out)["stem.3.kernel"]["dtype"] == "F32"
    assert tensors(out)["stage1.0.net.0.kernel"]["dtype"] == "I8"
    table = succeeds("quantize", quick, "--synthetic", 1, "-o", out, "--max-loss", 12)
    assert any(line.endswith("max loss") for line in table.splitlines())
    lost = float(table.splitlines()[-1].split("dB, ")[1].split()[0])
    assert lost <= 12


def test_auto_stores_the_rest_as_f16(quick, tmp_path):
    out = tmp_path / "auto.safetensors"
    succeeds("quantize", quick, "--synthetic", 1, "-o", out, "--dtype", "auto", "--max-loss", 50)
    kinds = {name: entry["dtype"] for name, entry in tensors(out).items()}
    assert kinds["stem.0.kernel"] == "F16" and kinds["stem.3.kernel"] == "I8"
    assert kinds["stem.3.weight_scale"] == "F32"


def test_scans_clips_and_warnings(quick, tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    for i in range(2):
        put(folder / f"{i}.bin", cloud(3000, seed=i))
    out = tmp_path / "out.safetensors"
    succeeds("quantize", quick, "--data", folder, folder / "0.bin", "-o", out)
    bytes_scale = cloud(3000)
    bytes_scale[:, 3] = (bytes_scale[:, 3] * 255).round()
    warning = warns("quantize", quick, "--data", put(tmp_path / "bytes.bin", bytes_scale), "-o", out)
    assert "255" in warning


def test_clips(video, tmp_path):
    if "OpenCV off" in succeeds("--version"):
        pytest.skip("this build has no OpenCV")
    clips, out = tmp_path / "clips", tmp_path / "out.safetensors"
    succeeds("synth", "video", "--count", 1, "--frames", 10, "--size", 128, "-o", clips)
    table = succeeds("quantize", video, "--data", clips / "000000.mkv", "--max-frames", 6, "-o", out)
    assert "points lost" in table.splitlines()[-1]
    lines = succeeds("recognize", clips / "000000.mkv", "--model", out, "--json", "-").splitlines()
    assert len(lines) == 10
    scan = put(tmp_path / "scan.bin", cloud(100))
    fails("quantize", video, "--data", scan, "-o", out, says=["scan.bin", "takes clips"])


def test_what_is_wrong_with_data_and_models(quick, quantized, tmp_path):
    folder, _ = quantized
    out = tmp_path / "out.safetensors"
    fails("quantize", folder / "i8.safetensors", "--synthetic", 1, "-o", out, says=["i8.safetensors", "i8 already"])
    fails("quantize", quick, "--data", tmp_path / "absent.bin", "-o", out, says=["absent.bin"])
    empty = put(tmp_path / "empty.bin", cloud(0))
    fails("quantize", quick, "--data", empty, "-o", out, says=["empty.bin"])
    text = tmp_path / "scan.txt"
    text.write_text("hello")
    fails("quantize", quick, "--data", text, "-o", out, says=["scan.txt"])
    clip = tmp_path / "clip.mkv"
    clip.write_text("no video")
    fails("quantize", quick, "--data", clip, "-o", out, says=["clip.mkv", "expected"])
    fails("quantize", text, "--synthetic", 1, "-o", out, says=["scan.txt"])
    fails("quantize", quick, "--synthetic", 1, "-o", tmp_path / "no" / "out.safetensors", says=["no folder"])
    fails("quantize", quick, "--synthetic", 1, "-o", tmp_path, says=["it is a folder"])
    fails("quantize", quick, "--synthetic", 1, "-o", out, "--keep", "conv77", says=["conv77", "quick.safetensors"])
    assert not out.exists()


def test_wrong_usage(quick, tmp_path):
    out = tmp_path / "out.safetensors"
    for options in ([], ["-o", out], ["--synthetic", 1], ["--synthetic", 0, "-o", out],
                    ["--synthetic", 1, "-o", out, "--dtype", "i4"], ["--synthetic", 1, "-o", out, "--max-loss", -1],
                    ["--synthetic", 1, "-o", out, "--threads", 0]):
        assert run("quantize", quick, *options).returncode == 2, options


def test_picture(quick, tmp_path):
    out, report, picture = (tmp_path / name for name in ("out.safetensors", "report.png", "picture.png"))
    succeeds("quantize", quick, "--synthetic", 1, "-o", out, "--report", report, "--picture", picture)
    for path in (report, picture):
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000


def test_in_place(quick, tmp_path):
    own = shutil.copy(quick, tmp_path / "own.safetensors")
    succeeds("quantize", own, "--synthetic", 1, "-o", own)
    assert tensors(own)["stem.3.kernel"]["dtype"] == "I8"
