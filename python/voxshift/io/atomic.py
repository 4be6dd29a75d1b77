"""Files and folders that are complete or absent."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from voxshift._voxshift import IoError


@contextmanager
def written_atomically(path: os.PathLike[str] | str) -> Iterator[Path]:
    """Gives the path of a temporary file or folder beside `path`, and renames it to `path` when the block ends well.

    Whatever fails, the temporary is removed and a file that was there before stays as it was. OSError in the block
    becomes IoError "PATH: cannot be written: ..". A path that is a device or pipe is written directly.
    """
    shown = Path(path)
    target = shown.resolve() if shown.is_file() else shown  # a rename onto a link would replace the link
    direct = shown.exists() and not shown.is_file() and not shown.is_dir()
    temporary = shown if direct else target.with_name(f"{target.name}.part{os.getpid()}")
    try:
        if shown.is_dir():
            raise IsADirectoryError(0, "Is a directory")
        yield temporary
        if not direct:
            os.replace(temporary, target)
    except IoError:
        raise
    except OSError as error:
        raise IoError(f"{shown}: cannot be written: {error.strerror or error}") from error
    finally:
        if not direct:
            shutil.rmtree(temporary, ignore_errors=True)
            with suppress(OSError):
                temporary.unlink()
