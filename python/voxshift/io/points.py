"""Reads one file of points, of the kind that its name ends in."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path
from typing import Any, BinaryIO, Callable, Optional, Union

from voxshift import _voxshift
from voxshift._voxshift import InvalidArgument, IoError
from voxshift.io.las import read_las
from voxshift.io.scan import Scan, scan_of_cloud
from voxshift.io.tables import read_npz, read_parquet

Source = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, BinaryIO]
BAGS = (".bag", ".db3", ".mcap")


def _read_compiled(path: Path, shown: str, **options: Any) -> Scan:
    """.bin, .npy, .ply, .pcd; `shown` takes the place of a temporary file's name in errors and warnings."""
    if str(path) == shown:
        return scan_of_cloud(_voxshift.read_points(path, **options))
    try:
        with warnings.catch_warnings(record=True) as guesses:
            warnings.simplefilter("always")
            scan = scan_of_cloud(_voxshift.read_points(path, **options))
    except IoError as error:
        raise IoError(str(error).replace(str(path), shown)) from None
    for guess in guesses:
        warnings.warn(str(guess.message).replace(str(path), shown), guess.category, stacklevel=4)
    return scan


READERS: dict[str, Callable[..., Scan]] = {
    ".bin": _read_compiled,
    ".npy": _read_compiled,
    ".npz": read_npz,
    ".ply": _read_compiled,
    ".pcd": _read_compiled,
    ".las": read_las,
    ".laz": read_las,
    ".parquet": read_parquet,
}
OPTIONS = {".bin": {"columns"}, ".parquet": {"row"}}


def _opened(path: Path) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise IoError(f"{path}: {error.strerror}") from None


def _read(path: Path, shown: str, extension: str, options: dict[str, Any]) -> Scan:
    if extension in BAGS:
        raise IoError(f"{shown}: holds many scans; read it by voxshift.io.read_messages")
    if extension not in READERS:
        raise IoError(f"{shown}: expected a {', '.join(READERS)} file")
    for name in options:
        if name not in OPTIONS.get(extension, ()):
            raise InvalidArgument(f"[read_points] {name} is not of {extension} files")
    return READERS[extension](path, shown, **options)


def read_points(
    source: Source, format: Optional[str] = None, *, columns: Optional[int] = None, row: Optional[int] = None
) -> Scan:
    """Reads the points of a .bin, .npy, .npz, .ply, .pcd, .las, .laz or .parquet file.

    source: a path, or bytes or a binary file object, of which `format` says what they are, as "pcd". For a path, `format`
    takes the place of its extension. columns: of a .bin, as of voxshift.read_points. row: of a .parquet that has a scan per
    row, which one.

    Fields are known by their usual names (docs/readers.md); what a Scan does not know is in its `fields`. What is guessed
    is said in a UserWarning. Raises OSError "FILE: what is wrong" for a file that is missing, cut or not what its name
    says, ImportError where the library that reads it is missing, ValueError for options of other formats.
    """
    options = {name: value for name, value in (("columns", columns), ("row", row)) if value is not None}
    extension = None if format is None else "." + format.lower().lstrip(".")
    if isinstance(source, (str, os.PathLike)):
        path, shown = Path(source), os.fspath(source)
        if extension in (None, path.suffix.lower()) or READERS.get(extension or "") is not _read_compiled:
            return _read(path, shown, extension or path.suffix.lower(), options)
        with _opened(path) as stream:
            return read_points(stream, format, columns=columns, row=row)
    if extension is None:
        raise InvalidArgument('[read_points] bytes and file objects need a format, as format="pcd"')
    shown = str(getattr(source, "name", f"<{extension[1:]} bytes>"))
    data = source if isinstance(source, (bytes, bytearray, memoryview)) else source.read()
    with tempfile.TemporaryDirectory(prefix="voxshift") as folder:
        path = Path(folder) / f"scan{extension}"
        path.write_bytes(data)
        return _read(path, shown, extension, options)
