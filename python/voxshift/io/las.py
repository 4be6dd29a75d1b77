"""LAS and LAZ (ASPRS LAS 1.0 to 1.4), by laspy and lazrs."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Union

import numpy as np

from voxshift._voxshift import Error, IoError
from voxshift.io.needed import needed
from voxshift.io.scan import Scan, plain, scan_of_fields


def laspy_for(path: Union[str, Path]) -> Any:
    """laspy, and lazrs where the file's name asks for it."""
    if str(path).lower().endswith(".laz"):
        needed("lazrs", ".laz files")
    return needed("laspy", ".las files")


def _check_head(path: Union[str, Path], shown: str) -> None:
    """laspy takes a header that is cut for one without points. LAS 1.4 R15, table 3: bytes 94 to 99."""
    size = os.path.getsize(path)
    with open(path, "rb") as stream:
        head = stream.read(100)
    if len(head) < 100 or head[:4] != b"LASF":
        raise IoError(f"{shown}: does not start with LASF and a header, so it is no LAS file")
    header_size, points_at = struct.unpack_from("<HI", head, 94)
    if size < max(header_size, points_at):
        raise IoError(f"{shown}: is cut: its points begin at byte {points_at}, the file has {size}")


@contextmanager
def _readable(shown: str) -> Iterator[None]:
    """Whatever laspy, lazrs and struct throw of a file is an IoError of one line."""
    try:
        yield
    except Error:
        raise
    except FileNotFoundError as error:
        raise IoError(f"{shown}: No such file") from error
    except Exception as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise IoError(f"{shown}: is no LAS file, or is cut: {line}") from error


@contextmanager
def opened(path: Union[str, Path], shown: str) -> Iterator[Any]:
    """laspy's reader of the file. Raises IoError."""
    laspy = laspy_for(path)
    with _readable(shown):
        _check_head(path, shown)
        reader = laspy.open(str(path))
    with reader:
        yield reader


def chunk_of(reader: Any, count: int, shown: str) -> Any:
    """The next points of the file, `count` or what is left."""
    left = min(count, reader.header.point_count - reader.points_read)
    with _readable(shown):
        chunk = reader.read_points(count)
    if len(chunk) != left:
        raise IoError(f"{shown}: is cut: the header promises {reader.header.point_count} points, {len(chunk)} of the "
                      f"last {left} are there")
    return chunk


def coordinates(record: Any) -> np.ndarray:
    """float64 [N, 3] of laspy's points: integers times scale plus offset."""
    return np.column_stack([np.asarray(record[axis], np.float64) for axis in "xyz"]).reshape(-1, 3)


def fields_of(record: Any) -> dict[str, np.ndarray]:
    """Every dimension of laspy's points by its name, with x, y, z in metres in place of X, Y, Z."""
    fields = {axis: np.asarray(record[axis], np.float64) for axis in "xyz"}
    for name in record.point_format.dimension_names:
        if name not in ("X", "Y", "Z"):
            fields[name] = np.array(record[name])
    return fields


def read_las(path: Union[str, Path], shown: str) -> Scan:
    """All points of a .las or .laz: remission is the intensity, time the GPS time, label the classification.

    Of an extra dimension that is called as one of the standard's, in any case, the standard's is taken.
    """
    with opened(path, shown) as reader:
        record = chunk_of(reader, max(reader.header.point_count, 1), shown)
    fields, layout = fields_of(record), record.point_format
    standard = {plain(name) for name in layout.standard_dimension_names}
    aside = {name: fields.pop(name) for name in layout.extra_dimension_names if plain(name) in standard}
    scan = scan_of_fields(shown, fields)
    scan.fields.update(aside)
    return scan
