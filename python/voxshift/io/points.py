"""Reads one file of points, of the kind that its name ends in."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, BinaryIO, Callable, Optional, Union

from voxshift import _voxshift
from voxshift._voxshift import InvalidArgument, IoError
from voxshift.io.las import read_las
from voxshift.io.scan import Scan, scan_of_cloud
from voxshift.io.tables import read_npz, read_parquet

Source = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, BinaryIO]
BAGS = (".bag", ".db3", ".mcap")


def _read_compiled(
    path: Path, shown: str, extension: str, columns: Optional[int] = None, data: Optional[bytes] = None
) -> Scan:
    """.bin, .npy, .ply, .pcd, of a path or of bytes, which are called `shown`."""
    cloud, fields = _voxshift._read_points(path if data is None else shown, extension, columns, data)
    scan = scan_of_cloud(cloud)
    scan.fields = fields
    return scan


COMPILED = (".bin", ".npy", ".ply", ".pcd")
READERS: dict[str, Callable[..., Scan]] = {
    ".npz": read_npz,
    ".las": read_las,
    ".laz": read_las,
    ".parquet": read_parquet,
}
OPTIONS = {".bin": {"columns"}, ".parquet": {"row"}}


def _read(path: Path, shown: str, extension: str, options: dict[str, Any], data: Optional[bytes] = None) -> Scan:
    if extension in BAGS:
        raise IoError(f"{shown}: holds many scans; read it by voxshift.io.read_messages")
    if extension not in READERS and extension not in COMPILED:
        raise IoError(f"{shown}: expected a {', '.join((*COMPILED, *READERS))} file")
    for name in options:
        if name not in OPTIONS.get(extension, ()):
            raise InvalidArgument(f"[read_points] {name} is not of {extension} files")
    if extension in COMPILED:
        return _read_compiled(path, shown, extension, data=data, **options)
    if data is None:
        return READERS[extension](path, shown, **options)
    with tempfile.TemporaryDirectory(prefix="voxshift") as folder:
        path = Path(folder) / f"scan{extension}"
        path.write_bytes(data)
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
        path = Path(source)
        return _read(path, str(path), extension or path.suffix.lower(), options)
    if extension is None:
        raise InvalidArgument('[read_points] bytes and file objects need a format, as format="pcd"')
    shown = str(getattr(source, "name", f"<{extension[1:]} bytes>"))
    data = source if isinstance(source, (bytes, bytearray, memoryview)) else source.read()
    return _read(Path(), shown, extension, options, bytes(data))
