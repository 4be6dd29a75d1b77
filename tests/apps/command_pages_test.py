"""The manual page and the completions of bash in packaging/ are what the command's --help gives today."""

import pathlib
import subprocess
import sys

import pytest
from command_fixture import COMMAND, needs_command

PACKAGING = pathlib.Path(__file__).parents[2] / "packaging"
pytestmark = needs_command


@pytest.mark.parametrize("name", ["voxshift.1", "voxshift.bash"])
def test_pages_are_those_of_this_command(tmp_path, name):
    subprocess.run([sys.executable, PACKAGING / "command_pages.py", COMMAND, tmp_path], check=True)
    assert (tmp_path / name).read_text() == (PACKAGING / name).read_text(), (
        f"packaging/command_pages.py {COMMAND} writes it anew")


def completed(*words):
    """What bash offers in place of the last word, as a set."""
    script = (f'complete() {{ :; }}; source "{PACKAGING}/voxshift.bash"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _voxshift; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    output = subprocess.run(["bash", "-euc", script, "-", *words], check=True, capture_output=True, text=True).stdout
    return set(output.split())


@pytest.mark.parametrize("words, offered", [
    (["seg"], {"segment"}),
    (["--"], {"--help", "--version"}),
    (["segment", "scan.bin", "--st"], {"--stats"}),
    (["synth", "l"], {"lidar"}),
    (["synth", "lidar", "--see"], {"--seed"}),
    (["synth", "video", "--see"], {"--seed"}),
    (["synth", "lidar", "--im"], set()),
    (["segment", "scan."], set()),  # bash then completes files
])
def test_bash_completes(words, offered):
    assert completed("voxshift", *words) == offered
