"""Folders and small files of datasets, with one clear error each."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Union

import numpy as np

from voxshift._voxshift import IoError

AnyPath = Union[str, "os.PathLike[str]"]


def folder(path: Path, expected: str) -> Path:
    """The path. Raises IoError "PATH: expected .." where it is no folder."""
    if not path.is_dir():
        raise IoError(f"{path}: expected {expected}, found {'a file' if path.exists() else 'no such folder'}")
    return path


def stems(path: Path, suffix: str) -> list[str]:
    """Names of the files of a folder that end in suffix, without it, sorted; hidden ones left out."""
    with os.scandir(path) as entries:
        names = [entry.name for entry in entries]
    return sorted(name[: -len(suffix)] for name in names if name.endswith(suffix) and not name.startswith("."))


def scans_of(path: Path, suffix: str = ".bin") -> list[str]:
    """The scans of a folder by name. Raises IoError where there is none."""
    names = stems(folder(path, f"a folder of *{suffix}"), suffix)
    if not names:
        raise IoError(f"{path}: expected scans, *{suffix}, found none")
    return names


def one_each(path: Path, suffix: str, frames: Sequence[str], extra: bool = False) -> None:
    """Raises IoError unless the folder has a file for every frame, and no other one but where `extra` says so."""
    there = set(stems(folder(path, f"a folder of *{suffix}"), suffix))
    missing, further = sorted(set(frames) - there), sorted(there - set(frames))
    if missing or (further and not extra):
        which = f"{missing[0]}{suffix} is missing" if missing else f"{further[0]}{suffix} has no scan"
        raise IoError(f"{path}: expected a file for each of {len(frames)} scans, found {len(there)}: {which}")


def text(path: Path) -> str:
    """A text file. Raises IoError."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise IoError(f"{path}: expected text, found byte {error.object[error.start]:#04x} at {error.start}") from None
    except OSError as error:
        raise IoError(f"{path}: cannot be read: {error.strerror or error}") from error


def numbers(words: Sequence[str], counts: Collection[int], where: str) -> np.ndarray:
    """float64 [len(words)], finite. Raises IoError "FILE:LINE: .."."""
    expected = " or ".join(map(str, sorted(counts))) + (" number" if set(counts) == {1} else " numbers")
    if len(words) not in counts:
        raise IoError(f"{where}: expected {expected}, found {len(words)}")
    try:
        values = np.array([float(word) for word in words])
    except ValueError as error:
        raise IoError(f"{where}: expected {expected}: {error}") from None
    if not np.isfinite(values).all():
        raise IoError(f"{where}: expected finite numbers, found nan or inf")
    return values


def rows(path: Path, columns: int) -> np.ndarray:
    """float64 [lines, columns] of a text file. Raises IoError "FILE:LINE: .."."""
    lines = text(path).rstrip().splitlines()
    found = [numbers(line.split(), {columns}, f"{path}:{i}") for i, line in enumerate(lines, 1)]
    return np.array(found).reshape(-1, columns)


def calibration(path: Path) -> dict[str, np.ndarray]:
    """KITTI's calibration, "NAME: numbers" a line: float64 [3, 4] of 12 numbers, [3, 3] of 9. Raises IoError."""
    found = {}
    for i, line in enumerate(text(path).splitlines(), 1):
        if not line.strip():
            continue
        name, colon, values = line.partition(":")
        if not colon:
            raise IoError(f'{path}:{i}: expected "NAME: numbers", found "{line[:40]}"')
        found[name.strip()] = numbers(values.split(), {9, 12}, f"{path}:{i}").reshape(3, -1)
    return found


def square(matrix: np.ndarray) -> np.ndarray:
    """float64 [4, 4] of [3, 3] or [3, 4]."""
    result = np.eye(4)
    result[:3, : matrix.shape[1]] = matrix
    return result


def words_of(path: Path, dtype: str, points: int) -> np.ndarray:
    """The labels of a file without a header, [points]. Raises IoError where it is missing or has another length."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise IoError(f"{path}: cannot be read: {error.strerror or error}") from error
    size = np.dtype(dtype).itemsize
    if len(data) != size * points:
        raise IoError(f"{path}: expected {points} labels of {size} bytes, one per point, found {len(data)} bytes")
    return np.frombuffer(data, dtype)


def listed(path: Path, there: Sequence[str], scans: Path) -> list[str]:
    """The names of a list, one a line, each of a scan that is there. Raises IoError."""
    names = text(path).split()
    known = set(there)
    for name in names:
        if name not in known:
            raise IoError(f"{path}: names {name}, which {scans} does not have")
    if not names:
        raise IoError(f"{path}: expected names of scans, one a line, found none")
    return names
