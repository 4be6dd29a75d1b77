"""The command `voxshift` of the Python package: what it writes and how it ends are the program's."""

import filecmp
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import voxshift as vs
from command_fixture import COMMAND, needs_command

PACKAGE = Path(vs.__file__).parent
IN_PACKAGE = [sys.executable, "-W", "error", "-m", "voxshift"]


def ends(command, *arguments, **options):
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, timeout=120, **options)


def test_package_has_what_the_command_needs():
    networks = {"centerpoint-lidar", "minkunet-lidar", "tsm-mobilenetv2-motions"}
    for model in networks | {name + "-i8" for name in networks}:
        assert (PACKAGE / "models" / f"{model}.safetensors").is_file()
    assert (PACKAGE / "py.typed").is_file()


@needs_command
@pytest.mark.parametrize("arguments", [["--help"], [], ["segment", "--help"], ["segment", "no such scan.bin"], ["info", b"\xff.bin"]])
def test_says_and_ends_as_the_program(arguments, tmp_path):
    ours, programs = (subprocess.run([*command, *arguments], capture_output=True, timeout=120, cwd=tmp_path)
                      for command in (IN_PACKAGE, [COMMAND]))
    assert (ours.returncode, ours.stdout, ours.stderr) == (programs.returncode, programs.stdout, programs.stderr)


@needs_command
def test_segments_as_the_program_does(tmp_path):
    assert ends(IN_PACKAGE, "synth", "lidar", "--out", tmp_path).returncode == 0
    scan = tmp_path / "velodyne" / "000000.bin"
    for command, out in ((IN_PACKAGE, "ours"), ([COMMAND], "programs")):
        result = ends(command, "segment", scan, "--write", "label", "ply", "--out", tmp_path / out)
        assert (result.returncode, result.stderr) == (0, b"")
    for name in ("000000.label", "000000.ply"):
        assert filecmp.cmp(tmp_path / "ours" / name, tmp_path / "programs" / name, shallow=False)


def test_signals_end_it_as_they_end_a_program(tmp_path):
    for number in (signal.SIGINT, signal.SIGTERM):
        arguments = ["synth", "lidar", "--count", "1000", "--out", str(tmp_path / str(number))]
        # In the background of a script SIGINT is ignored, and what it starts inherits that.
        with subprocess.Popen(IN_PACKAGE + arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as process:
            process.stdout.readline()  # it is at work
            process.send_signal(number)
            _, error = process.communicate(timeout=60)
        assert (process.returncode, error) == (-number, b"")


def test_a_closed_pipe_ends_it_without_a_word(tmp_path):
    with subprocess.Popen(IN_PACKAGE + ["synth", "lidar", "--count", "1000", "--out", str(tmp_path)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        error = process.stderr.read()
        assert (process.wait(timeout=60), error) == (-signal.SIGPIPE, b"")
