"""The command `voxshift` where standard output cannot take what it prints: exit status 1, one line on standard error,
and results in files are whole."""

import os
import subprocess

import numpy as np
import pytest
from command_fixture import COMMAND, cloud, files, labels_of, needs_command, put, succeeds

pytestmark = needs_command

CANNOT = "voxshift: standard output: cannot be written\n"


@pytest.fixture(scope="module")
def commands(model, tmp_path_factory):
    """Name -> arguments that print something; `{out}` stands for a folder of their own."""
    folder = tmp_path_factory.mktemp("given")
    for name in "ab":
        put(folder / f"{name}.bin", cloud(300))
        np.full(300, 40, "<u4").tofile(folder / f"{name}.label")
    evaluate = ["eval", "--pred", folder, "--gt", folder]
    return {
        "segment": ["segment", folder, "--model", model, "--out", "{out}", "--write", "label,scores"],
        "eval": evaluate,
        "eval --json": [*evaluate, "--json"],
        "info": ["info", model],
        "new": ["new", "minkunet", "--width", 0.0625, "-o", "{out}/m.safetensors"],
        "synth lidar": ["synth", "lidar", "-o", "{out}"],
        "--version": ["--version"],
    }


NAMES = ["segment", "eval", "eval --json", "info", "new", "synth lidar", "--version"]


def run_with(stdout, arguments, out):
    """stdout: a path, or None for `>&-`."""
    out.mkdir()
    command = [COMMAND, *(str(argument).replace("{out}", str(out)) for argument in arguments)]
    if stdout is None:
        return subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60, preexec_fn=lambda: os.close(1))
    with open(stdout, "w") as file:
        return subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True, timeout=60)


@pytest.mark.parametrize("stdout", [None, "/dev/full"])
@pytest.mark.parametrize("name", NAMES)
def test_an_error(commands, tmp_path, name, stdout):
    if stdout and not os.path.exists(stdout):
        pytest.skip("this system has no /dev/full")
    result = run_with(stdout, commands[name], tmp_path / "out")
    assert (result.returncode, result.stderr) == (1, CANNOT)
    # what is written into files is what is written where standard output is there
    assert run_with("/dev/null", commands[name], tmp_path / "same").returncode == 0
    assert files(tmp_path / "out") == files(tmp_path / "same")
    for path in (tmp_path / "out").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "same" / path.relative_to(tmp_path / "out")).read_bytes(), path


def test_a_scan_beside_a_closed_output(commands, tmp_path):
    out = tmp_path / "out"
    assert run_with(None, [*commands["segment"], "--layers", "--stats", "{out}/stats.json"], out).returncode == 1
    for name in "ab":
        assert labels_of(out / f"{name}.label").shape == (300,)
        assert np.load(out / f"{name}.scores.npy").shape == (300, 19)
    assert (out / "stats.json").read_text().startswith("[")


def test_a_video_beside_a_closed_output(tmp_path):
    """The first file that is opened takes the lowest number that is free: what is printed must not go there."""
    if "OpenCV off" in succeeds("--version"):
        pytest.skip("this build has no OpenCV")
    succeeds("new", "tsm-mobilenetv2", "--width", 0.25, "-o", tmp_path / "tsm.safetensors")
    succeeds("synth", "video", "--frames", 12, "--size", 64, "-o", tmp_path)
    recognize = ["recognize", tmp_path / "000000.mkv", "--model", tmp_path / "tsm.safetensors", "--threads", 1]
    out = tmp_path / "out"
    result = run_with(None, [*recognize, "--annotate", "{out}/a.mp4", "--json", "{out}/a.json"], out)
    assert (result.returncode, result.stderr) == (1, CANNOT)
    assert all(line.startswith("{") and line.endswith("}") for line in (out / "a.json").read_text().splitlines())
    assert len(succeeds("recognize", out / "a.mp4", *map(str, recognize[2:]), "--json", "-").splitlines()) == 12
