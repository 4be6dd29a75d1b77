"""The scans that arguments name, and where their labels go."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import voxshift as vs
from voxshift.batch.reading import EXTENSIONS
from voxshift.batch.storage import Storage, below, described, last_part, pyarrow_fs


class Scan(NamedTuple):
    """A scan and the file of its labels, by path or URI."""

    path: str
    label: str


def natural(name: str) -> list[tuple[bool, int, str]]:
    """A key that sorts 2.bin before 10.bin."""
    parts = re.split(r"(\d+)", name)
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts if part]


def absolute(name: str, storage: Storage) -> str:
    """As workers with other working folders understand it."""
    return name if "://" in name or storage.filesystem is not None else os.path.abspath(name)


def _inside(storage: Storage, folder: str) -> Iterator[str]:
    """The scans of a folder and of those in it by their names below it, hidden ones left out."""
    fs = pyarrow_fs()
    filesystem, root = storage.resolve(folder)
    for info in filesystem.get_file_info(fs.FileSelector(root, recursive=True)):
        name = info.path.replace("\\", "/")[len(root.rstrip("/")) :].lstrip("/")
        hidden = any(part.startswith(".") for part in name.split("/"))
        if info.type == fs.FileType.File and not hidden and posixpath.splitext(name)[1].lower() in EXTENSIONS:
            yield name


def _scans_of(storage: Storage, given: str, out: str) -> list[Scan]:
    fs = pyarrow_fs()
    filesystem, path = storage.resolve(given)
    kind = filesystem.get_file_info(path).type
    if kind == fs.FileType.NotFound:
        raise vs.IoError(f"{given}: no such file or folder")
    if kind == fs.FileType.Directory:
        names = sorted(_inside(storage, given), key=natural)
        if not names:
            raise vs.IoError(f"{given}: folder holds no {', '.join(EXTENSIONS[:-1])} or {EXTENSIONS[-1]} file")
        return [Scan(below(given, name), below(out, posixpath.splitext(name)[0] + ".label")) for name in names]
    name = last_part(given)
    if posixpath.splitext(name)[1].lower() not in EXTENSIONS:
        raise vs.IoError(f"{given}: expected a name that ends in one of {', '.join(EXTENSIONS)}")
    return [Scan(given, below(out, posixpath.splitext(name)[0] + ".label"))]


def list_scans(storage: Storage, inputs: Sequence[str], out: str) -> list[Scan]:
    """The scans that files and folders name, with those in folders of folders, in natural order.

    Labels lie in `out` as the scans in their folder: IN/a/0.bin becomes OUT/a/0.label, and a file its name. Raises OSError
    "NAME: .." for what is not there or holds no scan, and ValueError where two scans would have the same labels.
    """
    out = absolute(out, storage)
    scans: list[Scan] = []
    for given in inputs:
        try:
            scans += _scans_of(storage, absolute(given, storage), out)
        except vs.IoError:
            raise
        except (OSError, ValueError) as error:
            raise vs.IoError(described(given, error)) from error
    taken: dict[str, str] = {}
    for scan in scans:
        other = taken.setdefault(scan.label, scan.path)
        if other is not scan.path:
            raise vs.InvalidArgument(
                f"{scan.label}: the labels of {scan.path} would replace those of {other}; give another --out or run them apart"
            )
    return scans
