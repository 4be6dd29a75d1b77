"""Named arrays: .npz, and .parquet by pyarrow."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from voxshift._voxshift import IoError
from voxshift.io.needed import needed
from voxshift.io.scan import COLOURS, NAMES, Scan, is_numbers, plain, scan_of_fields

# Names of arrays [N, C >= 3]: x, y, z, of four columns and more with the remission.
POINTS = ("points", "point", "xyz", "coord", "coords", "coordinates", "pos", "position", "positions", "pc", "scan", "lidar",
          "data", "arr_0")
RGB = ("rgb", "color", "colors", "colour", "colours")
KNOWN = {"x", "y", "z", *POINTS, *RGB}.union(*NAMES.values(), *COLOURS)


def _points_name(arrays: Mapping[str, np.ndarray]) -> Optional[str]:
    """The array that has the coordinates: by its name, or the only one [N, C >= 3] of numbers."""
    wide = [name for name, values in arrays.items() if values.ndim == 2 and values.shape[1] >= 3 and is_numbers(values)]
    for wanted in POINTS:
        for name in wide:
            if plain(name) == wanted:
                return name
    wide = [name for name in wide if plain(name) not in RGB]
    return wide[0] if len(wide) == 1 else None


def scan_of_table(shown: str, arrays: Mapping[str, np.ndarray]) -> Scan:
    """The scan of arrays that a file has by name: x, y, z, or one array of points [N, C].

    Arrays of unknown names and of another length than the points are left out.
    """
    found, columns = dict(arrays), None
    names = {plain(name) for name in arrays}
    if not {"x", "y", "z"} <= names:
        name = _points_name(arrays)
        if name is None:
            listed = ", ".join(f"{name} {list(values.shape)}" for name, values in arrays.items())[:300] or "none"
            raise IoError(f"{shown}: expected arrays x, y, z, or points [N, C >= 3] of numbers, found {listed}")
        points = found.pop(name)
        for i, axis in enumerate("xyz"):
            found[axis] = points[:, i]
        rest = points[:, 3:]
        if rest.shape[1] > 0 and not names & set(NAMES["remission"]):
            found["remission"], rest = rest[:, 0], rest[:, 1:]
        columns = np.ascontiguousarray(rest, np.float32) if rest.shape[1] > 0 else None
    rows = len(next(values for name, values in found.items() if plain(name) == "x"))
    for name in list(found):
        values = found[name]
        if (values.ndim == 0 or len(values) != rows) and plain(name) not in KNOWN:
            del found[name]
        elif plain(name) in RGB and values.shape == (rows, 3) and is_numbers(values):
            del found[name]
            found.update(zip(COLOURS[0], values.T))
    return scan_of_fields(shown, found, columns)


def read_npz(path: Path, shown: str) -> Scan:
    """Arrays by name, as numpy.savez and savez_compressed write them."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise IoError(f"{shown}: No such file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise IoError(f"{shown}: is no .npz file of numbers, or is cut: {str(error).splitlines()[0]}") from error
    return scan_of_table(shown, arrays)


def _array_of(column: Any) -> Optional[np.ndarray]:
    """A pyarrow column as [N], or [N, k] for lists of k values each; None for other kinds. Nulls become NaN."""
    types = needed("pyarrow", ".parquet files").types
    kind = column.type
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        if column.null_count > 0 or len(column) == 0:
            return np.empty((0, 3)) if len(column) == 0 else None
        lengths = np.diff(column.offsets) if not types.is_fixed_size_list(kind) else np.full(len(column), kind.list_size)
        inner = _array_of(column.flatten())
        if inner is None or inner.ndim > 1 or (lengths != lengths[0]).any():
            return None
        return inner.reshape(len(column), int(lengths[0]))
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        return np.asarray(column.to_numpy(zero_copy_only=False))
    if types.is_decimal(kind):
        return np.asarray(column.to_numpy(zero_copy_only=False)).astype(np.float64)
    if types.is_timestamp(kind) or types.is_duration(kind):
        return np.asarray(column.to_numpy(zero_copy_only=False)).astype("i8")
    return np.array(column.to_pylist()) if types.is_string(kind) or types.is_large_string(kind) else None


def _is_scans(schema: Any) -> bool:
    """Whether a row holds a scan: x is a list, or points a list of lists."""
    types = needed("pyarrow", ".parquet files").types

    def is_list(kind: Any) -> bool:
        return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))

    for column in schema:
        if plain(column.name) == "x":
            return is_list(column.type)
    return any(plain(column.name) in POINTS and is_list(column.type) and is_list(column.type.value_type)
               for column in schema)


def _one_row(file: Any, shown: str, row: Optional[int]) -> dict[str, Any]:
    """The columns of one row, each a pyarrow array of its values; only its row group is read."""
    rows = file.metadata.num_rows
    if rows == 0:
        raise IoError(f"{shown}: has no rows")
    if row is None and rows > 1:
        raise IoError(f"{shown}: holds {rows} scans, one a row: give row=0 to {rows - 1}")
    at = row or 0
    if not 0 <= at < rows:
        raise IoError(f"{shown}: expected a row of 0 to {rows - 1}, found {at}")
    group = 0
    while at >= file.metadata.row_group(group).num_rows:
        at -= file.metadata.row_group(group).num_rows
        group += 1
    table = file.read_row_group(group).slice(at, 1)
    return {name: table.column(name).combine_chunks() for name in table.column_names}


def read_parquet(path: Union[str, Path], shown: str, row: Optional[int] = None) -> Scan:
    """A point per row, or where x, y, z are lists or points a list of lists, a scan per row, of which `row` picks one."""
    pyarrow, parquet = needed("pyarrow", ".parquet files"), needed("pyarrow.parquet", ".parquet files")
    try:
        with open(path, "rb") as stream:
            file = parquet.ParquetFile(stream)
            if _is_scans(file.schema_arrow):
                found = _one_row(file, shown, row)
                lists = {name: value.flatten() for name, value in found.items() if hasattr(value, "flatten")
                         and pyarrow.types.is_nested(value.type) and not pyarrow.types.is_struct(value.type)}
                columns = {name: _array_of(value) for name, value in lists.items()}
            elif row is not None:
                raise IoError(f"{shown}: has a point per row, so no row is a scan")
            else:
                table = file.read()
                columns = {name: _array_of(table.column(name).combine_chunks()) for name in table.column_names}
    except FileNotFoundError:
        raise IoError(f"{shown}: No such file") from None
    except (IoError, ImportError):
        raise
    except (OSError, ValueError, NotImplementedError, pyarrow.ArrowException) as error:
        raise IoError(f"{shown}: is no .parquet file, or is cut: {str(error).splitlines()[0]}") from error
    return scan_of_table(shown, {name: values for name, values in columns.items() if values is not None})
