"""The command `voxshift`, as `python -m voxshift` and as the script that comes with the package."""

import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from voxshift import _voxshift


def main() -> NoReturn:
    """Runs the command with the arguments of this process, and ends it with the command's exit status.

    Signals do what they do to a program.
    """
    if hasattr(signal, "SIGPIPE"):  # Python ignores it
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        status = _voxshift._run_command([os.fsencode(argument) for argument in sys.argv], str(Path(__file__).parent))
    except _voxshift.BackendUnavailable as error:
        sys.exit(f"voxshift: {error}")
    os._exit(status)  # the command has closed standard output


if __name__ == "__main__":
    main()
